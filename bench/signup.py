"""Sign-ups per second, over the ceiling: a server that does nothing but hash the password.

    python bench/signup.py [--rounds 5] [--short]

API and worker run as processes of their own (``tenterhook api``, ``tenterhook worker``) on an embedded database, so
that what each part costs can be read from /proc. In each round every variant has its turn, in an order that changes
from round to round, and ratios are taken within the round: what else the machine does then meets all of them alike.

``of_the_ceiling`` compares the rates. ``of_the_ceiling_by_cpu`` compares the processor time that one sign-up takes, all
processes and the runs to their end: the share that a saturated machine would leave. It hardly depends on who else is
busy; where the two differ much, the machine was. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections import defaultdict
from typing import Any

import uvloop

from harness import cpu, machine
from harness.servers import NO_OP_HOOK, SLEEPING_HOOK, Product, ceiling, load, prepared, product
from harness.statistics_of import percentile, spread

SIGN_UPS = {1: 40, 8: 120, 32: 160}
"""How many in a turn, by connections."""
CONNECTIONS = tuple(SIGN_UPS)
CEILING, NO_HOOK, NO_OP, SLEEPING = "ceiling", "no_hook", "no_op_hook", "hook_that_sleeps_2_s"
_WARM_UP = 120


class Bench:
    """The turns, and what they showed."""

    def __init__(self, server: Product, ceiling_pid: int, ceiling_port: int, hooks: dict[str, str]) -> None:
        self._server = server
        self._ceiling_pid = ceiling_pid
        self._ceiling_port = ceiling_port
        self._hooks = hooks
        self._turns = 0
        self.rates: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.latencies: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.costs: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
        self.unfinished: dict[tuple[str, int], list[int]] = defaultdict(list)

    async def turn(self, variant: str, connections: int, count: int, *, keep: bool = True) -> None:
        """Send the load once to one variant, and wait until what it set off has ended."""
        self._turns += 1
        server, key = self._server, (variant, connections)
        asked = {
            "count": count,
            "connections": connections,
            "client_id": server.client_id,
            "prefix": f"turn-{self._turns}",
        }
        if variant == CEILING:
            begun = cpu.of_process(self._ceiling_pid)
            result = await load(self._ceiling_port, **asked)
            if keep:
                used = cpu.of_process(self._ceiling_pid) - begun
                self.costs[key].append({"total": used * 1000 / count})
        else:
            await server.enable(self._hooks.get(variant), list(self._hooks.values()))
            before = self._usage()
            result = await load(server.port, **asked)
            answered = self._usage()
            unfinished = await server.open_runs()
            await server.wait_until_settled()
            after = self._usage()
            if keep:
                self._keep_costs(key, count, before, answered, after)
                self.unfinished[key].append(unfinished)
        if keep:
            self.rates[key].append(count / result["seconds"])
            self.latencies[key].extend(result["latencies"])

    def _keep_costs(
        self, key: tuple[str, int], count: int, before: cpu.Usage, answered: cpu.Usage, after: cpu.Usage
    ) -> None:
        threads = os.cpu_count() or 1
        cost = cpu.milliseconds_each(before, answered, count, hashing_threads=threads)
        # The runs' own work in PostgreSQL goes on after the last answer; it is counted to its end.
        until_settled = cpu.milliseconds_each(before, after, count, hashing_threads=threads)
        cost |= {f"{part}_until_settled": until_settled[part] for part in ("postgresql", "worker", "node")}
        cost["total"] = sum(until_settled[part] for part in ("api", "postgresql", "worker", "node"))
        self.costs[key].append(cost)

    def _usage(self) -> cpu.Usage:
        server = self._server
        return cpu.Usage.now(api=server.api, worker=server.worker, postmaster=server.postmaster)

    def report(self) -> dict[str, Any]:
        """Return every figure."""
        shown: dict[str, Any] = {}
        for (variant, connections), rates in self.rates.items():
            key, latencies = (variant, connections), self.latencies[(variant, connections)]
            entry: dict[str, Any] = {
                "sign_ups_per_second": spread(rates, 1),
                "answer_ms": {
                    "p50": round(percentile(latencies, 0.5) * 1000, 1),
                    "p99": round(percentile(latencies, 0.99) * 1000, 1),
                },
            }
            costs = self.costs[key]
            entry["cpu_ms_per_sign_up"] = {
                name: round(statistics.median(cost[name] for cost in costs), 2) for name in costs[0]
            }
            if variant != CEILING:
                entry["of_the_ceiling"] = self._ratio(key, (CEILING, connections))
                entry["of_the_ceiling_by_cpu"] = spread(
                    [
                        ceilings["total"] / mine["total"]
                        for mine, ceilings in zip(
                            self.costs[key], self.costs[(CEILING, connections)], strict=True
                        )
                    ]
                )
                entry["runs_open_at_last_answer"] = spread(self.unfinished[key], 0)
            shown.setdefault(f"{connections} connections", {})[variant] = entry
        most = max(CONNECTIONS)
        shown["sleeping_over_no_op_hook"] = self._ratio((SLEEPING, most), (NO_OP, most))
        shown["sleeping_over_no_hook"] = self._ratio((SLEEPING, most), (NO_HOOK, most))
        return shown

    def _ratio(self, key: tuple[str, int], base: tuple[str, int]) -> dict[str, float]:
        return spread([mine / theirs for mine, theirs in zip(self.rates[key], self.rates[base], strict=True)])


async def _measure(rounds: int, *, short: bool) -> dict[str, Any]:
    async with prepared() as base, product(base) as server, ceiling() as (ceiling_pid, ceiling_port):
        hooks = {
            NO_OP: await server.create_hook("no-op", NO_OP_HOOK),
            SLEEPING: await server.create_hook("sleeping", SLEEPING_HOOK),
        }
        bench = Bench(server, ceiling_pid, ceiling_port, hooks)
        for variant in (CEILING, NO_HOOK, NO_OP, SLEEPING):
            await bench.turn(variant, max(CONNECTIONS), _WARM_UP, keep=False)
        for number in range(rounds):
            for connections in CONNECTIONS:
                variants = [CEILING, NO_HOOK, NO_OP]
                if connections == max(CONNECTIONS):
                    variants.append(SLEEPING)
                if number % 2:
                    variants.reverse()
                for variant in variants:
                    print(f"round {number + 1}: {connections} {variant}", file=sys.stderr)
                    await bench.turn(variant, connections, SIGN_UPS[connections] // (2 if short else 1))
        return bench.report()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Sign-ups per second over a server that only hashes.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="half as many sign-ups in each turn")
    arguments = parser.parse_args()
    about = machine.describe()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_measure(arguments.rounds, short=arguments.short))
    print(json.dumps({"machine": about, "rounds": arguments.rounds, **figures}, indent=2))


if __name__ == "__main__":
    main()
