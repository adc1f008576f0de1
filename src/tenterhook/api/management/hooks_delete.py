"""DELETE /api/v2/hooks/{id}: the hook with its versions, secrets and storage."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.change_log import ChangeLog
from tenterhook.api.dependencies import CurrentClock
from tenterhook.api.hook_parts import CurrentHookEditor, HookIdInPath
from tenterhook.api.requests import DocumentedRoute
from tenterhook.database import Transaction

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])


@router.delete("/api/v2/hooks/{hook_id}", status_code=204, response_model=None)
async def delete_hook(
    *,
    request: Request,
    hook_id: HookIdInPath,
    editor: CurrentHookEditor,
    clock: CurrentClock,
    token: ManagementToken = requires_scope("delete:hooks"),
) -> Response:
    """Delete a hook. Runs that wait for it will be cancelled. A body, which old SDKs send, is not read."""
    log = ChangeLog(request=request, token=token, clock=clock, description="Delete a hook")

    async def record(transaction: Transaction) -> None:
        await log.write(transaction, body={}, status=204, response={}, hook={"id": hook_id})

    await editor.delete(token.tenant.id, hook_id, record=record)
    return Response(status_code=204)
