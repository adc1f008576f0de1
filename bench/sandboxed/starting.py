"""How long from nothing to the first result: jailed, bare, and from the warm pool.

Jailed is ``SandboxPool.run`` of a tenant that has no process: host, supervisor, zygote, jail, Node, the run, to its
settling. Bare is ``bare_node.py``: Node and the run. They take turns, and a ratio is taken within a pair.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from harness.statistics_of import percentile, spread
from sandboxed import hook, processes
from tenterhook.sandbox import Confinement, SandboxPool, find_node
from tenterhook.sandbox.ground import RUNTIME_DIR

_POLL_SECONDS = 0.02
_REST_SECONDS = 0.6
"""Between two that come from the warm pool: until that is full again, and those before have ended."""


def _bare_command() -> list[str]:
    heap_mib = Confinement().memory_bytes * 3 // 4 // 2**20  # as a jail's
    frame = json.dumps(hook.message(), separators=(",", ":"))
    program = str(Path(__file__).with_name("bare_node.py"))
    node, main = str(find_node().path), str(RUNTIME_DIR / "main.cjs")
    return [sys.executable, "-I", "-S", program, node, main, str(heap_mib), frame]


async def _bare(process: asyncio.subprocess.Process) -> tuple[float, float]:
    if process.stdin is None:
        raise RuntimeError("The program's input is not ours.")
    process.stdin.write(b"\n")
    told = json.loads(await processes.line_of(process))
    return told["milliseconds"], told["processor_ms"]


async def _jailed(pool: SandboxPool, tenant: str) -> tuple[float, float]:
    supervisor = pool.status.supervisor_pid or 0
    helpers = [supervisor, *processes.children_of(supervisor)]
    before = sum(processes.processor_ms(pid) for pid in helpers) + time.process_time() * 1000
    took = await hook.run(pool, tenant)
    used = sum(processes.processor_ms(pid) for pid in (*helpers, *pool.status.pids))
    return took, used + time.process_time() * 1000 - before


async def _until_empty(pool: SandboxPool) -> None:
    while pool.status.processes:
        await asyncio.sleep(_POLL_SECONDS)


async def cold(count: int) -> dict[str, Any]:
    """Start so many of each."""
    jailed: list[tuple[float, float]] = []
    bare: list[tuple[float, float]] = []
    async with (
        processes.program(*_bare_command()) as plain,
        SandboxPool(drain_seconds=0, idle_seconds=0.05) as pool,
    ):
        for number in range(-2, count):
            turns = [(bare, lambda: _bare(plain)), (jailed, lambda: _jailed(pool, f"tenant {number}"))]  # noqa: B023 - called at once
            for found, start in turns if number % 2 else reversed(turns):
                figure = await start()
                if number >= 0:  # the first two of each fill caches
                    found.append(figure)
                await _until_empty(pool)
    return {
        "starts_of_each": count,
        "jailed_ms": hook.shown([took for took, _ in jailed]),
        "bare_ms": hook.shown([took for took, _ in bare]),
        "jailed_over_bare": spread([a[0] / b[0] for a, b in zip(jailed, bare, strict=True)]),
        # Of all that the neighbours did not disturb much, if there was such a time.
        "jailed_over_bare_at_lower_quartile": round(
            percentile([took for took, _ in jailed], 0.25) / percentile([took for took, _ in bare], 0.25), 3
        ),
        "processor_ms": {
            "jailed_with_host_supervisor_zygote": spread([used for _, used in jailed], 1),
            "bare_with_its_starter": spread([used for _, used in bare], 1),
        },
        "jailed_over_bare_by_processor_time": spread(
            [a[1] / b[1] for a, b in zip(jailed, bare, strict=True)]
        ),
    }


async def from_warm_pool(count: int) -> dict[str, Any]:
    """Let so many new tenants take a warm process, one after another."""
    taken: list[float] = []
    async with SandboxPool(drain_seconds=0, idle_seconds=0.05, warm_processes=2) as pool:
        for number in range(count):
            await asyncio.sleep(_REST_SECONDS)
            taken.append(await hook.run(pool, f"tenant {number}"))
    return {"runs": count, "settled_ms": hook.shown(taken)}
