"""A worker that may execute nothing: runs wait and say why, others take them, nothing is lost or counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tenterhook.database import Database
from tenterhook.runs import RunFilter, RunSignals, RunState, Worker, get_run, list_runs, records

from .recording_kind import LIMITS, TENANT, RecordingKind, Watch, register, working

WHY = "Hooks do not run on this server."


@asynccontextmanager
async def refusing(database: Database) -> AsyncIterator[tuple[Worker, RecordingKind, Watch]]:
    kind, signals = RecordingKind(), RunSignals()
    watch = Watch(signals)
    worker = Worker(database, {kind.name: kind}, LIMITS, signals, refusal=WHY)

    async def end_executions() -> None:
        """Nothing is executed."""

    with signals.subscribed(watch.take):
        task = asyncio.create_task(worker.run(end_executions))
        try:
            yield worker, kind, watch
        finally:
            worker.stop()
            async with asyncio.timeout(30):
                await task


async def reason_of(database: Database, run_id: str) -> str | None:
    async with database.reader() as reader:
        return (await get_run(reader, TENANT, run_id))[0].state_reason


async def test_runs_wait_and_say_why(database: Database) -> None:
    before = await register(database)
    async with refusing(database) as (worker, kind, watch):
        await watch.count("waits", 1)
        later = await register(database)
        await watch.count("waits", 2)
        assert not worker.listening
    assert [(signal.run_id, signal.data["reason"]) for signal in watch.seen] == [(before, WHY), (later, WHY)]
    assert kind.prepared == []
    async with database.reader() as reader:
        run, attempts = await get_run(reader, TENANT, before)
    assert (run.state, run.state_reason) == (RunState.WAITING, WHY)
    assert (run.attempts, run.interruptions, attempts) == (0, 0, [])


async def test_another_worker_takes_what_this_one_leaves(database: Database) -> None:
    kind = RecordingKind()
    run_id = await register(database)
    async with refusing(database) as (_, _, refused):
        await refused.count("waits", 1)
        async with working(database, kind) as (_, watch):
            await watch.count("finished", 1)
    assert kind.started == [(run_id, 1)]
    assert await reason_of(database, run_id) is None


async def test_a_reason_that_is_there_already_is_left_alone(database: Database) -> None:
    interrupted, fresh = await register(database), await register(database)
    async with database.transaction() as transaction:
        await transaction.raw.execute(
            "UPDATE runs SET state_reason = 'interrupted' WHERE id = $1", interrupted
        )
    async with refusing(database) as (_, _, watch):
        await watch.count("waits", 1)
    assert await reason_of(database, interrupted) == "interrupted"
    assert await reason_of(database, fresh) == WHY


async def test_a_backlog_of_more_than_a_batch_is_explained_to_its_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "RECONCILE_BATCH", 2)
    waiting = {await register(database) for _ in range(5)}
    async with refusing(database) as (_, _, watch):
        await watch.count("waits", 5)
    assert {signal.run_id for signal in watch.seen} == waiting


async def test_attempts_without_a_sandbox_bear_the_mark_from_their_start(database: Database) -> None:
    kind = RecordingKind()
    kind.may_end.clear()
    signals = RunSignals()
    watch = Watch(signals)
    worker = Worker(database, {kind.name: kind}, LIMITS, signals, unsandboxed=True)

    async def end_executions() -> None:
        kind.may_end.set()

    with signals.subscribed(watch.take):
        task = asyncio.create_task(worker.run(end_executions))
        run_id = await register(database)
        await watch.count("console", 1)  # it is going on
        async with database.reader() as reader:
            run, attempts = await get_run(reader, TENANT, run_id)
            listed = await list_runs(reader, TENANT, RunFilter())
        kind.may_end.set()
        await watch.count("finished", 1)
        worker.stop()
        await task
    assert [attempt.unsandboxed for attempt in attempts] == [True]
    assert run.unsandboxed
    assert [one.unsandboxed for one in listed] == [True]


async def test_attempts_with_a_sandbox_bear_none(database: Database) -> None:
    async with working(database, RecordingKind()) as (_, watch):
        run_id = await register(database)
        await watch.count("finished", 1)
    async with database.reader() as reader:
        run, attempts = await get_run(reader, TENANT, run_id)
    assert ([attempt.unsandboxed for attempt in attempts], run.unsandboxed) == ([False], False)
