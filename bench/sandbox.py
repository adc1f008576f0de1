"""What the sandbox costs: starts, round trips, connections, memory; each beside the same thing without it.

    python bench/sandbox.py [--short] [--tenants 1000] [--only PART …]

Everything compared is measured in one run, in turns, and ratios are taken within a pair of turns: what else the machine
does meets both alike. Medians are shown with the least and the greatest. Speaks to 127.0.0.1 only, ends what it starts (by SIGTERM
too), says on stderr how far it is, and prints JSON with the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from harness import machine
from sandboxed import connecting, hook, round_trips, starting, tenants
from tenterhook.sandbox import find_node, status_of_this_host

_PART_SECONDS = 420.0
"""Longest time for one part."""


def _parts(*, short: bool, most_tenants: int) -> dict[str, Callable[[], Awaitable[dict[str, Any]]]]:
    return {
        "cold_start": lambda: starting.cold(10 if short else 40),
        "from_the_warm_pool": lambda: starting.from_warm_pool(10 if short else 40),
        "round_trips": lambda: round_trips.measure(2 if short else 7, 0.5 if short else 1.0),
        "connect_gate": lambda: connecting.measure(6 if short else 30),
        "all_at_once": lambda: tenants.all_at_once(40 if short else 200),
        "idle_tenants": lambda: tenants.idle(min(most_tenants, 60) if short else most_tenants, 240.0),
    }


async def _measure(chosen: dict[str, Callable[[], Awaitable[dict[str, Any]]]]) -> dict[str, Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("Not in a task.")
    # Cancelled, every block that started something ends it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    figures: dict[str, Any] = {}
    for name, part in chosen.items():
        hook.say(f"{name} (load average {os.getloadavg()[0]:.1f})")
        async with asyncio.timeout(_PART_SECONDS):
            figures[name] = await part()
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the sandbox costs.")
    parser.add_argument("--short", action="store_true", help="few of each, 60 idle tenants; for a look")
    parser.add_argument("--tenants", type=int, default=1000, help="idle tenants to hold")
    parser.add_argument("--only", nargs="+", metavar="PART", help="cold_start, round_trips, …")
    arguments = parser.parse_args()
    parts = _parts(short=arguments.short, most_tenants=arguments.tenants)
    unknown = set(arguments.only or ()) - set(parts)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    about = machine.describe() | {
        "node": find_node().version,
        "sandbox_tier": status_of_this_host(unsafe=False).tier,
        "user": "root" if os.geteuid() == 0 else "ordinary",
    }
    chosen = {name: part for name, part in parts.items() if not arguments.only or name in arguments.only}
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures = runner.run(_measure(chosen))
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    about["load_average_at_end"] = os.getloadavg()[0]
    print(json.dumps({"machine": about, **figures}, indent=2))


if __name__ == "__main__":
    main()
