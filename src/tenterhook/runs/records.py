"""The run record: every change of a run's state, each in one place.

Changes compare and set: a statement names the state (and, for a running run, the worker and the attempt) it expects,
and changes nothing when that does not hold. So a worker that lost its lease cannot write over its successor. Leases
and due times are the database's clock.

The statements on the way of every registration and every attempt are constant SQL texts for asyncpg; lists use Core.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy import exists, select

from tenterhook.database import Reader, Transaction, jsonb_text
from tenterhook.ids import RunId, TenantId, UserId
from tenterhook.runs import queue
from tenterhook.runs.run import (
    MAX_INTERRUPTIONS,
    SUCCESSES,
    Attempt,
    AttemptOutcome,
    AttemptResult,
    NewRun,
    Run,
    RunFilter,
    RunNotFoundError,
    RunState,
)
from tenterhook.runs.tables import attempts, runs

RECONCILE_BATCH = 1000
"""Runs that one pass of the reconciler or the rescuer takes; more follow in the next pass at once."""

_INSERT = """
INSERT INTO runs (id, tenant_id, kind, subject_id, user_id, event, occurred_at, state)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, now(), 'waiting')
"""


async def create_run(transaction: Transaction, new: NewRun) -> None:
    """Create a waiting run with its job, in the transaction of the change that causes it."""
    await transaction.raw.execute(
        _INSERT, new.id, new.tenant_id, new.kind, new.subject_id, new.user_id, jsonb_text(new.event)
    )
    await queue.enqueue(transaction, [(new.id, 0)])


_DUE = """
SELECT id, tenant_id, kind, subject_id, user_id, event::text AS event, sequence, occurred_at, state, state_reason,
       due_at, attempts, interruptions, finished_at
FROM runs WHERE id = $1 AND state = 'waiting' AND attempts = $2 AND due_at <= now()
"""


async def waiting_run(reader: Reader, run_id: RunId, attempts_so_far: int) -> Run | None:
    """Return the run if it waits for its next attempt and is due."""
    row = await reader.raw.fetchrow(_DUE, run_id, attempts_so_far)
    return None if row is None else _run(row, json.loads(row["event"]))


_START = """
WITH started AS (
    UPDATE runs SET state = 'running', state_reason = NULL, attempts = attempts + 1, worker_id = $3,
                    lease_expires_at = now() + make_interval(secs => $4)
    WHERE id = $1 AND state = 'waiting' AND attempts = $2
    RETURNING id, attempts
)
INSERT INTO attempts (run_id, number, worker_id, code_version, started_at, unsandboxed)
SELECT id, attempts, $3, $5, now(), $6 FROM started
RETURNING number
"""


async def start_attempt(
    reader: Reader,
    run: Run,
    *,
    worker_id: str,
    lease_seconds: float,
    code_version: int | None,
    unsandboxed: bool = False,
) -> int | None:
    """Take the run and record the attempt, committed before this returns; None when another worker was first.

    The mark ``unsandboxed`` is recorded now, not with the result: an attempt that ends with its worker has it too.
    """
    number: int | None = await reader.raw.fetchval(
        _START, run.id, run.attempts, worker_id, lease_seconds, code_version, unsandboxed
    )
    return number


_EXPLAIN = """
WITH unexplained AS (
    SELECT id FROM runs
    WHERE state = 'waiting' AND state_reason IS NULL
      AND due_at <= now() AND due_at > coalesce($2, '-infinity'::timestamptz)
    LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE runs SET state_reason = $1 FROM unexplained WHERE runs.id = unexplained.id RETURNING runs.id
"""


async def explain_waiting_runs(
    reader: Reader, reason: str, since: dt.datetime | None
) -> tuple[list[RunId], dt.datetime]:
    """Say of the due runs that wait for no told reason why they do; starting one takes the reason away.

    Looks at runs that became due after ``since``. Returns those it explained, at most ``RECONCILE_BATCH``, and the
    ``since`` for after the last batch: so a backlog is read once, and what a transaction of up to a minute registered
    meanwhile is not missed.
    """
    following: dt.datetime = await reader.raw.fetchval("SELECT now() - interval '1 minute'")
    rows = await reader.raw.fetch(_EXPLAIN, reason, since, RECONCILE_BATCH)
    return [RunId(row["id"]) for row in rows], following


_SET_ASIDE = """
UPDATE runs SET state = $3, state_reason = $4, finished_at = CASE WHEN $3 = 'cancelled' THEN now() END
WHERE id = $1 AND state = 'waiting' AND attempts = $2
"""


async def set_aside(reader: Reader, run: Run, state: RunState, reason: str) -> None:
    """Move a waiting run to ``cancelled`` or ``held``."""
    await reader.raw.execute(_SET_ASIDE, run.id, run.attempts, state.value, reason)


_POSTPONE = """
UPDATE runs SET due_at = now() + make_interval(secs => $3), state_reason = $4
WHERE id = $1 AND state = 'waiting' AND attempts = $2 RETURNING id
"""


async def postpone(transaction: Transaction, run: Run, after_seconds: float, reason: str) -> None:
    """Let a waiting run wait longer, with a job for then."""
    if await transaction.raw.fetchval(_POSTPONE, run.id, run.attempts, after_seconds, reason) is not None:
        await queue.enqueue_again(transaction, [(run.id, run.attempts)], after_seconds=after_seconds)


_RELEASE = """
UPDATE runs SET state = 'waiting', state_reason = NULL, due_at = now()
WHERE subject_id = $1 AND state = 'held' RETURNING id, attempts
"""


async def release_held_runs(transaction: Transaction, subject_id: str) -> int:
    """Let the subject's held runs wait again, with a job each; return how many there were."""
    rows = await transaction.raw.fetch(_RELEASE, subject_id)
    await queue.enqueue_again(transaction, [(RunId(row["id"]), row["attempts"]) for row in rows])
    return len(rows)


_CANCEL = """
UPDATE runs SET state = 'cancelled', state_reason = $2, finished_at = now()
WHERE subject_id = $1 AND state IN ('waiting', 'held') RETURNING id
"""


async def cancel_runs(transaction: Transaction, subject_id: str, reason: str) -> int:
    """Cancel the subject's runs that have not started; return how many there were."""
    return len(await transaction.raw.fetch(_CANCEL, subject_id, reason))


_RENEW = """
UPDATE runs SET lease_expires_at = now() + make_interval(secs => $3)
FROM unnest($1::text[], $4::integer[]) AS mine (run_id, number)
WHERE id = mine.run_id AND attempts = mine.number AND worker_id = $2 AND state = 'running'
RETURNING id, attempts
"""


async def renew_leases(
    reader: Reader, open_attempts: Sequence[tuple[RunId, int]], *, worker_id: str, lease_seconds: float
) -> set[tuple[RunId, int]]:
    """Renew the leases of runs, each with its attempt, and return those that are still this worker's."""
    ids, numbers = [run_id for run_id, _ in open_attempts], [number for _, number in open_attempts]
    rows = await reader.raw.fetch(_RENEW, ids, worker_id, lease_seconds, numbers)
    return {(RunId(row["id"]), row["attempts"]) for row in rows}


_FINISH = """
WITH mine AS (
    UPDATE runs SET state = $4, state_reason = $5, worker_id = NULL, lease_expires_at = NULL,
                    due_at = now() + make_interval(secs => $15), interruptions = interruptions + $6,
                    finished_at = CASE WHEN $4 IN ('succeeded', 'attention') THEN now() END
    WHERE id = $1 AND state = 'running' AND attempts = $2 AND worker_id = $3
    RETURNING id
)
UPDATE attempts SET outcome = $7, verdict = $8::jsonb, error = $9::jsonb, console = $10::jsonb, calls = $11::jsonb,
                    notes = $12::jsonb, called_back_at = $13, settled_at = $14, finished_at = now(),
                    connections = $16::jsonb
FROM mine WHERE attempts.run_id = mine.id AND attempts.number = $2
RETURNING attempts.run_id
"""


def state_after(run: Run, outcome: AttemptOutcome) -> RunState:
    """Decide what becomes of a running run whose attempt ended with ``outcome``.

    Until retry policies exist, a failure needs a person at once; an interruption is nobody's fault and runs again.
    """
    if outcome in SUCCESSES:
        return RunState.SUCCEEDED
    if outcome is AttemptOutcome.INTERRUPTED and run.interruptions < MAX_INTERRUPTIONS:
        return RunState.WAITING
    return RunState.ATTENTION


def seconds_until_again(run: Run, outcome: AttemptOutcome) -> float:
    """Return how long an interrupted run waits: not at all at first, then 1, 4, 9, 16 s.

    What interrupts a run twice in this process (a sandbox that cannot start, a neighbour that kills it) is likely to
    do so again at once, and only ``MAX_INTERRUPTIONS`` are forgiven.
    """
    return float(run.interruptions**2) if outcome is AttemptOutcome.INTERRUPTED else 0.0


async def finish_attempt(
    reader: Reader,
    run: Run,
    *,
    attempt: int,
    worker_id: str,
    result: AttemptResult,
    state: RunState,
    reason: str | None,
) -> bool:
    """Record how the attempt ended and move the run on, unless the run is no longer this attempt's.

    Returns False when it is not: the caller was presumed dead and must write nothing more. A run that goes back to
    ``waiting`` still needs its job: ``queue.enqueue`` in the same transaction.
    """
    found = await reader.raw.fetchval(
        _FINISH,
        run.id,
        attempt,
        worker_id,
        state.value,
        reason,
        1 if result.outcome is AttemptOutcome.INTERRUPTED else 0,
        result.outcome.value,
        _jsonb_or_none(result.verdict),
        _jsonb_or_none(result.error),
        jsonb_text(result.console),
        jsonb_text(result.calls),
        jsonb_text(result.notes),
        result.called_back_at,
        result.settled_at,
        seconds_until_again(run, result.outcome),
        jsonb_text(result.connections),
    )
    return found is not None


_RESCUE = """
WITH expired AS (
    SELECT id FROM runs WHERE state = 'running' AND lease_expires_at < now()
    ORDER BY lease_expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), lost AS (
    UPDATE runs SET state = CASE WHEN interruptions < $1 THEN 'waiting' ELSE 'attention' END,
                    state_reason = CASE WHEN interruptions < $1 THEN 'interrupted: its worker stopped renewing its lease'
                                        ELSE 'interrupted too often: does this hook end its worker?' END,
                    finished_at = CASE WHEN interruptions < $1 THEN NULL ELSE now() END,
                    worker_id = NULL, lease_expires_at = NULL, interruptions = interruptions + 1, due_at = now()
    FROM expired WHERE runs.id = expired.id
    RETURNING runs.id, runs.attempts, runs.state
), recorded AS (
    UPDATE attempts SET outcome = 'interrupted', finished_at = now(),
                        notes = notes || '["its worker stopped renewing its lease"]'::jsonb
    FROM lost WHERE attempts.run_id = lost.id AND attempts.number = lost.attempts
)
SELECT id, attempts, state FROM lost
"""


async def rescue_lost_runs(transaction: Transaction) -> list[tuple[RunId, int]]:
    """Return runs whose lease expired to ``waiting``, with a new job each; say which, and how many attempts they had."""
    rows = await transaction.raw.fetch(_RESCUE, MAX_INTERRUPTIONS, RECONCILE_BATCH)
    await queue.enqueue(
        transaction, [(RunId(row["id"]), row["attempts"]) for row in rows if row["state"] == RunState.WAITING]
    )
    return [(RunId(row["id"]), row["attempts"]) for row in rows]


# The queue's table is read here and nowhere else outside the engine: which waiting runs have no job.
_WITHOUT_JOB = """
SELECT id, attempts FROM runs
WHERE state = 'waiting' AND due_at <= now()
  AND NOT EXISTS (SELECT FROM pgqueuer WHERE status IN ('queued', 'picked')
                  AND dedupe_key = runs.id || ':' || runs.attempts)
LIMIT $1 FOR UPDATE SKIP LOCKED
"""


async def enqueue_runs_without_job(transaction: Transaction) -> int:
    """Give every waiting run that has no job one; return how many there were (at most ``RECONCILE_BATCH``)."""
    rows = await transaction.raw.fetch(_WITHOUT_JOB, RECONCILE_BATCH)
    await queue.enqueue(transaction, [(RunId(row["id"]), row["attempts"]) for row in rows])
    return len(rows)


_UNSANDBOXED = (
    exists()
    .where(attempts.c.run_id == runs.c.id, attempts.c.unsandboxed)
    .correlate(runs)
    .label("unsandboxed")
)


async def list_runs(reader: Reader, tenant_id: TenantId, wanted: RunFilter) -> list[Run]:
    """Return a page of the tenant's runs, newest first."""
    statement = (
        select(runs, _UNSANDBOXED)
        .where(runs.c.tenant_id == tenant_id)
        .order_by(runs.c.id.desc())
        .limit(wanted.limit)
    )
    if wanted.subject_id is not None:
        statement = statement.where(runs.c.subject_id == wanted.subject_id)
    if wanted.state is not None:
        statement = statement.where(runs.c.state == wanted.state.value)
    if wanted.user_id is not None:
        statement = statement.where(runs.c.user_id == wanted.user_id)
    if wanted.before is not None:
        statement = statement.where(runs.c.id < wanted.before)
    return [_shown(row) for row in await reader.all(statement)]


async def get_run(reader: Reader, tenant_id: TenantId, run_id: RunId) -> tuple[Run, list[Attempt]]:
    """Return a run of the tenant and its attempts, first to last.

    Raises:
        RunNotFoundError: absent, or another tenant's.
    """
    row = await reader.one_or_none(
        select(runs, _UNSANDBOXED).where(runs.c.id == run_id, runs.c.tenant_id == tenant_id)
    )
    if row is None:
        raise RunNotFoundError
    recorded = await reader.all(
        select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.number)
    )
    return _shown(row), [_attempt(one) for one in recorded]


def _shown(row: Any) -> Run:
    return dataclasses.replace(_run(row._mapping, row.event), unsandboxed=row.unsandboxed)  # noqa: SLF001 - its public name


def _run(row: asyncpg.Record | Any, event: Any) -> Run:
    return Run(
        id=RunId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        kind=row["kind"],
        subject_id=row["subject_id"],
        user_id=None if row["user_id"] is None else UserId(row["user_id"]),
        event=event,
        sequence=row["sequence"],
        occurred_at=row["occurred_at"],
        state=RunState(row["state"]),
        state_reason=row["state_reason"],
        due_at=row["due_at"],
        attempts=row["attempts"],
        interruptions=row["interruptions"],
        finished_at=row["finished_at"],
    )


def _attempt(row: Any) -> Attempt:
    return Attempt(
        number=row.number,
        worker_id=row.worker_id,
        code_version=row.code_version,
        started_at=row.started_at,
        called_back_at=row.called_back_at,
        settled_at=row.settled_at,
        finished_at=row.finished_at,
        outcome=None if row.outcome is None else AttemptOutcome(row.outcome),
        verdict=row.verdict,
        error=row.error,
        console=row.console,
        calls=row.calls,
        connections=row.connections,
        notes=row.notes,
        unsandboxed=row.unsandboxed,
    )


def _jsonb_or_none(value: Any) -> str | None:
    return None if value is None else jsonb_text(value)
