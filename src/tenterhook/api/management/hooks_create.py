"""POST /api/v2/hooks: a new hook, disabled unless it says otherwise."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.change_log import ChangeLog
from tenterhook.api.dependencies import CurrentClock
from tenterhook.api.hook_parts import (
    CurrentHookEditor,
    HookDependencies,
    HookName,
    HookOut,
    HookScript,
    log_save,
    saved_response,
)
from tenterhook.api.management.hooks_list import TriggerIdIn
from tenterhook.api.requests import DocumentedRoute, payload
from tenterhook.database import Transaction
from tenterhook.hooks import NewHook, SavedHook, TriggerId

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])


class HookIn(BaseModel):
    """A new hook."""

    model_config = ConfigDict(extra="forbid")

    name: HookName
    script: HookScript
    trigger_id: TriggerIdIn = Field(alias="triggerId", description="The extensibility point")
    enabled: bool = Field(
        default=False, description="Whether it is called; disables the trigger's enabled hook"
    )
    dependencies: HookDependencies = {}
    secrets: dict[str, SecretStr] = Field(
        default={}, description="Secrets to begin with, as POST /api/v2/hooks/{id}/secrets takes them"
    )


@router.post("/api/v2/hooks", status_code=201, responses={201: {"model": HookOut}}, response_model=None)
async def create_hook(
    *,
    request: Request,
    editor: CurrentHookEditor,
    clock: CurrentClock,
    token: ManagementToken = requires_scope("create:hooks"),
    body: HookIn = payload(HookIn),
) -> JSONResponse:
    """Create a hook. A script that does not compile is stored; its runs say so."""
    log = ChangeLog(request=request, token=token, clock=clock, description="Create a hook")
    new_hook = NewHook(
        name=body.name,
        script=body.script,
        trigger_id=TriggerId(body.trigger_id),
        enabled=body.enabled,
        dependencies=body.dependencies,
        secrets=body.secrets,
    )

    async def record(transaction: Transaction, saved: SavedHook) -> None:
        sent = body.model_dump(by_alias=True, exclude_unset=True)
        await log_save(log, transaction, saved, sent=sent, status=201)

    return saved_response(await editor.create(token.tenant.id, new_hook, record=record), status=201)
