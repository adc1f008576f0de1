"""What becomes of a run by how its attempt ended, and of one that is not attempted."""

from __future__ import annotations

import asyncio

import pytest

from tenterhook.database import Database
from tenterhook.runs import (
    AttemptOutcome,
    AttemptResult,
    NotExecutable,
    NotYet,
    RunState,
    cancel_runs,
    release_held_runs,
)

from .recording_kind import OK, RecordingKind, register, state_of, working


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


async def test_a_run_whose_time_has_not_come_waits_on_and_is_executed_then(database: Database) -> None:
    kind = RecordingKind()
    kind.not_executable = NotYet(after_seconds=0.2, reason="its hook crashes")
    async with working(database, kind) as (_, watch):
        run_id = await register(database)
        await watch.count("waits", 1)
        async with database.reader() as reader:
            reason = await reader.raw.fetchval("SELECT state_reason FROM runs WHERE id = $1", run_id)
        assert reason == "its hook crashes"
        assert await state_of(database, run_id) == (RunState.WAITING, 0)
        kind.not_executable = None
        await watch.count("finished", 1)
    assert await state_of(database, run_id) == (RunState.SUCCEEDED, 1)
    assert len(kind.prepared) >= 2


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
