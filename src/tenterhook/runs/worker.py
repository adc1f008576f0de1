"""The worker: claims runs, has them executed, keeps its leases, and rescues what dead workers left.

    claimed ─► prepared ─► attempt recorded (committed) ─► executed ─► finished (fenced)

Four tasks live beside each other: the queue loop; the lease keeper, which renews the leases of all open runs with one
statement every third of a lease; the rescuer, which returns runs with an expired lease to ``waiting``; and the
reconciler, which gives waiting runs without a job one. Rescuer and reconciler run in every worker: they compare and
set, so many of them do no harm, and no worker is special.

Stopping has an order, and this is why: first claim no more; then let open runs finish (``drain_timeout_seconds``);
then end the sandbox, whereby what is still open comes back as *interrupted* and is written so; only then stop renewing
leases. The other way round, another worker would start runs that are still going on here.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog

from tenterhook.database import UNAVAILABLE, Database, DatabaseUnavailableError, Reader
from tenterhook.ids import RunId, new_worker_id
from tenterhook.runs import queue, records
from tenterhook.runs.run import (
    AttemptOutcome,
    AttemptResult,
    Executable,
    NotExecutable,
    NotYet,
    Run,
    RunKind,
    RunState,
)
from tenterhook.runs.signals import RunSignal, RunSignals
from tenterhook.runs.stand_ins import FailedPreparation, UnstorableResult

log = structlog.get_logger(__name__)

DATABASE_TROUBLE = (
    DatabaseUnavailableError,
    *UNAVAILABLE,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
"""What passes: a lost, restarting, full or contended database. What it refuses for its content does not."""
_FIRST_WRITE_RETRY_SECONDS, _LONGEST_WRITE_RETRY_SECONDS = 0.1, 2.0


@dataclass(frozen=True, kw_only=True)
class WorkerLimits:
    """The worker's numbers; see the settings of the same names."""

    concurrency: int
    lease_seconds: float
    rescue_interval_seconds: float
    reconcile_interval_seconds: float
    dequeue_timeout_seconds: float
    drain_timeout_seconds: float


class Worker:
    """One worker; a process has at most one."""

    def __init__(
        self,
        database: Database,
        kinds: Mapping[str, RunKind],
        limits: WorkerLimits,
        signals: RunSignals,
        *,
        refusal: str | None = None,
        unsandboxed: bool = False,
    ) -> None:
        """Take the kinds of run it can execute, by name.

        ``refusal`` says why this worker may execute none: it then claims nothing, leaves the runs to other workers, and
        writes the reason to those that wait. ``unsandboxed`` is the mark of every attempt that it makes.
        """
        self.id = f"{socket.gethostname()}-{os.getpid()}-{new_worker_id()[-8:]}"
        self._database = database
        self._kinds = kinds
        self._limits = limits
        self._signals = signals
        self._unsandboxed = unsandboxed
        self.refusal = refusal
        self._explained_until: dt.datetime | None = None
        self._open: dict[tuple[RunId, int], asyncio.Event] = {}
        self._stopping = asyncio.Event()
        self._wake_reconciler = asyncio.Event()
        self._queue = queue.QueueLoop(
            database,
            self._handle,
            concurrency=limits.concurrency,
            dequeue_timeout_seconds=limits.dequeue_timeout_seconds,
            heartbeat_timeout_seconds=limits.lease_seconds,
            on_connected=self._reconcile_now,
        )

    @property
    def listening(self) -> bool:
        """Whether it is connected to the queue."""
        return self._queue.listening.is_set()

    async def wait_until_listening(self) -> None:
        """Return once it is connected to the queue."""
        await self._queue.listening.wait()

    @property
    def open_runs(self) -> int:
        """How many runs it is executing."""
        return len(self._open)

    def stop(self) -> None:
        """Claim no more; ``run`` returns when the open runs have finished."""
        self._stopping.set()

    async def run(self, end_executions: Callable[[], Awaitable[None]]) -> None:
        """Work until ``stop`` is called.

        ``end_executions`` is called when open runs outlive the drain timeout: it must make them come back.
        """
        log.info("worker_started", worker_id=self.id)
        around = [
            asyncio.create_task(self._repeat(self._renew, self._limits.lease_seconds / 3)),
            asyncio.create_task(self._repeat(self._rescue, self._limits.rescue_interval_seconds)),
            asyncio.create_task(
                self._repeat(
                    self._reconcile, self._limits.reconcile_interval_seconds, sooner=self._wake_reconciler
                )
            ),
        ]
        if self.refusal is None:
            claiming = asyncio.create_task(self._queue.run(self._stopping))
        else:
            log.warning("worker_claims_nothing", reason=self.refusal)
            around.append(
                asyncio.create_task(self._repeat(self._explain, self._limits.rescue_interval_seconds))
            )
            claiming = asyncio.create_task(_until(self._stopping))
        stop_asked = asyncio.create_task(self._stopping.wait())
        try:
            # None of them ends by itself: when one does, the worker must not look alive.
            ended, _ = await asyncio.wait(
                {stop_asked, claiming, *around}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended - {stop_asked}:
                task.result()
            _, unfinished = await asyncio.wait({claiming}, timeout=self._limits.drain_timeout_seconds)
            if unfinished:
                log.warning("drain_timed_out", open_runs=self.open_runs)
            await end_executions()
            await claiming
        finally:
            everything = (stop_asked, claiming, *around)
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
            log.info("worker_stopped", worker_id=self.id)

    async def _repeat(
        self, chore: Callable[[], Awaitable[None]], seconds: float, *, sooner: asyncio.Event | None = None
    ) -> None:
        """Do a chore now, then every so many seconds, and whenever ``sooner`` is set."""
        sooner = sooner or asyncio.Event()
        while True:
            try:
                await chore()
            except DATABASE_TROUBLE as error:
                log.warning("worker_chore_failed", chore=chore.__name__, error=repr(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(sooner.wait(), seconds)
            sooner.clear()

    def _reconcile_now(self) -> None:
        self._wake_reconciler.set()

    async def _renew(self) -> None:
        mine = list(self._open)
        if not mine:
            return
        async with self._database.reader() as reader:
            kept = await records.renew_leases(
                reader, mine, worker_id=self.id, lease_seconds=self._limits.lease_seconds
            )
        for attempt in set(mine) - kept:
            if (lost := self._open.get(attempt)) is not None:
                lost.set()

    async def _rescue(self) -> None:
        # First its own: after a pause of the machine or the database every lease has expired, ours too, and a run that
        # still goes on here must not be started again.
        await self._renew()
        while True:
            async with self._database.transaction() as transaction:
                rescued = await records.rescue_lost_runs(transaction)
            for run_id, attempt in rescued:
                log.warning("run_rescued", run_id=run_id, attempt=attempt)
                self._signals.emit(RunSignal(kind="rescued", run_id=run_id, attempt=attempt))
            if len(rescued) < records.RECONCILE_BATCH:
                return

    async def _reconcile(self) -> None:
        while True:
            async with self._database.transaction() as transaction:
                enqueued = await records.enqueue_runs_without_job(transaction)
                await queue.prune_log(transaction)
            if enqueued:
                log.warning("runs_without_job_enqueued", count=enqueued)
            if enqueued < records.RECONCILE_BATCH:
                return

    async def _explain(self) -> None:
        assert self.refusal is not None  # noqa: S101 - it is a chore of those that refuse alone
        while True:
            async with self._database.reader() as reader:
                explained, following = await records.explain_waiting_runs(
                    reader, self.refusal, self._explained_until
                )
            for run_id in explained:
                data = {"state": RunState.WAITING.value, "reason": self.refusal}
                self._signals.emit(RunSignal(kind="waits", run_id=run_id, attempt=0, data=data))
            if len(explained) < records.RECONCILE_BATCH:
                self._explained_until = following
                return

    async def _handle(self, run_id: RunId, attempts: int) -> None:
        # One borrowed connection for the three questions: on the way to the first line of user code every hop counts.
        async with self._database.reader() as reader:
            run = await records.waiting_run(reader, run_id, attempts)
            if run is None:
                log.debug("job_dropped", run_id=run_id, attempts=attempts)
                return
            kind = self._kinds[run.kind]
            prepared = await _prepared(kind, reader, run)
            if isinstance(prepared, NotExecutable):
                await self._set_aside(reader, kind, run, prepared)
                return
            if isinstance(prepared, NotYet):
                await self._postpone(run, prepared)
                return
            attempt = await records.start_attempt(
                reader,
                run,
                worker_id=self.id,
                lease_seconds=self._limits.lease_seconds,
                code_version=prepared.code_version,
                unsandboxed=self._unsandboxed,
            )
        if attempt is None:
            log.debug("run_taken_by_another", run_id=run_id)
            return
        lost = self._open[run.id, attempt] = asyncio.Event()
        try:
            self._emit("started", run, attempt, subject_id=run.subject_id, worker_id=self.id)

            def observe(signal: str, data: Mapping[str, Any]) -> None:
                self._emit(signal, run, attempt, **data)

            execution = asyncio.create_task(prepared.execute(run, attempt, observe))
            result = await self._result_unless_lost(execution, lost)
            if result is None:
                log.warning("run_lost_to_another_worker", run_id=run.id, attempt=attempt)
                return
            await self._finish(kind, run, attempt, result)
        finally:
            del self._open[run.id, attempt]

    async def _set_aside(self, reader: Reader, kind: RunKind, run: Run, found: NotExecutable) -> None:
        await records.set_aside(reader, run, found.state, found.reason)
        self._emit("not_executed", run, run.attempts, state=found.state.value, reason=found.reason)
        # What held it may have ended between the look and the write; whoever ended it saw no held run to release.
        if found.state is RunState.HELD and not isinstance(await kind.prepare(reader, run), NotExecutable):
            async with self._database.transaction() as transaction:
                await records.release_held_runs(transaction, run.subject_id)

    async def _postpone(self, run: Run, found: NotYet) -> None:
        async with self._database.transaction() as transaction:
            await records.postpone(transaction, run, found.after_seconds, found.reason)
        self._emit("waits", run, run.attempts, state=RunState.WAITING.value, reason=found.reason)

    async def _result_unless_lost(
        self, execution: asyncio.Task[AttemptResult], lost: asyncio.Event
    ) -> AttemptResult | None:
        """Return the result, or None when the lease was lost: then the execution is abandoned."""
        losing = asyncio.create_task(lost.wait())
        try:
            await asyncio.wait({execution, losing}, return_when=asyncio.FIRST_COMPLETED)
            if not execution.done():
                execution.cancel()
                with suppress(asyncio.CancelledError):
                    await execution
                return None
            return _result_of(execution)
        finally:
            losing.cancel()

    async def _finish(self, kind: RunKind, run: Run, attempt: int, result: AttemptResult) -> None:
        """Write the result, through database trouble too, for as long as the lease could still be ours."""
        state = records.state_after(run, result.outcome)
        delay = _FIRST_WRITE_RETRY_SECONDS
        loop = asyncio.get_running_loop()
        # Past this, another worker has surely started the next attempt, and the fence would refuse us anyway.
        give_up_at = loop.time() + 10 * self._limits.lease_seconds
        while True:
            try:
                written = await self._write_result(kind, run, attempt, result, state)
                break
            except DATABASE_TROUBLE as error:
                log.warning("result_not_written_yet", run_id=run.id, attempt=attempt, error=repr(error))
                if loop.time() > give_up_at:
                    raise
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_WRITE_RETRY_SECONDS)
            except Exception as error:
                if isinstance(result, UnstorableResult):
                    raise
                # Something in it that the database refuses, and would refuse for ever: keep what can be kept.
                log.exception("result_not_storable", run_id=run.id, attempt=attempt)
                result = UnstorableResult.of(result, error)
                state = records.state_after(run, result.outcome)
        if not written:
            log.warning("run_lost_to_another_worker", run_id=run.id, attempt=attempt)
            return
        log.info(
            "run_finished", run_id=run.id, attempt=attempt, outcome=result.outcome.value, state=state.value
        )
        self._emit(
            "finished", run, attempt, outcome=result.outcome.value, state=state.value, error=result.error
        )

    async def _write_result(
        self, kind: RunKind, run: Run, attempt: int, result: AttemptResult, state: RunState
    ) -> bool:
        if state is RunState.SUCCEEDED:
            async with self._database.reader() as reader:
                return await records.finish_attempt(
                    reader, run, attempt=attempt, worker_id=self.id, result=result, state=state, reason=None
                )
        async with self._database.transaction() as transaction:
            reason = f"attempt {attempt} ended: {result.outcome.value.replace('_', ' ')}"
            written = await records.finish_attempt(
                transaction,
                run,
                attempt=attempt,
                worker_id=self.id,
                result=result,
                state=state,
                reason=reason,
            )
            if written and state is RunState.WAITING:
                await queue.enqueue(
                    transaction,
                    [(run.id, attempt)],
                    after_seconds=records.seconds_until_again(run, result.outcome),
                )
            if written and result.outcome is not AttemptOutcome.INTERRUPTED:
                await kind.attempt_failed(
                    transaction, run, attempt, result, final=state is RunState.ATTENTION
                )
            return written

    def _emit(self, signal: str, run: Run, attempt: int, /, **data: Any) -> None:
        self._signals.emit(RunSignal(kind=signal, run_id=run.id, attempt=attempt, data=data))


async def _until(event: asyncio.Event) -> None:
    await event.wait()


async def _prepared(kind: RunKind, reader: Reader, run: Run) -> Executable | NotExecutable | NotYet:
    """Prepare the run; what fails other than the database becomes an attempt that says so, not a silent loop."""
    try:
        return await kind.prepare(reader, run)
    except DATABASE_TROUBLE:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the attempt tells and counts it
        return FailedPreparation(error)


def _result_of(execution: asyncio.Task[AttemptResult]) -> AttemptResult:
    """Return the result; where the platform failed and not the script, the attempt counts as interrupted."""
    error = execution.exception()
    if error is None:
        return execution.result()
    log.error("execution_failed", exc_info=error)
    return AttemptResult(
        outcome=AttemptOutcome.INTERRUPTED, notes=(f"the platform failed: {type(error).__name__}: {error}",)
    )
