"""PATCH /api/v2/hooks/{id}: rename, enable, disable, or save another version of the code."""

from __future__ import annotations

from typing import Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.change_log import ChangeLog
from tenterhook.api.dependencies import CurrentClock
from tenterhook.api.hook_parts import (
    CurrentHookEditor,
    HookDependencies,
    HookIdInPath,
    HookName,
    HookOut,
    HookScript,
    log_save,
    saved_response,
)
from tenterhook.api.preconditions import IfMatch, answering_412, entity_tags
from tenterhook.api.requests import DocumentedRoute, payload
from tenterhook.database import Transaction
from tenterhook.hooks import HookChanges, SavedHook

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])


class HookChangesIn(BaseModel):
    """What is to be different; what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    # The defaults are never looked at: only what was sent counts, and null is not sent for "absent".
    name: HookName = ""
    script: HookScript = ""
    enabled: bool = Field(
        default=False, description="Whether it is called; disables the trigger's enabled hook"
    )
    dependencies: HookDependencies = {}

    @model_validator(mode="after")
    def _something_changes(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("At least one of name, script, enabled, dependencies is required")
        return self

    def changes(self) -> HookChanges:
        """Return what was sent."""
        return HookChanges(**{name: getattr(self, name) for name in self.model_fields_set})


@router.patch("/api/v2/hooks/{hook_id}", responses={200: {"model": HookOut}}, response_model=None)
async def update_hook(
    *,
    request: Request,
    hook_id: HookIdInPath,
    editor: CurrentHookEditor,
    clock: CurrentClock,
    token: ManagementToken = requires_scope("update:hooks"),
    body: HookChangesIn = payload(HookChangesIn),
    if_match: IfMatch = None,
) -> JSONResponse:
    """Change a hook and return the whole of it; `script` or `dependencies` make a new version."""
    log = ChangeLog(request=request, token=token, clock=clock, description="Update a hook")

    async def record(transaction: Transaction, saved: SavedHook) -> None:
        await log_save(log, transaction, saved, sent=body.model_dump(exclude_unset=True), status=200)

    with answering_412():
        saved = await editor.update(
            token.tenant.id, hook_id, body.changes(), if_match=entity_tags(if_match), record=record
        )
    return saved_response(saved, status=200)
