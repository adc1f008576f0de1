"""How long a run takes to reach its first line, cold and warm, and what an idle process weighs. Prints JSON.

python bench/sandbox.py [--runs 2000] [--cold 10] [--tenants 10]

"first line" is from ``run()`` until the process says that it begins; "settled" is until ``run()`` returns. The hook is
``cb()``. Cold and warm are measured in one go on one machine; times in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
from pathlib import Path

import uvloop

from tenterhook.sandbox import Execution, Invocation, SandboxPool, Script

SCRIPT = Script(key="bench", source="module.exports = function (user, context, cb) { cb(null, user.email) }")
ARGUMENTS = (
    {"id": "5d8b1128fe2e260e0d96e369", "email": "ada@example.com", "user_metadata": {"plan": "full"}},
    {},
)


def spread(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    return {
        "p50": round(statistics.median(values), 3),
        "p99": round(values[min(len(values) - 1, int(len(values) * 0.99))], 3),
        "max": round(values[-1], 3),
    }


async def one(pool: SandboxPool, tenant: str) -> Execution:
    return await pool.run(tenant, SCRIPT, Invocation(run_id="bench", arguments=ARGUMENTS))


async def cold(count: int) -> dict[str, float]:
    times = []
    for _ in range(count):
        async with SandboxPool(drain_seconds=0) as pool:
            times.append((await one(pool, "t")).milliseconds_to_start or 0.0)
    return spread(times)


async def warm(runs: int, at_once: int) -> dict[str, object]:
    async with SandboxPool(max_runs_per_process=at_once, drain_seconds=0) as pool:
        await asyncio.gather(*(one(pool, "t") for _ in range(at_once)))
        first_line: list[float] = []
        settled: list[float] = []

        async def client() -> None:
            for _ in range(runs // at_once):
                began = time.perf_counter()
                execution = await one(pool, "t")
                settled.append((time.perf_counter() - began) * 1000)
                first_line.append(execution.milliseconds_to_start or 0.0)

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(at_once)))
        seconds = time.perf_counter() - began
        return {
            "at_once": at_once,
            "first_line_ms": spread(first_line),
            "settled_ms": spread(settled),
            "per_second": round(len(settled) / seconds),
        }


async def idle(tenants: int) -> dict[str, float]:
    async with SandboxPool(max_processes=tenants, drain_seconds=0) as pool:
        for number in range(tenants):
            await one(pool, str(number))
        sizes = []
        for pid in pool.status.pids:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            sizes.append(next(int(x.split()[1]) for x in rollup.splitlines() if x.startswith("Pss:")) / 1024)
        return {"processes": len(sizes), "pss_mib_each": round(statistics.mean(sizes), 1)}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--cold", type=int, default=10)
    parser.add_argument("--tenants", type=int, default=10)
    options = parser.parse_args()
    async with SandboxPool() as pool:
        status = pool.status
    figures = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "node": status.node_version,
            "surroundings": status.surroundings,
            "load": os.getloadavg()[0],
        },
        "cold_first_line_ms": await cold(options.cold),
        "warm": [await warm(options.runs, at_once) for at_once in (1, 16, 64)],
        "idle": await idle(options.tenants),
    }
    print(json.dumps(figures, indent=2))


uvloop.run(main())
