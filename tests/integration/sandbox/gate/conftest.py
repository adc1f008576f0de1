"""Real processes under a real listener filter, and a real gate before them."""

from __future__ import annotations

import array
import asyncio
import contextlib
import dataclasses
import json
import socket
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address
from typing import Any

import pytest

from tenterhook.egress import Policy, parse_grants
from tenterhook.sandbox.gate import Connection, Gate, NameServer, RefusedName, Resolver

# The child puts itself under the filter, hands its listener over, and only then runs what the test wants.
PRELUDE = """
import array, ctypes, errno, fcntl, json, os, select, socket, struct, sys, threading, time
from tenterhook.sandbox.jail import filter, libc
from tenterhook.sandbox.jail.syscalls import current_architecture

def say(*values):
    os.write(1, json.dumps(values).encode() + b"\\n")

def attempt(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]

raw_libc = ctypes.CDLL(None, use_errno=True)

def raw_connect(descriptor, sockaddr, length=None):
    result = raw_libc.connect(descriptor, sockaddr, len(sockaddr) if length is None else length)
    return 0 if result == 0 else errno.errorcode[ctypes.get_errno()]

def inet(host, port):
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)

def gate():
    control = socket.socket(fileno=int(sys.argv[1]))
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    listener = filter.install(filter.listener_filter(current_architecture()), listener=True)
    control.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
    os.close(listener)
    control.close()

arguments = json.loads(sys.argv[2])
"""


class Told:
    """A report that remembers."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.outcomes: dict[int, bool | None] = {}
        self.names: list[RefusedName] = []
        self.more = 0
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def connection(self, connection: Connection) -> None:
        self.connections.append(connection)
        self._loop.call_soon_threadsafe(self.changed.set)

    def outcome(self, sequence: int, *, established: bool | None) -> None:
        self.outcomes[sequence] = established
        self._loop.call_soon_threadsafe(self.changed.set)

    def refused_name(self, refused: RefusedName) -> None:
        self.names.append(refused)
        self.changed.set()

    def unreported(self, refused: int) -> None:
        self.more += refused

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@dataclasses.dataclass
class Gated:
    """A process behind a gate."""

    process: asyncio.subprocess.Process
    gate: Gate
    names: NameServer
    told: Told

    async def line(self) -> Any:
        """What it said next."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            line = await self.process.stdout.readline()
        assert line, "the process ended"
        return json.loads(line)

    async def lines(self) -> list[Any]:
        """Everything it says until it ends well."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            said = [json.loads(line) async for line in self.process.stdout]
        assert await self.process.wait() == 0
        return said

    def tell(self) -> None:
        """Let it go on, where it reads a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")


def policy(*grants: str, **more: Any) -> Policy:
    return Policy(grants=parse_grants(",".join(grants)), **more)


LOOPBACK = ("127.0.0.0/8:*", "[::1]:*")
SERVERS = {(IPv4Address("127.0.0.1"), 53)}


@pytest.fixture
async def gated() -> AsyncIterator[Callable[..., Any]]:
    """Start Python code, or a program, behind a gate."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            code: str,
            *arguments: Any,
            policy: Policy | None = None,
            max_connections: int = 64,
            resolver: Resolver | None = None,
            before: str = "",
            servers: Any = SERVERS,
        ) -> Gated:
            policy = policy or Policy(grants=parse_grants(",".join(LOOPBACK)))
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            program = PRELUDE + textwrap.dedent(before) + "\ngate()\n" + textwrap.dedent(code)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, str(theirs.fileno()), json.dumps(arguments),
                pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            stack.push_async_callback(_end, process)
            theirs.close()
            ours.settimeout(30)
            data, ancillary, *_ = await asyncio.to_thread(ours.recvmsg, 16, socket.CMSG_SPACE(4))
            ours.close()
            assert data, "the process could not put itself under the filter"
            (listener,) = array.array("i", ancillary[0][2])
            told = Told()
            if resolver is None:
                resolver = Resolver()
                stack.callback(resolver.close)
            names = NameServer(resolver=resolver, policy=policy, report=told, servers=servers)
            gate = Gate(
                listener,
                process.pid,
                policy=policy,
                names=names,
                report=told,
                max_connections=max_connections,
            )
            gate.open()
            stack.push_async_callback(_close, gate, names)
            return Gated(process=process, gate=gate, names=names, told=told)

        yield start


async def _close(gate: Gate, names: NameServer) -> None:
    gate.close()
    async with asyncio.timeout(30):
        await gate.closed()
        await names.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    if process.stdin is not None:
        process.stdin.close()


@pytest.fixture
def listening() -> Any:
    """Make listeners on loopback."""
    with contextlib.ExitStack() as stack:

        def listen(host: str = "127.0.0.1", *, backlog: int = 64) -> socket.socket:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = stack.enter_context(socket.socket(family))
            listener.bind((host, 0))
            listener.listen(backlog)
            return listener

        yield listen


@pytest.fixture
def black_hole(listening: Any) -> Any:
    """Return an address where a connection is neither taken nor refused: its line of waiting ones is full."""
    with contextlib.ExitStack() as stack:
        listener = listening(backlog=0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield listener.getsockname()
