"""POST /api/extensions/hooks/{id}/runner: try a hook now, outside the queue, and be told everything.

    {}                                 the newest version, with the extensibility point's sample body
    {"body": {…}}                      with this body
    {"script": "…"}                    saved as a new version first, as the original's Runner does, then run
    {"script": "…", "draft": true}     run without being saved; what it stores is gone afterwards

The code is the real thing: it has the hook's secrets and modules and makes real calls. No run is recorded.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.change_log import ChangeLog
from tenterhook.api.dependencies import CurrentClock, CurrentDatabase
from tenterhook.api.hook_parts import (
    CurrentHookEditor,
    CurrentHookInvoker,
    HookDependencies,
    HookIdInPath,
    HookScript,
    ModuleErrorOut,
    ModuleOut,
    log_save,
    module_error_body,
    modules_body,
    save_headers,
)
from tenterhook.api.requests import DocumentedRoute, payload
from tenterhook.clock import to_iso
from tenterhook.database import Transaction
from tenterhook.hooks import (
    Hook,
    HookChanges,
    HookEditor,
    LoadedHook,
    SavedHook,
    check_body,
    get_hook,
    point_of,
    with_modules,
)
from tenterhook.ids import new_run_id
from tenterhook.sandbox import Execution

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])

DRAFT_VERSION = 0


class RunnerIn(BaseModel):
    """What to run."""

    model_config = ConfigDict(extra="forbid")

    # As with a change of a hook, only what was sent counts; the defaults are never looked at.
    body: dict[str, Any] = Field(default={}, description="The event; the point's sample if absent")
    script: HookScript = ""
    dependencies: HookDependencies = {}
    draft: bool = Field(default=False, description="Run script and dependencies without saving them")

    def changes(self) -> HookChanges:
        """Return the code that was sent."""
        sent = self.model_fields_set & {"script", "dependencies"}
        return HookChanges(**{name: getattr(self, name) for name in sent})


class ModulesOut(BaseModel):
    """The npm modules of what was run."""

    modules: list[ModuleOut] = Field(description="What it ran with, and who chose each version.")
    notes: list[str] = Field(description="What the author should know about the choice.")
    error: ModuleErrorOut | None = Field(description="Why there are none.")


class RunnerOut(BaseModel):
    """What came of it."""

    outcome: str = Field(description="As the attempt of a run: ok, error, timed_out, could_not_start, …")
    verdict: dict[str, Any] | None = Field(description="What cb said: `{result}` or `{error}`.")
    result: Any = Field(description="The second argument of cb; null when there was an error.")
    error: dict[str, Any] | None = Field(description="Why the outcome is not ok, with the stack.")
    console: list[dict[str, Any]] = Field(
        description="What the hook wrote, with milliseconds from the start."
    )
    calls: list[dict[str, Any]] = Field(description="HTTP requests it made.")
    connections: list[dict[str, Any]] = Field(
        description="Connections it tried to open, and names that DNS refused, each with the egress policy's verdict."
    )
    notes: list[str] = Field(description="Remarks, for instance that cb was called twice.")
    unsandboxed: bool = Field(
        description="True when it ran without a sandbox, because the operator allows that."
    )
    timings: dict[str, Any] = Field(description="Moments, and milliseconds to start, to cb and to the end.")
    modules: ModulesOut
    saved_version: int | None = Field(description="The version that was saved first; null when none was.")
    run_id: str = Field(description="What the hook saw as context.webtask.id.")


@router.post(
    "/api/extensions/hooks/{hook_id}/runner", responses={200: {"model": RunnerOut}}, response_model=None
)
async def run_hook(
    *,
    request: Request,
    hook_id: HookIdInPath,
    database: CurrentDatabase,
    editor: CurrentHookEditor,
    invoker: CurrentHookInvoker,
    clock: CurrentClock,
    token: ManagementToken = requires_scope("update:hooks"),
    body: RunnerIn = payload(RunnerIn),
) -> JSONResponse:
    """Run a hook once and wait until everything that it started is over."""
    async with database.reader() as reader:
        hook = await get_hook(reader, token.tenant.id, hook_id)
    point = point_of(hook.trigger_id)
    event = body.body if "body" in body.model_fields_set else json.loads(point.runner_body)
    check_body(point, event)
    changes = body.changes()
    saved: SavedHook | None = None
    notes: tuple[str, ...] = ()
    if changes.makes_version and not body.draft:
        log = ChangeLog(request=request, token=token, clock=clock, description="Update a hook")

        async def record(transaction: Transaction, saved: SavedHook) -> None:
            sent = body.model_dump(include={"script", "dependencies"}, exclude_unset=True)
            await log_save(log, transaction, saved, sent=sent, status=200)

        saved = await editor.update(token.tenant.id, hook_id, changes, record=record)
        loaded = await invoker.load(hook_id, saved.version.number)
        notes = saved.version.module_notes
    else:
        loaded = await invoker.load(hook_id, hook.version)
        if changes.makes_version:
            loaded, notes = await _draft(editor, hook, loaded, changes)
    run_id = new_run_id()
    execution = await invoker.invoke(loaded, event, run_id=run_id, attempt=1)
    answer = {
        **_execution_body(execution),
        "modules": {
            "modules": modules_body(loaded.module_set.modules),
            "notes": list(notes),
            "error": module_error_body(loaded.module_error),
        },
        "saved_version": None if saved is None else saved.version.number,
        "run_id": run_id,
    }
    return JSONResponse(answer, headers={} if saved is None else save_headers(saved))


async def _draft(
    editor: HookEditor, hook: Hook, loaded: LoadedHook, changes: HookChanges
) -> tuple[LoadedHook, tuple[str, ...]]:
    """Return the hook with unsaved code, and what the author should know about its modules."""
    script = loaded.script if changes.script is None else changes.script
    dependencies = loaded.dependencies if changes.dependencies is None else changes.dependencies
    editor.check_script(script)
    prepared = await editor.prepare(script, dependencies, of=hook)
    draft = dataclasses.replace(loaded, version=DRAFT_VERSION, script=script, dependencies=dependencies)
    return with_modules(draft, prepared), prepared.notes


def _execution_body(execution: Execution) -> dict[str, Any]:
    verdict = execution.verdict
    notes = list(execution.notes)
    if execution.limit is not None:
        notes.append(str(execution.limit))
    return {
        "outcome": execution.outcome.value,
        "verdict": None
        if verdict is None
        else {"result": verdict.result}
        if verdict.error is None
        else {"error": verdict.error.to_wire()},
        "result": None if verdict is None or verdict.error is not None else verdict.result,
        "error": None
        if execution.error is None
        else {"name": execution.error.name, **execution.error.to_wire()},
        "console": [dataclasses.asdict(line) for line in execution.console],
        "calls": [{**dataclasses.asdict(call), "failed": call.failed} for call in execution.calls],
        "connections": [dataclasses.asdict(attempt) for attempt in execution.connections],
        "notes": notes,
        "unsandboxed": execution.unsandboxed,
        "timings": {
            "started_at": None if execution.started_at is None else to_iso(execution.started_at),
            "called_back_at": None if execution.called_back_at is None else to_iso(execution.called_back_at),
            "settled_at": to_iso(execution.settled_at),
            "milliseconds_to_start": execution.milliseconds_to_start,
            "milliseconds_to_callback": execution.milliseconds_to_callback,
            "milliseconds_to_settled": execution.milliseconds_to_settled,
        },
    }
