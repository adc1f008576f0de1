"""Each point of DESIGN §5's queue discipline: what PgQueuer's defaults would do wrong, and that ours does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import FailingListenerError

from tenterhook.database import Database
from tenterhook.ids import RunId
from tenterhook.runs import (
    AttemptOutcome,
    AttemptResult,
    NotInTransactionError,
    RunSignals,
    RunState,
    Worker,
    create_run,
    queue,
    records,
)

from .recording_kind import LIMITS, RecordingKind, jobs, new_run, register, state_of, working


async def test_enqueue_refuses_to_run_outside_a_transaction(database: Database) -> None:
    async with database.reader() as reader:
        with pytest.raises(NotInTransactionError):
            await queue.enqueue(reader, [(RunId("x"), 0)])
    assert await jobs(database) == []


async def test_a_rolled_back_registration_leaves_neither_run_nor_job(database: Database) -> None:
    new = new_run()

    async def register_and_fail() -> None:
        async with database.transaction() as transaction:
            await create_run(transaction, new)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await register_and_fail()
    async with database.reader() as reader:
        assert await reader.raw.fetchval("SELECT count(*) FROM runs") == 0
    assert await jobs(database) == []


async def test_no_exception_leaves_the_handler_and_the_run_comes_back(database: Database) -> None:
    kind = RecordingKind()
    kind.prepare_error = OSError("the database failed")
    async with working(database, kind) as (worker, watch):
        run_id = await register(database)
        async with asyncio.timeout(20):
            while await jobs(database):  # the job is spent, the run still waits
                await asyncio.sleep(0.02)
        assert await state_of(database, run_id) == (RunState.WAITING, 0)
        kind.prepare_error = None
        worker._reconcile_now()
        await watch.count("finished", 1)
    assert await state_of(database, run_id) == (RunState.SUCCEEDED, 1)


async def test_a_failing_listener_is_connected_anew(database: Database, monkeypatch) -> None:
    """PgQueuer's own error for it is of no class that one would guess."""
    failures = iter([FailingListenerError()])
    run = QueueManager.run

    async def failing_once(self, **options):
        for failure in failures:
            raise failure
        await run(self, **options)

    monkeypatch.setattr(QueueManager, "run", failing_once)
    kind = RecordingKind()
    async with working(database, kind) as (_, watch):
        await register(database)
        await watch.count("finished", 1)


async def test_a_worker_whose_part_ended_does_not_look_alive(database: Database, monkeypatch) -> None:
    async def broken(self):
        raise ZeroDivisionError

    monkeypatch.setattr(Worker, "_reconcile", broken)
    worker = Worker(database, {}, LIMITS, RunSignals())
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(20):
            await worker.run(asyncio.Event().wait)


@pytest.mark.parametrize("payload", ["{run}:0", "{run}:7", "no-such-run:0"])
async def test_a_job_whose_run_does_not_wait_for_it_is_dropped(database: Database, payload: str) -> None:
    kind = RecordingKind()
    run_id = await register(database)
    async with database.transaction() as transaction:
        await transaction.raw.execute("DELETE FROM pgqueuer")
        await transaction.raw.execute("UPDATE runs SET state = 'succeeded', attempts = 1")
        wanted, _, attempts = payload.format(run=run_id).partition(":")
        await queue.enqueue(transaction, [(RunId(wanted), int(attempts))])
    async with working(database, kind):
        async with asyncio.timeout(20):
            while await jobs(database):
                await asyncio.sleep(0.02)
    assert kind.prepared == []


async def test_two_jobs_for_one_run_execute_it_once(database: Database) -> None:
    kind = RecordingKind()
    run_id = await register(database)
    async with database.transaction() as transaction:
        await transaction.raw.execute("UPDATE pgqueuer SET dedupe_key = NULL")
        await queue.enqueue(transaction, [(run_id, 0)])
    assert len(await jobs(database)) == 2
    async with working(database, kind) as (_, watch):
        await watch.count("finished", 1)
        async with asyncio.timeout(20):
            while await jobs(database):
                await asyncio.sleep(0.02)
    assert kind.started == [(run_id, 1)]


async def test_at_its_start_a_worker_enqueues_waiting_runs_without_a_job(database: Database) -> None:
    kind = RecordingKind()
    run_ids = {await register(database) for _ in range(5)}
    async with database.transaction() as transaction:
        await transaction.raw.execute("TRUNCATE pgqueuer")
    async with working(database, kind) as (_, watch):
        await watch.count("finished", 5)
    assert {run_id for run_id, _ in kind.started} == run_ids


async def test_the_reconciler_leaves_runs_alone_that_have_a_job(database: Database) -> None:
    await register(database)
    async with database.transaction() as transaction:
        assert await records.enqueue_runs_without_job(transaction) == 0
    assert len(await jobs(database)) == 1


async def test_no_more_runs_are_open_than_the_worker_may_have(database: Database) -> None:
    kind = RecordingKind()
    kind.may_end.clear()
    limits = replace(LIMITS, concurrency=4)
    for _ in range(12):
        await register(database)
    async with working(database, kind, limits) as (_, watch):
        await watch.count("started", 4)
        async with database.reader() as reader:
            assert await reader.raw.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'picked'") == 4
        kind.may_end.set()
        await watch.count("finished", 12)
    assert kind.most_open == 4


async def test_the_queue_survives_the_end_of_its_connection(database: Database) -> None:
    kind = RecordingKind()
    kind.may_end.clear()
    async with working(database, kind) as (_, watch):
        first = await register(database)
        await watch.count("started", 1)
        async with database.reader() as reader:
            ended = await reader.raw.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'tenterhook-queue' AND datname = current_database()"
            )
        assert ended == 1
        # The open run must not keep the queue from coming back.
        second = await register(database)
        await watch.count("started", 2)
        kind.may_end.set()
        await watch.count("finished", 2)
    assert kind.started == [(first, 1), (second, 1)]


async def test_the_queues_log_is_pruned_and_holds_no_text_of_hooks(database: Database) -> None:
    kind = RecordingKind()
    kind.result = lambda run, attempt: AttemptResult(
        outcome=AttemptOutcome.ERROR, error={"message": "a secret text"}
    )
    async with working(database, kind) as (worker, watch):
        await register(database)
        await watch.count("finished", 1)
        async with asyncio.timeout(20):
            while await jobs(database):
                await asyncio.sleep(0.02)
        async with database.reader() as reader:
            logged = await reader.raw.fetch("SELECT to_jsonb(pgqueuer_log)::text AS row FROM pgqueuer_log")
            assert logged
            assert not any("secret" in row["row"] for row in logged)
        await worker._reconcile()
        async with database.reader() as reader:
            assert await reader.raw.fetchval("SELECT count(*) FROM pgqueuer_log") == 0
