"""The queue: PgQueuer on the same database, kept replaceable.

``runs`` is the truth and the backlog; a row of the queue only says "look at this run, it waits for its attempt N+1".
A row may be lost or stand twice without harm: a claimed job whose run does not wait for exactly it is dropped, and the
reconciler enqueues waiting runs that have no job. That is why the queue's own connection may commit asynchronously.

A job's payload and its dedupe key are ``RUN:ATTEMPTS``, the run's id and how many attempts it has had, so a job of an
earlier attempt can never start a later one.

What PgQueuer's defaults would do wrong, each seen and each with a test: an exception or a cancellation that leaves the
job handler deletes the row (so nothing leaves ours); an enqueue outside a transaction survives a rollback (refused
here); ``run()`` ends with its connection (supervised here); the rescue of a dead worker's jobs and the look for missed
notifications come after 30 s (both shortened); the log table grows for ever and would hold tracebacks (pruned, and no
exception ever gets there).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import timedelta

import asyncpg
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import (
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job

from tenterhook.database import Database, Transaction
from tenterhook.database.queue_names import QUEUE_NAMES
from tenterhook.ids import RunId

log = structlog.get_logger(__name__)

ENTRYPOINT = "run"
BATCH_SIZE = 10
"""Jobs claimed by one statement; half of the least concurrency that PgQueuer accepts with it."""
_FIRST_RECONNECT_SECONDS, _LONGEST_RECONNECT_SECONDS = 0.1, 5.0

_ENVIRONMENT = QueryBuilderEnvironment(settings=QUEUE_NAMES)
_QUEUE = QueryQueueBuilder(settings=QUEUE_NAMES)
_SCHEDULES = QuerySchedulerBuilder(settings=QUEUE_NAMES)


class NotInTransactionError(RuntimeError):
    """A job may only be enqueued in the transaction that makes its run wait."""


def _queries(connection: asyncpg.Connection[asyncpg.Record]) -> Queries:
    return Queries(AsyncpgDriver(connection), qbe=_ENVIRONMENT, qbq=_QUEUE, qbs=_SCHEDULES)


def _key(run_id: RunId, attempts: int) -> str:
    return f"{run_id}:{attempts}"


async def enqueue(
    transaction: Transaction, waiting: Iterable[tuple[RunId, int]], *, after_seconds: float = 0
) -> None:
    """Enqueue a job for each waiting run, given with the attempts it has had; jobs already there are left alone.

    ``after_seconds`` is when they are to be claimed, on the database's clock.

    Raises:
        NotInTransactionError: the connection is in no transaction.
    """
    if not transaction.raw.is_in_transaction():
        raise NotInTransactionError
    keys = [_key(run_id, attempts) for run_id, attempts in waiting]
    if keys:
        await _queries(transaction.raw).enqueue(
            [ENTRYPOINT] * len(keys),
            [key.encode() for key in keys],
            [0] * len(keys),
            execute_after=[timedelta(seconds=after_seconds)] * len(keys) if after_seconds else None,
            dedupe_key=list(keys),
            on_conflict="skip",
        )


async def enqueue_again(
    transaction: Transaction, waiting: Iterable[tuple[RunId, int]], *, after_seconds: float = 0
) -> None:
    """Enqueue a new job for runs that had one for the same attempt: it may be claimed, and about to be dropped."""
    pairs = list(waiting)
    keys = [_key(run_id, attempts) for run_id, attempts in pairs]
    await transaction.raw.execute(
        f"DELETE FROM {QUEUE_NAMES.queue_table} WHERE dedupe_key = ANY($1::text[]) AND status = 'picked'",  # noqa: S608 - a constant of ours
        keys,
    )
    await enqueue(transaction, pairs, after_seconds=after_seconds)


class QueueLoop:
    """Claims jobs and hands each to a handler, for as long as it is not told to stop, through every lost connection."""

    def __init__(
        self,
        database: Database,
        handler: Callable[[RunId, int], Awaitable[None]],
        *,
        concurrency: int,
        dequeue_timeout_seconds: float,
        heartbeat_timeout_seconds: float,
        on_connected: Callable[[], None],
    ) -> None:
        """Take the handler, called with a run's id and the attempts it should have had.

        ``heartbeat_timeout_seconds`` is after how long a dead worker's claimed jobs are claimed again;
        ``on_connected`` is called at every new connection: jobs may have been lost with the old one.
        """
        self._on_connected = on_connected
        self._database = database
        self._handler = handler
        self._batch_size = max(1, min(BATCH_SIZE, concurrency // 2))
        self._concurrency = concurrency
        self._dequeue_timeout = timedelta(seconds=dequeue_timeout_seconds)
        self._heartbeat_timeout = timedelta(seconds=heartbeat_timeout_seconds)
        self._open: set[asyncio.Task[None]] = set()
        self._manager: QueueManager | None = None
        self.listening = asyncio.Event()
        """Set while connected."""
        self._was_connected = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Claim until ``stopping`` is set; then claim no more and return when every handler has returned."""
        delay = _FIRST_RECONNECT_SECONDS
        while not stopping.is_set():
            self._was_connected = False
            try:
                await self._run_connected(stopping)
            except Exception as error:  # noqa: BLE001 - the engine has many; each means: connect anew
                log.warning("queue_lost", error=repr(error))
            if self._was_connected:
                delay = _FIRST_RECONNECT_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), delay)
            delay = min(delay * 2, _LONGEST_RECONNECT_SECONDS)
        if self._open:
            await asyncio.wait(self._open)

    async def _run_connected(self, stopping: asyncio.Event) -> None:
        # Claiming takes longer to plan (0.6 ms) than to do (0.3 ms), and its one plan suits an empty table and a full
        # one. The server makes it anew whenever the table has been analyzed.
        connection = await self._database.dedicated_connection(
            synchronous_commit="off", plan_cache_mode="force_generic_plan"
        )
        lost = asyncio.Event()
        manager = QueueManager(_queries(connection), channel=QUEUE_NAMES.channel)

        def connection_ended(_connection: object) -> None:
            lost.set()
            manager.shutdown.set()

        connection.add_termination_listener(connection_ended)

        async def handle(job: Job) -> None:
            await self._handle(job, lost)

        manager.entrypoint(ENTRYPOINT)(handle)
        stop_manager = asyncio.create_task(_set_when_set(stopping, manager.shutdown))
        try:
            self._was_connected = True
            self.listening.set()
            self._on_connected()
            await manager.run(
                batch_size=self._batch_size,
                max_concurrent_tasks=self._concurrency,
                dequeue_timeout=self._dequeue_timeout,
                heartbeat_timeout=self._heartbeat_timeout,
                shutdown_on_listener_failure=True,
                log_aggregation_interval=timedelta(0),
            )
        finally:
            self.listening.clear()
            stop_manager.cancel()
            connection.remove_termination_listener(connection_ended)
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=2)
        if lost.is_set() and not stopping.is_set():
            log.warning("queue_lost", error="connection ended")

    async def _handle(self, job: Job, lost: asyncio.Event) -> None:
        """Let the run go on in a task of our own: neither PgQueuer's cancellation nor a lost connection ends it."""
        task = asyncio.create_task(self._call(job))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        connection_lost = asyncio.create_task(lost.wait())
        try:
            # PgQueuer waits for its handlers before run() returns; without this, a lost connection would be
            # replaced only after the longest run.
            await asyncio.wait({task, connection_lost}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Leaving the handler this way would delete the row under a run that still waits.
            log.info("job_handler_cancelled", job_id=job.id)
        finally:
            connection_lost.cancel()

    async def _call(self, job: Job) -> None:
        run_id, _, attempts = (job.payload or b"").decode().partition(":")
        try:
            await self._handler(RunId(run_id), int(attempts))
        except Exception:  # the boundary: whatever went wrong, the reconciler brings the run back
            log.exception("run_handling_failed", run_id=run_id)


async def _set_when_set(first: asyncio.Event, second: asyncio.Event) -> None:
    await first.wait()
    second.set()


async def prune_log(transaction: Transaction) -> None:
    """Empty the queue engine's own log, which nobody reads: ``attempts`` is the record."""
    await _queries(transaction.raw).clear_queue_log(ENTRYPOINT)
