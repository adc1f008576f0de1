"""Many tenants: what an idle one weighs, how many this machine holds, and what happens when all of them want to run at once.

The memory of an idle tenant is the PSS of its Node process and its share of the supervisor and the zygote. PSS does not
count what the kernel keeps (page tables, namespaces, control groups); what the machine lost of its available memory does, but
counts the neighbours too.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from typing import Any

from sandboxed import hook, processes
from tenterhook.sandbox import SandboxPool

_KEEP_FREE_MIB = 3072
"""Where starting more stops: the machine is not ours alone."""
_CALLERS = 16
_STEP = 100
_SETTLE_SECONDS = 3.0
"""Until Node has freed what it needed only to start."""


def _allow_many_files() -> None:
    """As many descriptors as we may have: a tenant takes three of the host's and more of the supervisor's."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _weight(pool: SandboxPool, available_before: float) -> dict[str, Any]:
    status = pool.status
    supervisor = status.supervisor_pid or 0
    own = {"supervisor": supervisor, "zygote": processes.children_of(supervisor)[0]}
    helpers = {name: processes.memory_mib(pid) for name, pid in own.items()}
    nodes = [processes.memory_mib(pid) for pid in status.pids]
    return {
        "tenants": len(nodes),
        "pss_mib_per_tenant": round((sum(nodes) + sum(helpers.values())) / len(nodes), 2),
        "pss_mib_of_node": {"median": round(statistics.median(nodes), 2), "greatest": round(max(nodes), 2)},
        "pss_mib_of_helpers": {name: round(value, 1) for name, value in helpers.items()},
        "available_mib_lost_per_tenant": round(
            (available_before - processes.available_mib()) / len(nodes), 2
        ),
    }


async def idle(tenants: int, seconds: float) -> dict[str, Any]:
    """Start so many tenants, or as many as memory and time allow, and weigh them."""
    _allow_many_files()
    available = processes.available_mib()
    weights: list[dict[str, Any]] = []
    async with SandboxPool(drain_seconds=0, max_processes=tenants, idle_seconds=3600) as pool:
        began = time.perf_counter()
        started, stopped_by = 0, None
        while started < tenants and stopped_by is None:
            names = iter(range(started, min(tenants, started + _STEP)))

            async def start(names: Any = names) -> None:
                for name in names:
                    await hook.run(pool, f"tenant {name}")

            await asyncio.gather(*(start() for _ in range(_CALLERS)))
            started = pool.status.processes
            hook.say(f"idle tenants: {started}, {time.perf_counter() - began:.0f} s")
            if processes.available_mib() < _KEEP_FREE_MIB:
                stopped_by = "memory"
            elif time.perf_counter() - began > seconds:
                stopped_by = "time"
            if len(weights) == 0 or started >= tenants or stopped_by:
                took = time.perf_counter() - began
                await asyncio.sleep(_SETTLE_SECONDS)
                weights.append(_weight(pool, available))
        every = max(1, started // 50)
        again = [await hook.run(pool, f"tenant {name}") for name in range(0, started, every)]
        ending = time.perf_counter()
    return {
        "weights": weights,
        "held": started,
        "stopped_by": stopped_by,
        "seconds_to_start_all": round(took, 1),
        "a_run_among_them_ms": hook.shown(again),
        "seconds_to_end_all": round(time.perf_counter() - ending, 1),
    }


async def all_at_once(tenants: int) -> dict[str, Any]:
    """Let each of so many tenants run one hook at the same moment: without processes first, then each in its idle one."""
    _allow_many_files()
    found: dict[str, Any] = {"tenants": tenants}
    async with SandboxPool(drain_seconds=0, max_processes=tenants) as pool:
        for name in ("without_processes", "with_idle_processes"):
            began = time.perf_counter()
            taken = await asyncio.gather(*(hook.run(pool, f"tenant {number}") for number in range(tenants)))
            wall = time.perf_counter() - began
            found[name] = {
                "wall_seconds": round(wall, 2),
                "wall_ms_per_tenant": round(wall * 1000 / tenants, 2),
                "settled_ms": hook.shown(taken, 1),
            }
            await asyncio.sleep(1.0)
    return found
