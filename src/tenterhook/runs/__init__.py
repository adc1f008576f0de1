"""Runs: work that must happen even if this process does not live to see it. ``run.py`` has the states."""

from tenterhook.runs.past_connections import PastConnection, past_connections
from tenterhook.runs.queue import NotInTransactionError
from tenterhook.runs.records import (
    cancel_runs,
    create_run,
    get_run,
    list_runs,
    release_held_runs,
    state_after,
)
from tenterhook.runs.run import (
    MAX_INTERRUPTIONS,
    Attempt,
    AttemptOutcome,
    AttemptResult,
    Executable,
    NewRun,
    NotExecutable,
    NotYet,
    Observe,
    Run,
    RunFilter,
    RunKind,
    RunNotFoundError,
    RunState,
)
from tenterhook.runs.signals import RunSignal, RunSignals
from tenterhook.runs.worker import Worker, WorkerLimits

__all__ = [
    "MAX_INTERRUPTIONS",
    "Attempt",
    "AttemptOutcome",
    "AttemptResult",
    "Executable",
    "NewRun",
    "NotExecutable",
    "NotInTransactionError",
    "NotYet",
    "Observe",
    "PastConnection",
    "Run",
    "RunFilter",
    "RunKind",
    "RunNotFoundError",
    "RunSignal",
    "RunSignals",
    "RunState",
    "Worker",
    "WorkerLimits",
    "cancel_runs",
    "create_run",
    "get_run",
    "list_runs",
    "past_connections",
    "release_held_runs",
    "state_after",
]
