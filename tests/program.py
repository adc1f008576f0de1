"""The program itself, as its users have it: a real process on a real data folder, spoken to over HTTP.

``tenterhook`` runs a command to its end, ``running`` one that goes on, whose output is read line by line. ``Program``
is a data folder and the server on it, for tests that kill it, start it again, or look at what it left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx

TENTERHOOK = str(Path(sys.executable).with_name("tenterhook"))
"""The command beside the Python that runs the tests."""
_READY = re.compile(r"^Listening on (\S+)$", re.MULTILINE)
PASSWORD = "Correct-Horse-7-Battery"
CONNECTION = "Username-Password-Authentication"
PATIENCE_SECONDS = 90
"""How long a line, a start or an end may take; only a failing test waits so long."""


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without settings of Tenterhook's, and with the changes."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TENTERHOOK_", "DATABASE_"))
    }
    return kept | {"COLUMNS": "200"} | changes


def tenterhook(
    *arguments: str, env: Mapping[str, str], text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [TENTERHOOK, *arguments],
        env=dict(env),
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Command:
    """A command that goes on until it is told to stop."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output: list[str] = []

    async def line(self, pattern: str) -> re.Match[str]:
        """Return the match of the next line that has the pattern; fail with what came instead."""
        assert self.process.stdout is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while raw := await self.process.stdout.readline():
                    self.output.append(raw.decode().rstrip("\n"))
                    if found := re.search(pattern, self.output[-1]):
                        return found
        raise AssertionError(f"No line with {pattern!r} in:\n" + "\n".join(self.output))

    async def stop(self) -> int:
        """Ask it to stop, wait until it has, and return its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            rest = await self.process.stdout.read() if self.process.stdout else b""
            self.output += rest.decode().splitlines()
            return await self.process.wait()


@contextlib.asynccontextmanager
async def running(
    *arguments: str, env: Mapping[str, str], program: str = TENTERHOOK
) -> AsyncIterator[Command]:
    """Run a command inside the block."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    started = Command(process)
    try:
        yield started
    finally:
        await started.stop()


class Program:
    """One data folder, and the server on it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.data = folder / "data"
        self.log = folder / "serve.log"
        self.environment = environment(
            **{
                "TENTERHOOK_DATA_DIR": str(self.data),
                "TENTERHOOK_PORT": "0",
                # Slack's stand-ins are on loopback, which hooks do not reach otherwise.
                "TENTERHOOK_EGRESS_ALLOW": "127.0.0.1:*",
                **settings,
            }
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.initialized: dict = {}
        """What the last ``init`` said."""

    def command(self, *arguments: str, check: bool = True, **options) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        done = subprocess.run(
            [TENTERHOOK, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def init(self) -> dict:
        """Make what is missing and return what ``init --json`` says."""
        self.initialized = json.loads(self.command("init", "--json").stdout)
        return self.initialized

    def start(self, command: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a program that goes on, its output in a file."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [TENTERHOOK, command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def serve(self, command: str = "serve") -> None:
        """Start the server and wait until it says that it listens."""
        self.process = self.start(command, self.log)
        until = time.monotonic() + PATIENCE_SECONDS
        while not (found := _READY.search(self.log.read_text(errors="replace"))):
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < until, self.log.read_text(errors="replace")
            time.sleep(0.05)
        self.url = found[1]

    def stop(self) -> int:
        """Stop it as a service manager does and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def kill_everything(self) -> int:
        """``kill -9`` the server, its Node processes and the whole database, all at once; return how many."""
        pids = _family({self.process.pid, self.postmaster()})
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        return len(pids)

    def postmaster(self) -> int:
        """Return the process id of the embedded database, -1 while it has none."""
        try:
            return int((self.data / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        except FileNotFoundError:
            return -1

    def close(self) -> None:
        """Leave nothing running, however the test ended."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.kill_everything()
            return
        with contextlib.suppress(OSError, ValueError):
            postmaster = self.postmaster()
            if str(self.data / "postgres") in Path(f"/proc/{postmaster}/environ").read_text(
                errors="replace"
            ) + Path(f"/proc/{postmaster}/cmdline").read_text(errors="replace"):
                for pid in _family({postmaster}):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def applicant(self) -> httpx.AsyncClient:
        """Return a client without a token, as people who sign up have it."""
        return httpx.AsyncClient(base_url=self.url, timeout=60)

    async def management(self) -> httpx.AsyncClient:
        """Return a client of the management API."""
        async with self.applicant() as plain:
            answer = await plain.post(
                "/oauth/token",
                json={
                    "grant_type": "client_credentials",
                    "audience": f"{self.initialized['public_url']}/api/v2/",
                    **self.initialized["management"],
                },
            )
        assert answer.status_code == 200, answer.text
        return httpx.AsyncClient(
            base_url=self.url,
            timeout=60,
            headers={"Authorization": f"Bearer {answer.json()['access_token']}"},
        )

    async def create_hook(self, script: str, **properties: object) -> httpx.Response:
        """Create an enabled hook that runs after each registration."""
        async with await self.management() as management:
            answer = await management.post(
                "/api/v2/hooks",
                json={
                    "name": "first",
                    "triggerId": "post-user-registration",
                    "enabled": True,
                    "script": script,
                    **properties,
                },
            )
        assert answer.status_code == 201, answer.text
        return answer

    async def sign_up(self, applicant: httpx.AsyncClient, email: str) -> httpx.Response:
        """Sign a person up and return whatever is answered."""
        return await applicant.post(
            "/dbconnections/signup",
            json={
                "client_id": self.initialized["application"]["client_id"],
                "connection": CONNECTION,
                "email": email,
                "password": PASSWORD,
            },
        )


def _family(roots: set[int]) -> list[int]:
    """Return the processes and all that descend from them."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid for pid in roots if pid in parents]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid and child not in found)
    return found
