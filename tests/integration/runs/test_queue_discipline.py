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
    MAX_INTERRUPTIONS,
    AttemptOutcome,
    AttemptResult,
    NotExecutable,
    NotInTransactionError,
    RunSignals,
    RunState,
    Worker,
    cancel_runs,
    create_run,
    queue,
    records,
    release_held_runs,
)

from .recording_kind import LIMITS, OK, RecordingKind, new_run, register, state_of, with_lease, working


async def jobs(database: Database) -> list[str]:
    async with database.reader() as reader:
        rows = await reader.raw.fetch("SELECT payload FROM pgqueuer ORDER BY id")
    return [row["payload"].decode() for row in rows]


async def test_a_registered_run_is_attempted_once_and_succeeds(database: Database) -> None:
    kind = RecordingKind()
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("finished", 1)
    assert kind.started == [(run_id, 1)]
    assert await state_of(database, run_id) == (RunState.SUCCEEDED, 1)
    assert [signal.kind for signal in watch.seen] == ["started", "console", "finished"]


async def test_the_attempt_is_committed_before_the_first_line_of_user_code(database: Database) -> None:
    kind = RecordingKind()
    seen: list[tuple[str, int, int | None]] = []
    execute = kind.execute

    async def looking(run, attempt, observe):
        async with database.reader() as reader:  # another connection: sees only what is committed
            row = await reader.raw.fetchrow(
                "SELECT runs.state, attempts.number, attempts.code_version FROM runs JOIN attempts ON run_id = id"
            )
        seen.append(tuple(row))
        return await execute(run, attempt, observe)

    kind.execute = looking
    async with working(database, kind) as (_, watch):
        await register(database)
        await watch.count("finished", 1)
    assert seen == [("running", 1, 7)]


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


async def test_a_run_that_cannot_be_prepared_says_so_and_does_not_loop_unseen(database: Database) -> None:
    kind = RecordingKind()
    kind.prepare_error = RuntimeError("a secret cannot be opened")
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("finished", 1)
        kind.prepare_error = None
        await watch.count("finished", 2)
    assert await state_of(database, run_id) == (RunState.SUCCEEDED, 2)
    async with database.reader() as reader:
        first = await reader.raw.fetchrow("SELECT outcome, notes::text FROM attempts WHERE number = 1")
    assert first["outcome"] == "interrupted"
    assert "a secret cannot be opened" in first["notes"]


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


async def test_a_failed_attempt_goes_to_attention_and_tells_its_kind(database: Database) -> None:
    kind = RecordingKind()
    kind.result = lambda run, attempt: AttemptResult(outcome=AttemptOutcome.ERROR, error={"message": "no"})
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("finished", 1)
    assert kind.failed == [(run_id, 1, AttemptOutcome.ERROR, True)]
    assert await state_of(database, run_id) == (RunState.ATTENTION, 1)


async def test_an_interrupted_attempt_runs_again_at_once_and_uses_up_no_patience(database: Database) -> None:
    kind = RecordingKind()
    kind.result = lambda run, attempt: (
        AttemptResult(outcome=AttemptOutcome.INTERRUPTED) if attempt < 3 else OK
    )
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("finished", 2)
        async with database.reader() as reader:  # the second time it waits a second
            wait = await reader.raw.fetchval("SELECT due_at > now() FROM runs")
        await watch.count("finished", 3)
    assert wait
    assert kind.started == [(run_id, 1), (run_id, 2), (run_id, 3)]
    assert kind.failed == []
    assert await state_of(database, run_id) == (RunState.SUCCEEDED, 3)


@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.HELD])
async def test_a_run_that_must_not_be_executed_is_set_aside_with_its_reason(
    database: Database, state: RunState
) -> None:
    kind = RecordingKind()
    kind.not_executable = NotExecutable(state=state, reason="the hook is gone")
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("not_executed", 1)
    assert kind.started == []
    assert await state_of(database, run_id) == (state, 0)


async def test_stopping_lets_open_runs_finish_and_claims_no_more(database: Database) -> None:
    kind = RecordingKind()
    kind.may_end.clear()
    async with working(database, kind) as (worker, watch):
        first = await register(database)
        await watch.count("started", 1)
        worker.stop()
        second = await register(database)
        kind.may_end.set()
        await watch.count("finished", 1)
    assert await state_of(database, first) == (RunState.SUCCEEDED, 1)
    assert await state_of(database, second) == (RunState.WAITING, 0)


async def test_text_that_postgresql_refuses_is_recorded_all_the_same(database: Database) -> None:
    kind = RecordingKind()
    kind.result = lambda run, attempt: AttemptResult(
        outcome=AttemptOutcome.ERROR,
        error={"message": "nul \x00 and lone \ud800"},
        console=[{"text": "\x00"}],
    )
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("finished", 1)
    assert await state_of(database, run_id) == (RunState.ATTENTION, 1)


async def test_held_runs_are_released_and_unstarted_ones_cancelled(database: Database) -> None:
    kind = RecordingKind()
    kind.not_executable = NotExecutable(state=RunState.HELD, reason="the hook is disabled")
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        async with asyncio.timeout(20):
            while len(kind.prepared) < 2:  # it looks once more after it has set the run aside
                await asyncio.sleep(0.01)
        kind.not_executable = None
        async with database.transaction() as transaction:
            assert await release_held_runs(transaction, "subject") == 1
        await watch.count("finished", 1)
    waiting = await register(database)
    async with database.transaction() as transaction:
        assert await cancel_runs(transaction, "subject", "its hook was deleted") == 1
    assert await state_of(database, run_id) == (RunState.SUCCEEDED, 1)
    assert await state_of(database, waiting) == (RunState.CANCELLED, 0)


async def test_a_run_held_just_when_its_hold_ends_is_not_forgotten(database: Database) -> None:
    kind = RecordingKind()
    answers = iter([NotExecutable(state=RunState.HELD, reason="the hook is disabled"), kind, kind])

    async def prepare(reader, run):
        return next(answers)

    kind.prepare = prepare
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("finished", 1)
    assert await state_of(database, run_id) == (RunState.SUCCEEDED, 1)


async def test_a_result_that_the_database_refuses_is_recorded_as_such(database: Database) -> None:
    """Retrying what will be refused for ever would hold the worker's places for ever."""
    kind = RecordingKind()
    kind.result = lambda run, attempt: AttemptResult(outcome=AttemptOutcome.OK, verdict={"x": float("inf")})
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("finished", 1)
    assert await state_of(database, run_id) == (RunState.ATTENTION, 1)
    async with database.reader() as reader:
        attempt = await reader.raw.fetchrow("SELECT outcome, error::text, notes::text FROM attempts")
    assert attempt["outcome"] == "error"
    assert "could not be stored" in attempt["error"]
    assert "ended as: ok" in attempt["notes"]
