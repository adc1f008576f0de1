"""A kind of run whose executions the test steers: it records every attempt and ends when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from tenterhook.database import Database, Reader, Transaction
from tenterhook.ids import RunId, TenantId, UserId, new_run_id, new_user_id
from tenterhook.runs import (
    AttemptOutcome,
    AttemptResult,
    NewRun,
    NotExecutable,
    NotYet,
    Observe,
    Run,
    RunSignal,
    RunSignals,
    RunState,
    Worker,
    WorkerLimits,
    create_run,
)

TENANT = TenantId("ten_test")
OK = AttemptResult(outcome=AttemptOutcome.OK)
LIMITS = WorkerLimits(
    concurrency=8,
    lease_seconds=1.5,
    rescue_interval_seconds=0.2,
    reconcile_interval_seconds=60,
    dequeue_timeout_seconds=0.3,
    drain_timeout_seconds=5,
)


class RecordingKind:
    """Executes runs of kind ``recorded``."""

    name = "recorded"
    code_version = 7

    def __init__(self) -> None:
        self.prepared: list[RunId] = []
        self.started: list[tuple[RunId, int]] = []
        self.failed: list[tuple[RunId, int, AttemptOutcome, bool]] = []
        self.open = 0
        self.most_open = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.result: Callable[[Run, int], AttemptResult] = lambda run, attempt: OK
        self.prepare_error: Exception | None = None
        self.not_executable: NotExecutable | NotYet | None = None

    async def prepare(self, reader: Reader, run: Run) -> RecordingKind | NotExecutable | NotYet:
        self.prepared.append(run.id)
        if self.prepare_error is not None:
            raise self.prepare_error
        return self.not_executable or self

    async def execute(self, run: Run, attempt: int, observe: Observe) -> AttemptResult:
        self.started.append((run.id, attempt))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            observe("console", {"text": "hello"})
            await self.may_end.wait()
            return self.result(run, attempt)
        finally:
            self.open -= 1

    async def attempt_failed(
        self, transaction: Transaction, run: Run, attempt: int, result: AttemptResult, *, final: bool
    ) -> None:
        assert transaction.raw.is_in_transaction()
        self.failed.append((run.id, attempt, result.outcome, final))


class Watch:
    """Waits for signals of a worker."""

    def __init__(self, signals: RunSignals) -> None:
        self.seen: list[RunSignal] = []
        self._changed = asyncio.Event()
        self._signals = signals

    def take(self, signal: RunSignal) -> None:
        self.seen.append(signal)
        self._changed.set()

    async def until(self, condition: Callable[[list[RunSignal]], bool], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not condition(self.seen):
                self._changed.clear()
                await self._changed.wait()

    async def count(self, kind: str, number: int) -> None:
        await self.until(lambda seen: sum(signal.kind == kind for signal in seen) >= number)


@asynccontextmanager
async def working(
    database: Database, kind: RecordingKind, limits: WorkerLimits = LIMITS
) -> AsyncIterator[tuple[Worker, Watch]]:
    signals = RunSignals()
    watch = Watch(signals)
    worker = Worker(database, {kind.name: kind}, limits, signals)

    async def end_executions() -> None:
        kind.may_end.set()

    with signals.subscribed(watch.take):
        task = asyncio.create_task(worker.run(end_executions))
        try:
            async with asyncio.timeout(20):
                await worker.wait_until_listening()
            yield worker, watch
        finally:
            worker.stop()
            async with asyncio.timeout(30):
                await task


def new_run(user_id: UserId | None = None) -> NewRun:
    return NewRun(
        id=new_run_id(),
        tenant_id=TENANT,
        kind="recorded",
        subject_id="subject",
        user_id=user_id or new_user_id(),
        event={"user": {"email": "a@example.com"}},
    )


async def register(database: Database) -> RunId:
    new = new_run()
    async with database.transaction() as transaction:
        await create_run(transaction, new)
    return new.id


async def state_of(database: Database, run_id: RunId) -> tuple[RunState, int]:
    async with database.reader() as reader:
        row = await reader.raw.fetchrow("SELECT state, attempts FROM runs WHERE id = $1", run_id)
    return RunState(row["state"]), row["attempts"]


async def jobs(database: Database) -> list[str]:
    """Return the queue's jobs: the run and the attempts before it, as ``run:attempts``."""
    async with database.reader() as reader:
        rows = await reader.raw.fetch("SELECT payload FROM pgqueuer ORDER BY id")
    return [row["payload"].decode() for row in rows]


def with_lease(seconds: float) -> WorkerLimits:
    return replace(LIMITS, lease_seconds=seconds)
