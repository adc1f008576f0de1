"""What a run is, and every value that passes between this package and its callers.

    waiting ─► running ─► succeeded
                 ├─► waiting      the attempt was interrupted: again at once
                 └─► attention    a person must decide
    waiting ─► held ─► waiting    its subject is disabled
    waiting ─► cancelled          its subject or its user is gone

Times are UTC; durations are seconds.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tenterhook.database import Reader, Transaction
from tenterhook.errors import NotFoundError
from tenterhook.ids import RunId, TenantId, UserId

MAX_INTERRUPTIONS = 5
"""Interruptions use up no attempts, but a run interrupted more often than this goes to ``attention`` (DESIGN §5)."""


class RunState(enum.StrEnum):
    """Where a run stands."""

    WAITING = "waiting"
    """A worker will start it when it is due."""
    RUNNING = "running"
    """A worker has it; called back but not settled counts as running."""
    SUCCEEDED = "succeeded"
    """An attempt ended well and everything it started is over."""
    ATTENTION = "attention"
    """It failed and will not be tried again unless somebody says so."""
    HELD = "held"
    """Its hook is disabled or paused; it waits until that changes."""
    CANCELLED = "cancelled"
    """It will not run: its hook or its user no longer exists, or somebody cancelled it."""


class AttemptOutcome(enum.StrEnum):
    """How one execution ended."""

    OK = "ok"
    """It called back without an error and settled."""
    OK_WITH_FAILED_CALLS = "ok_with_failed_calls"
    """As ok, but calls that were open when it called back failed afterwards."""
    ERROR = "error"
    """It called back with an error, threw, rejected, or did so late."""
    TIMED_OUT = "timed_out"
    """It did not call back, or did not settle, in time."""
    KILLED = "killed"
    """It went over a limit."""
    COULD_NOT_START = "could_not_start"
    """Its code does not compile, or a module cannot be had."""
    INTERRUPTED = "interrupted"
    """Its worker, machine or database was lost; the run is not to blame."""


SUCCESSES = frozenset({AttemptOutcome.OK, AttemptOutcome.OK_WITH_FAILED_CALLS})


class RunNotFoundError(NotFoundError):
    """The run does not exist."""

    code = "run_not_found"


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to be created."""

    id: RunId
    tenant_id: TenantId
    kind: str
    """Which ``RunKind`` executes it."""
    subject_id: str
    """What the kind executes; for hooks the hook's id."""
    user_id: UserId | None
    """Whom it is about, for lists and for erasure."""
    event: Mapping[str, Any]
    """The snapshot that every attempt gets."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One event for one subject."""

    id: RunId
    tenant_id: TenantId
    kind: str
    subject_id: str
    user_id: UserId | None
    event: Mapping[str, Any]
    sequence: int
    """Grows with every run of the database; says nothing about gaps."""
    occurred_at: dt.datetime
    state: RunState
    state_reason: str | None
    """Why it is where it is, for a person."""
    due_at: dt.datetime
    attempts: int
    interruptions: int
    finished_at: dt.datetime | None
    unsandboxed: bool = False
    """An attempt of it ran without a sandbox; known of runs that are looked at, not of those being executed."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One execution of a run, as recorded."""

    number: int
    worker_id: str
    code_version: int | None
    started_at: dt.datetime
    called_back_at: dt.datetime | None
    settled_at: dt.datetime | None
    finished_at: dt.datetime | None
    outcome: AttemptOutcome | None
    """None while it is running."""
    verdict: Any
    error: Any
    console: Sequence[Any]
    calls: Sequence[Any]
    connections: Sequence[Any]
    notes: Sequence[Any]
    unsandboxed: bool
    """It ran without a sandbox, because the operator allows that."""


@dataclass(frozen=True, kw_only=True)
class AttemptResult:
    """What an execution came to; JSON values are as the kind wants them shown."""

    outcome: AttemptOutcome
    verdict: Any = None
    error: Mapping[str, Any] | None = None
    console: Sequence[Mapping[str, Any]] = ()
    calls: Sequence[Mapping[str, Any]] = ()
    connections: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    called_back_at: dt.datetime | None = None
    settled_at: dt.datetime | None = None


class Observe(Protocol):
    """Told what happens inside an attempt while it happens; must not raise or block."""

    def __call__(self, kind: str, data: Mapping[str, Any], /) -> None:
        """Take a signal's kind (``console``, ``called_back``, ``call``) and its data."""
        ...


class Executable(Protocol):
    """A prepared run: everything it needs has been loaded."""

    @property
    def code_version(self) -> int | None:
        """The version of the code that the attempt is recorded with."""
        ...

    async def execute(self, run: Run, attempt: int, observe: Observe) -> AttemptResult:
        """Execute it; a failing script is a result. Raises only when the platform itself fails."""
        ...


@dataclass(frozen=True, kw_only=True)
class NotExecutable:
    """A prepared run that must not be executed now."""

    state: RunState
    """``cancelled`` or ``held``."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class NotYet:
    """A prepared run whose time has not come: it stays ``waiting``, and uses up nothing."""

    after_seconds: float
    reason: str


class RunKind(Protocol):
    """Something that executes runs of one kind; ``hooks`` has the only one today."""

    name: str

    async def prepare(self, reader: Reader, run: Run) -> Executable | NotExecutable | NotYet:
        """Load what an attempt needs; the reader is gone when the attempt begins."""
        ...

    async def attempt_failed(
        self, transaction: Transaction, run: Run, attempt: int, result: AttemptResult, *, final: bool
    ) -> None:
        """Record the failure where the kind's people look, in the transaction that records the attempt."""
        ...


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Which runs a list shows; None means any."""

    subject_id: str | None = None
    state: RunState | None = None
    user_id: str | None = None
    before: RunId | None = None
    """Only runs with a smaller id: the cursor for the next page."""
    limit: int = field(default=50)
