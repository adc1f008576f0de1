"""How long a run takes in a process that is there, and how many go through it in a second; beside a plain HTTP server.

The HTTP server is Node with the same hook in its own process: no jail, no limits, no attribution, nothing recorded. Both
are driven from the same event loop of the same Python process: the pool with all it does for a run, the server by two
clients. ``least`` does the least there is (a request from a template, one line of the head looked at, JSON read): no HTTP
client is faster. ``httpx`` is the one that a Python program would use. The hook's process is not replaced in between, as
it otherwise is after 10,000 runs: that is a cold start and measured as such.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from harness.statistics_of import spread
from sandboxed import hook, processes
from tenterhook.sandbox import SandboxPool, find_node

AT_ONCE = (1, 16, 64)

SERVER = str(Path(__file__).with_name("http_function.cjs"))


@dataclasses.dataclass(kw_only=True)
class _Turn:
    milliseconds: list[float]
    seconds: float
    client_us: float
    """Processor time of this process for one call."""
    node_us: float | None
    """None where it was replaced in between, as a process is after so many runs."""

    @property
    def rate(self) -> float:
        return len(self.milliseconds) / self.seconds


async def _turn(callers: list[Callable[[], Awaitable[None]]], seconds: float, node: int) -> _Turn:
    """Let each caller call, one call after the other, for so long."""
    taken: list[float] = []
    until = time.perf_counter() + seconds

    async def go_on(call: Callable[[], Awaitable[None]]) -> None:
        while (began := time.perf_counter()) < until:
            await call()
            taken.append((time.perf_counter() - began) * 1000)

    began, own, its = time.perf_counter(), time.process_time(), processes.processor_ms(node)
    await asyncio.gather(*(go_on(call) for call in callers))
    passed, used = time.perf_counter() - began, time.process_time() - own
    try:
        node_us = (processes.processor_ms(node) - its) * 1e3 / len(taken)
    except FileNotFoundError:
        node_us = None
    return _Turn(milliseconds=taken, seconds=passed, client_us=used * 1e6 / len(taken), node_us=node_us)


async def _pool_turn(pool: SandboxPool, at_once: int, seconds: float) -> _Turn:
    async def call() -> None:
        await hook.run(pool, "acme")

    await call()  # there is a process from now on
    return await _turn([call] * at_once, seconds, pool.status.pids[0])


async def _http_turn(node: int, port: int, at_once: int, seconds: float) -> _Turn:
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(at_once)]
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: "

    def caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            body = json.dumps(hook.ARGUMENTS, separators=(",", ":")).encode()
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if json.loads(await reader.readexactly(length)) != {"email": "ada@example.com"}:
                raise RuntimeError("The HTTP server answered something else.")

        return call

    try:
        return await _turn([caller(*each) for each in connections], seconds, node)
    finally:
        for _reader, writer in connections:
            writer.close()


async def _httpx_turn(node: int, port: int, at_once: int, seconds: float) -> _Turn:
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, limits=limits, trust_env=False) as client:

        async def call() -> None:
            answer = await client.post("/", json=hook.ARGUMENTS)
            if answer.json() != {"email": "ada@example.com"}:
                raise RuntimeError("The HTTP server answered something else.")

        return await _turn([call] * at_once, seconds, node)


def _shown(turns: list[_Turn]) -> dict[str, Any]:
    node_us = [turn.node_us for turn in turns if turn.node_us is not None]
    return {
        "per_second": spread([turn.rate for turn in turns], 0),
        "ms": hook.shown([each for turn in turns for each in turn.milliseconds], 3),
        "client_us": spread([turn.client_us for turn in turns], 0),
        "node_us": spread(node_us, 0) if node_us else None,
    }


async def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """Let each have so many turns of so many seconds at each number of calls in flight."""
    turns: dict[tuple[str, int], list[_Turn]] = defaultdict(list)
    async with (
        processes.program(str(find_node().path), SERVER, hook.SOURCE) as server,
        SandboxPool(
            drain_seconds=0,
            max_runs_per_process=max(AT_ONCE),
            max_processes_per_tenant=1,
            replace_process_after_runs=10**9,
        ) as pool,
    ):
        port = int(await processes.line_of(server))
        await hook.run(pool, "acme")
        variants: list[tuple[str, Callable[[int, float], Awaitable[_Turn]]]] = [
            ("sandbox", lambda at_once, long: _pool_turn(pool, at_once, long)),
            ("least", lambda at_once, long: _http_turn(server.pid, port, at_once, long)),
            ("httpx", lambda at_once, long: _httpx_turn(server.pid, port, at_once, long)),
        ]
        for _name, turn in variants:
            await turn(max(AT_ONCE), seconds)  # let V8 compile
        for number in range(rounds):
            hook.say(f"round trips: round {number + 1} of {rounds}")
            for at_once in AT_ONCE:
                for name, turn in variants if number % 2 else reversed(variants):
                    turns[name, at_once].append(await turn(at_once, seconds))

    def over(name: str, at_once: int) -> dict[str, float]:
        pairs = zip(turns["sandbox", at_once], turns[name, at_once], strict=True)
        return spread([ours.rate / theirs.rate for ours, theirs in pairs])

    return {
        f"{at_once} in flight": {
            "sandbox": _shown(turns["sandbox", at_once]),
            "node_http_by_least": _shown(turns["least", at_once]),
            "node_http_by_httpx": _shown(turns["httpx", at_once]),
            "rate_over_node_http_by_least": over("least", at_once),
            "rate_over_node_http_by_httpx": over("httpx", at_once),
        }
        for at_once in AT_ONCE
    }
