"""What there is to be reached outside a sandbox, and whether it was: files, listeners, processes.

Everything here belongs to the host's own user, as the program's would. A token is made for each execution; whoever knows
it has read what it should not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Self

# Lets anybody trace it (yama), so that only our own protections are in the way.
_PROCESS = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(-1))
print("ready", flush=True)
signal.pause()
"""
_ENVIRONMENT_START, _ENVIRONMENT_END = 49, 50
"""Fields of /proc/pid/stat after the command's name (proc(5): 50 and 51, counted from 1)."""


class Host:
    """The surroundings of one execution of one attempt."""

    def __init__(self, folder: Path, granted: Granted, code: str) -> None:
        self.token = (
            f"0z{secrets.token_hex(12)}"  # no JavaScript: whoever loads it as such gets it in the error
        )
        self._folder = folder / secrets.token_hex(8)
        self._granted = granted
        self._code = code
        self._closing = contextlib.ExitStack()
        self._servers: list[asyncio.AbstractServer] = []
        self.connections = 0
        self.datagrams = 0
        self._process: asyncio.subprocess.Process | None = None
        self._environ = b""

    @property
    def name(self) -> str:
        """What its folder, socket and link are called; no secret."""
        return self._folder.name

    async def __aenter__(self) -> dict[str, Any]:
        """Set everything up, and return what a hook is told of it."""
        self._folder.mkdir()
        secret, target = self._folder / "secret", self._folder / "target"
        secret.write_text(self.token)
        target.write_text("as it was")
        os.chmod(target, 0o666)
        os.chmod(self._folder, 0o777)
        told: dict[str, Any] = {
            "secret": str(secret),
            "target": str(target),
            "folder": str(self._folder),
            "path": str(self._folder / "socket"),
            "abstract": f"escapes-{self._folder.name[:8]}",
            "granted": self._granted.port,
            "harness": os.getpid(),
            "key": secrets.randbelow(1 << 30) + 1,
            "link": f"link-{self.name}",
        }
        # What the code does not mention it does not attack; making everything for each would take most of the time.
        if any(word in self._code for word in ("host.port", "host.path", "host.abstract")):
            told["port"] = await self._listen()
        if "host.process" in self._code:
            told["process"] = await self._start_process()
        return told

    async def _start_process(self) -> dict[str, Any]:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _PROCESS),
            env={"TOKEN": self.token},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        await self._process.stdout.readline()
        pid = self._process.pid
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        start, end = (int(fields[index - 2]) for index in (_ENVIRONMENT_START, _ENVIRONMENT_END))
        self._environ = Path(f"/proc/{pid}/environ").read_bytes()
        return {"pid": pid, "address": str(start), "bytes": end - start}

    async def _listen(self) -> int:
        def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            writer.write(self.token.encode())
            writer.close()

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        self._servers.append(server)
        self._servers.append(await asyncio.start_server(accepted, "127.1.2.3", port))
        with contextlib.suppress(OSError):  # a machine without IPv6
            self._servers.append(await asyncio.start_server(accepted, "::1", port))
        self._servers.append(await asyncio.start_unix_server(accepted, self._folder / "socket"))
        os.chmod(self._folder / "socket", 0o777)
        self._servers.append(await asyncio.start_unix_server(accepted, f"\0escapes-{self._folder.name[:8]}"))
        datagrams = self._closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", port))
        datagrams.setblocking(False)

        self._datagrams = datagrams
        return port

    async def settle(self) -> None:
        """Wait until everything that has arrived by now has been counted."""
        if not self._servers:
            return
        for server in self._servers:
            where = server.sockets[0].getsockname()
            opened = (
                asyncio.open_unix_connection(where)
                if isinstance(where, (str, bytes))
                else asyncio.open_connection(*where[:2])
            )
            reader, writer = await opened
            await reader.read()  # they are accepted in the order in which they came
            writer.close()
            self.connections -= 1
        with contextlib.suppress(BlockingIOError):
            while self._datagrams.recv(4096):
                self.datagrams += 1

    def seen(self) -> dict[str, Any]:
        """Return what became of everything; ask before it is taken down."""
        files = {"target": "as it was", "secret": self.token}
        changed = any(
            not (self._folder / name).exists() or (self._folder / name).read_text() != text
            for name, text in files.items()
        )
        alive = self._process is None or not _has_ended(self._process)
        if self._process is not None and alive:
            with contextlib.suppress(OSError):
                changed = changed or Path(f"/proc/{self._process.pid}/environ").read_bytes() != self._environ
        return {
            "token": self.token,
            "connections": self.connections,
            "datagrams": self.datagrams,
            "process_alive": alive,
            "other_alive": True,
            "changed": changed,
        }

    async def __aexit__(self, *error: object) -> None:
        """Take everything down."""
        for server in self._servers:
            server.close()
        self._closing.close()
        if self._process is not None:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _has_ended(process: asyncio.subprocess.Process) -> bool:
    """Say whether it has, also where the event loop has not heard of it yet; whoever waits for it still can."""
    if process.returncode is not None:
        return True
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True


class Granted:
    """A listener that hooks may connect to: it says what it is and repeats what it hears."""

    port: int

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            writer.write(b"granted")
            while data := await reader.read(4096):
                writer.write(data)
        writer.close()

    async def __aexit__(self, *error: object) -> None:
        """Stop."""
        self._server.close()
