"""Who may work on a run, and for how long: leases, what becomes of a dead worker's runs, the fence of the last write."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tenterhook.database import Database
from tenterhook.runs import (
    MAX_INTERRUPTIONS,
    RunState,
    records,
)

from .recording_kind import LIMITS, OK, RecordingKind, register, state_of, with_lease, working


async def test_a_worker_does_not_rescue_its_own_living_run(database: Database) -> None:
    """After a pause of machine or database every lease has expired; what goes on here must not start again."""
    kind = RecordingKind()
    kind.may_end.clear()
    limits = replace(LIMITS, lease_seconds=60, rescue_interval_seconds=0.1)
    async with working(database, kind, limits) as (_, watch):
        run_id = await register(database)
        await watch.count("started", 1)
        async with database.reader() as reader:
            await reader.raw.execute("UPDATE runs SET lease_expires_at = now() - interval '1 h'")
            async with asyncio.timeout(20):
                while await reader.raw.fetchval("SELECT lease_expires_at < now() FROM runs"):
                    await asyncio.sleep(0.02)
        kind.may_end.set()
        await watch.count("finished", 1)
    assert kind.started == [(run_id, 1)]
    assert await state_of(database, run_id) == (RunState.SUCCEEDED, 1)


async def test_a_cancelled_handler_neither_ends_the_run_nor_loses_it(database: Database) -> None:
    kind = RecordingKind()
    kind.may_end.clear()
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("started", 1)
        handlers = [
            task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "_dispatch"
        ]
        assert len(handlers) == 1
        handlers[0].cancel()
        await asyncio.wait(handlers)
        kind.may_end.set()
        await watch.count("finished", 1)
    assert kind.started == [(run_id, 1)]
    assert await state_of(database, run_id) == (RunState.SUCCEEDED, 1)


@pytest.mark.parametrize("column", ["worker_id", "attempts", "state"])
async def test_the_finishing_write_is_fenced(database: Database, column: str) -> None:
    """A worker that was presumed dead writes nothing over its successor, whichever part of the fence has moved on."""
    run_id = await register(database)
    async with database.reader() as reader:
        run = await records.waiting_run(reader, run_id, 0)
        attempt = await records.start_attempt(reader, run, worker_id="old", lease_seconds=30, code_version=1)
        moved = {
            "worker_id": "UPDATE runs SET worker_id = 'new'",
            "attempts": "UPDATE runs SET attempts = attempts + 1",
            "state": "UPDATE runs SET state = 'waiting', worker_id = NULL, lease_expires_at = NULL",
        }
        await reader.raw.execute(moved[column])
        before = await reader.raw.fetch("SELECT * FROM runs, attempts")
        written = await records.finish_attempt(
            reader, run, attempt=attempt, worker_id="old", result=OK, state=RunState.SUCCEEDED, reason=None
        )
        assert not written
        assert await reader.raw.fetch("SELECT * FROM runs, attempts") == before


async def test_a_dead_workers_claimed_job_is_claimed_again_soon(database: Database) -> None:
    """Killed between claiming the job and recording the attempt: PgQueuer alone would wait 30 s."""
    kind = RecordingKind()
    run_id = await register(database)
    async with database.transaction() as transaction:
        await transaction.raw.execute(
            "UPDATE pgqueuer SET status = 'picked', queue_manager_id = gen_random_uuid(), heartbeat = now()"
        )
    async with working(database, kind, with_lease(1.0)) as (_, watch):
        await watch.until(lambda seen: any(signal.kind == "finished" for signal in seen), seconds=15)
    assert kind.started == [(run_id, 1)]


async def test_a_long_run_keeps_its_lease(database: Database) -> None:
    kind = RecordingKind()
    kind.may_end.clear()
    async with working(database, kind, with_lease(0.6)) as (_, watch):
        run_id = await register(database)
        await watch.count("started", 1)
        async with database.reader() as reader:
            first = await reader.raw.fetchval("SELECT lease_expires_at FROM runs")
            async with asyncio.timeout(20):  # two leases later it is still this attempt's
                while await reader.raw.fetchval("SELECT now() < $1::timestamptz + interval '0.6 s'", first):
                    await asyncio.sleep(0.05)
        assert await state_of(database, run_id) == (RunState.RUNNING, 1)
        kind.may_end.set()
        await watch.count("finished", 1)
    assert kind.started == [(run_id, 1)]


async def test_an_expired_lease_returns_the_run_to_waiting_and_it_runs_again(database: Database) -> None:
    kind = RecordingKind()
    run_id = await register(database)
    async with database.transaction() as transaction:
        run = await records.waiting_run(transaction, run_id, 0)
        await records.start_attempt(transaction, run, worker_id="dead", lease_seconds=0, code_version=1)
    async with working(database, kind) as (_, watch):
        await watch.count("finished", 1)
    assert kind.started == [(run_id, 2)]
    async with database.reader() as reader:
        outcomes = await reader.raw.fetch("SELECT outcome FROM attempts ORDER BY number")
        assert [row["outcome"] for row in outcomes] == ["interrupted", "ok"]
        assert await reader.raw.fetchval("SELECT interruptions FROM runs") == 1


async def test_a_worker_that_lost_its_lease_abandons_the_run(database: Database) -> None:
    kind = RecordingKind()
    kind.may_end.clear()
    async with working(database, kind, with_lease(0.6)) as (worker, watch):
        run_id = await register(database)
        await watch.count("started", 1)
        async with database.reader() as reader:
            await reader.raw.execute(
                "UPDATE runs SET worker_id = 'successor', lease_expires_at = now() + '1 h'"
            )
        async with asyncio.timeout(20):
            while worker.open_runs:
                await asyncio.sleep(0.02)
    assert kind.open == 0
    assert await state_of(database, run_id) == (RunState.RUNNING, 1)


async def test_a_run_interrupted_too_often_needs_attention(database: Database) -> None:
    run_id = await register(database)
    async with database.transaction() as transaction:
        for number in range(MAX_INTERRUPTIONS + 1):
            run = await records.waiting_run(transaction, run_id, number)
            assert run is not None
            await records.start_attempt(transaction, run, worker_id="dead", lease_seconds=-1, code_version=1)
            assert await records.rescue_lost_runs(transaction) == [(run_id, number + 1)]
    assert await state_of(database, run_id) == (RunState.ATTENTION, MAX_INTERRUPTIONS + 1)
