"""GET /api/extensions/runs and /api/extensions/runs/{id}: what became of registrations.

The list is newest first and pages by cursor: ``next`` of one answer is ``before`` of the next request. A run's page
shows its event, and each attempt with console lines, outgoing calls, error and times.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.dependencies import CurrentDatabase
from tenterhook.api.requests import DocumentedRoute
from tenterhook.clock import to_iso
from tenterhook.hooks import Hook, list_hooks
from tenterhook.ids import USER_ID_PREFIX, RunId
from tenterhook.runs import Attempt, Run, RunFilter, RunState, get_run, list_runs

router = APIRouter(route_class=DocumentedRoute, tags=["runs"])

_MOST_PER_PAGE = 100
_ID_PATTERN = "^[0-9A-Z]{26}$"


class _RunOut(BaseModel):
    id: str = Field(description="The run's id; hooks see it as context.webtask.id.")
    hook_id: str
    hook_name: str | None = Field(description="Null when the hook was deleted.")
    trigger_id: str | None = Field(description="The extensibility point; null when the hook was deleted.")
    user_id: str | None = Field(description="With auth0|.")
    state: RunState
    state_reason: str | None = Field(description="Why it is there, for a person.")
    interruptions: int = Field(
        description="Attempts that ended because a worker, machine or database was lost."
    )
    unsandboxed: bool = Field(
        description="True when an attempt ran without a sandbox, because the operator allows that."
    )
    occurred_at: str
    due_at: str
    finished_at: str | None


class RunOut(_RunOut):
    """A run in a list."""

    attempts: int = Field(description="How many there have been.")


class RunPageOut(BaseModel):
    """One page of runs."""

    runs: list[RunOut]
    next: str | None = Field(description="The cursor of the next page (`before`); null on the last one.")


class AttemptOut(BaseModel):
    """One execution of a run."""

    number: int
    outcome: str | None = Field(description="Null while it is running.")
    hook_version: int | None = Field(description="The version of the code that ran.")
    worker_id: str
    started_at: str
    called_back_at: str | None
    settled_at: str | None
    finished_at: str | None
    verdict: Any = Field(description="What cb said: {result} or {error}.")
    error: Any = Field(description="Why the outcome is not ok: name, message, stack, own properties.")
    console: list[Any]
    calls: list[Any]
    connections: list[Any] = Field(
        description="Outgoing connections, whatever the protocol, and names that DNS refused: address, port, names, "
        "allowed, reason, explanation, and which setting would allow what was refused."
    )
    notes: list[Any]
    unsandboxed: bool = Field(description="True when it ran without a sandbox.")


class RunDetailsOut(_RunOut):
    """A run with its event and attempts."""

    event: dict[str, Any] = Field(description="The snapshot that every attempt gets.")
    attempts: list[AttemptOut] = Field(description="First to last.")


@router.get("/api/extensions/runs", responses={200: {"model": RunPageOut}}, response_model=None)
async def get_runs(
    *,
    database: CurrentDatabase,
    token: ManagementToken = requires_scope("read:runs"),
    hook_id: Annotated[str | None, Query(max_length=64, description="Only runs of this hook.")] = None,
    state: Annotated[RunState | None, Query(description="Only runs in this state.")] = None,
    user_id: Annotated[
        str | None, Query(max_length=255, description="Only runs about this user, with or without auth0|.")
    ] = None,
    before: Annotated[
        str | None, Query(pattern=_ID_PATTERN, description="The cursor: `next` of a page.")
    ] = None,
    per_page: Annotated[int, Query(ge=1, le=_MOST_PER_PAGE, description="Runs per page.")] = 50,
) -> JSONResponse:
    """List the tenant's runs, newest first."""
    wanted = RunFilter(
        subject_id=hook_id,
        state=state,
        user_id=None if user_id is None else user_id.removeprefix(USER_ID_PREFIX),
        before=None if before is None else RunId(before),
        limit=per_page + 1,  # one more tells whether there is a next page
    )
    async with database.reader() as reader:
        found = await list_runs(reader, token.tenant.id, wanted)
        hooks = {hook.id: hook for hook in await list_hooks(reader, token.tenant.id)}
    page = found[:per_page]
    return JSONResponse(
        {
            "runs": [_run_body(run, hooks.get(_hook_id(run))) for run in page],
            "next": page[-1].id if len(found) > per_page else None,
        }
    )


@router.get("/api/extensions/runs/{run_id}", responses={200: {"model": RunDetailsOut}}, response_model=None)
async def get_one_run(
    *,
    database: CurrentDatabase,
    run_id: Annotated[str, Path(pattern="^[A-Za-z0-9-]*$", max_length=64, description="The run's id.")],
    token: ManagementToken = requires_scope("read:runs"),
) -> JSONResponse:
    """Return one run with its event and every attempt."""
    async with database.reader() as reader:
        run, attempts = await get_run(reader, token.tenant.id, RunId(run_id))
        hooks = {hook.id: hook for hook in await list_hooks(reader, token.tenant.id)}
    return JSONResponse(
        {
            **_run_body(run, hooks.get(_hook_id(run))),
            "event": run.event,
            "attempts": [_attempt_body(attempt) for attempt in attempts],
        }
    )


def _hook_id(run: Run) -> Any:
    return run.subject_id


def _run_body(run: Run, hook: Hook | None) -> dict[str, Any]:
    return {
        "id": run.id,
        "hook_id": run.subject_id,
        "hook_name": None if hook is None else hook.name,
        "trigger_id": None if hook is None else hook.trigger_id,
        "user_id": None if run.user_id is None else USER_ID_PREFIX + run.user_id,
        "state": run.state.value,
        "state_reason": run.state_reason,
        "attempts": run.attempts,
        "interruptions": run.interruptions,
        "unsandboxed": run.unsandboxed,
        "occurred_at": to_iso(run.occurred_at),
        "due_at": to_iso(run.due_at),
        "finished_at": _moment(run.finished_at),
    }


def _attempt_body(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "outcome": None if attempt.outcome is None else attempt.outcome.value,
        "hook_version": attempt.code_version,
        "worker_id": attempt.worker_id,
        "started_at": to_iso(attempt.started_at),
        "called_back_at": _moment(attempt.called_back_at),
        "settled_at": _moment(attempt.settled_at),
        "finished_at": _moment(attempt.finished_at),
        "verdict": attempt.verdict,
        "error": attempt.error,
        "console": list(attempt.console),
        "calls": list(attempt.calls),
        "connections": list(attempt.connections),
        "notes": list(attempt.notes),
        "unsandboxed": attempt.unsandboxed,
    }


def _moment(moment: dt.datetime | None) -> str | None:
    return None if moment is None else to_iso(moment)
