"""From the commit of a sign-up to the first line of the hook, where nothing else goes on.

    python bench/dispatch.py [--rounds 3] [--sign-ups 80]

The product runs as ``tenterhook serve`` does: API and worker in one process, on an embedded database, with a hook that
does nothing. A process of its own signs people up at random gaps of 20 to 80 ms. The clock starts when the
registration's transaction has been committed and stops when this process hears from Node that the hook's first line
is about to run. The floor, in the same process, in turns with it: PgQueuer alone, with its own tables in a second
database of the same server, from the commit of one row and one job to an empty handler. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
import uuid
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job

from harness import machine
from harness.servers import NO_OP_HOOK, Prepared, load, prepared
from harness.statistics_of import percentile, spread
from tenterhook.application import Application, open_application
from tenterhook.cli.listening import bind, serving
from tenterhook.cli.structured_logging import configure_logging
from tenterhook.directory import tenants
from tenterhook.hooks import NewHook
from tenterhook.hooks.catalogue import POST_USER_REGISTRATION
from tenterhook.runs import RunSignal

GAP_MS = (20, 80)
_WARM_UP = 30
_FLOOR_DATABASE = "floor"


async def _until(count: int, stamps: dict[str, float]) -> None:
    async with asyncio.timeout(60):
        while len(stamps) < count:
            await asyncio.sleep(0.01)


async def _record_nothing(*_: object) -> None:
    """Hooks are created here without the API, so there is no change to write down."""


async def _enable_no_op_hook(application: Application) -> None:
    if application.asgi is None:
        raise RuntimeError("The application has no API.")
    async with application.database.reader() as reader:
        tenant = (await tenants.list_all(reader))[0]
    await application.asgi.state.hooks.create(
        tenant.id,
        NewHook(name="no-op", trigger_id=POST_USER_REGISTRATION.trigger_id, script=NO_OP_HOOK, enabled=True),
        record=_record_nothing,
    )


async def _product(base: Prepared, count: int, round_number: int) -> list[float]:
    """Return milliseconds from commit to first line, one for each sign-up."""
    committed: dict[str, float] = {}
    begun: dict[str, float] = {}

    def note(signal: RunSignal) -> None:
        if signal.kind == "registered":
            committed[signal.run_id] = time.perf_counter()
        elif signal.kind == "first_line":
            begun[signal.run_id] = time.perf_counter()

    with bind("127.0.0.1", 0) as bound:
        async with (
            open_application(base.settings, api=True, worker=True) as application,
            serving(application.asgi, bound, drain_timeout_seconds=5),
        ):
            if round_number == 0:
                await _enable_no_op_hook(application)
            if application.worker is None:
                raise RuntimeError("The application has no worker.")
            await application.worker.wait_until_listening()
            with application.run_signals.subscribed(note):
                for name, number in (("warm-up", _WARM_UP), ("measured", count)):
                    committed.clear()
                    begun.clear()
                    await load(
                        bound.getsockname()[1],
                        count=number,
                        connections=1,
                        client_id=base.tenant.application_client_id,
                        prefix=f"round-{round_number}-{name}",
                        gap_ms=GAP_MS,
                    )
                    await _until(number, begun)
    return [(begun[run] - committed[run]) * 1000 for run in committed]


async def _floor(url: str, count: int) -> list[float]:
    """Return the same of PgQueuer alone."""
    begun: dict[str, float] = {}
    committed: dict[str, float] = {}
    listening, sending = await asyncpg.connect(url), await asyncpg.connect(url)
    manager = QueueManager(Queries(AsyncpgDriver(listening)))

    @manager.entrypoint("floor")
    async def begin(job: Job) -> None:
        begun[(job.payload or b"").decode()] = time.perf_counter()

    running = asyncio.create_task(manager.run(dequeue_timeout=timedelta(seconds=1)))
    queries = Queries(AsyncpgDriver(sending))
    for number in (_WARM_UP, count):
        begun.clear()
        committed.clear()
        for _ in range(number):
            key = uuid.uuid4().hex
            async with sending.transaction():
                await sending.execute("INSERT INTO people (id) VALUES ($1)", key)
                await queries.enqueue("floor", key.encode())
            committed[key] = time.perf_counter()
            await asyncio.sleep(random.uniform(*GAP_MS) / 1000)
        await _until(number, begun)
    manager.shutdown.set()
    await running
    await listening.close()
    await sending.close()
    return [(begun[key] - committed[key]) * 1000 for key in committed]


async def _prepare_floor(base: Prepared) -> str:
    maintenance = await asyncpg.connect(base.maintenance_url.get_secret_value())
    await maintenance.execute(f"CREATE DATABASE {_FLOOR_DATABASE}")
    await maintenance.close()
    url = base.maintenance_url.get_secret_value().replace("/postgres?", f"/{_FLOOR_DATABASE}?")
    connection = await asyncpg.connect(url)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.execute("CREATE TABLE people (id text PRIMARY KEY)")
    await connection.close()
    return url


def _figures(rounds: list[list[float]]) -> dict[str, Any]:
    together = [value for each in rounds for value in each]
    return {
        "count": len(together),
        "p50_ms": round(percentile(together, 0.5), 2),
        "p90_ms": round(percentile(together, 0.9), 2),
        "p99_ms": round(percentile(together, 0.99), 2),
        "greatest_ms": round(max(together), 2),
        "p50_ms_by_round": spread([percentile(each, 0.5) for each in rounds], 2),
    }


async def _measure(rounds: int, count: int) -> dict[str, Any]:
    product: list[list[float]] = []
    floor: list[list[float]] = []
    async with prepared() as base:
        url = await _prepare_floor(base)
        for number in range(rounds):
            print(f"round {number + 1}: floor", file=sys.stderr)
            floor.append(await _floor(url, count))
            print(f"round {number + 1}: product", file=sys.stderr)
            product.append(await _product(base, count, number))
    return {"commit_to_first_line": _figures(product), "pgqueuer_alone": _figures(floor)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="From commit to the first line of user code.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sign-ups", type=int, default=80, help="in each round")
    arguments = parser.parse_args()
    configure_logging("text", "error")
    about = machine.describe()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_measure(arguments.rounds, arguments.sign_ups))
    print(json.dumps({"machine": about, "rounds": arguments.rounds, **figures}, indent=2))


if __name__ == "__main__":
    main()
