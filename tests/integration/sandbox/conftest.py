"""Real Node processes for the sandbox's tests, and a loopback HTTP server that hooks can call."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tenterhook import egress
from tenterhook.sandbox import Execution, Invocation, Limits, SandboxPool, Script
from tenterhook.sandbox.ground import mode_of
from tenterhook.sandbox.jail.plan import Mode

LOOPBACK = egress.parse_grants("127.0.0.0/8:*, [::1]:*")
"""What hooks must be granted to call the servers of the tests."""

Run = Callable[..., Awaitable[Execution]]

USER = {"id": "5d8b1128fe2e260e0d96e369", "email": "ada@example.com"}
CONTEXT = {"requestLanguage": "en-us", "connection": {"name": "Users"}}


@dataclasses.dataclass
class Runner:
    """Runs a piece of source as a hook would be."""

    pool: SandboxPool
    counter: int = 0

    async def __call__(
        self,
        source: str,
        *,
        tenant: str = "acme",
        limits: Limits | None = None,
        script: dict[str, Any] | None = None,
        run_id: str = "",
        **more: Any,
    ) -> Execution:
        self.counter += 1
        made = Script(key=f"hook:{source}", source=source, **(script or {"file_name": "my-hook.js"}))
        invocation = Invocation(run_id=run_id or f"run-{self.counter}", arguments=(USER, CONTEXT))
        return await self.pool.run(tenant, made, invocation, limits=limits, **more)


@pytest.fixture
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[SandboxPool]:
    """A pool as this host allows; its parameter, where it has one, is the mode to be in instead."""
    async with SandboxPool(drain_seconds=0, grants=LOOPBACK, mode=getattr(request, "param", None)) as pool:
        yield pool


def in_namespaces(pool: SandboxPool) -> bool:
    """Whether the pool's processes have a tree and namespaces of their own."""
    return (pool._mode or mode_of(pool.status.sandbox)) is Mode.NAMESPACES


@pytest.fixture
def run(pool: SandboxPool) -> Runner:
    return Runner(pool)


@dataclasses.dataclass
class Sink:
    """A loopback HTTP server: ``/slow/N`` answers after N milliseconds, ``/status/N`` with N, ``/cut`` hangs up."""

    port: int
    seen: list[str]
    arrived: asyncio.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    made = Sink(port=0, seen=[], arrived=asyncio.Event())
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                length = next(
                    (
                        int(x.split(":")[1])
                        for x in head.lower().split("\r\n")
                        if x.startswith("content-length")
                    ),
                    0,
                )
                await reader.readexactly(length)
                made.seen.append(f"{method} {path}")
                made.arrived.set()
                parts = path.split("?")[0].split("/")
                status, body = "200 OK", b"ok"
                if parts[1] == "slow":
                    await asyncio.sleep(int(parts[2]) / 1000)
                elif parts[1] == "status":
                    status = f"{parts[2]} Status"
                elif parts[1] == "big":
                    body = b"x" * int(parts[2])
                elif parts[1] == "cut":
                    break
                elif parts[1] == "never":
                    await asyncio.Event().wait()
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for task in handlers:
        task.cancel()
    await asyncio.gather(*handlers, return_exceptions=True)
    await server.wait_closed()
