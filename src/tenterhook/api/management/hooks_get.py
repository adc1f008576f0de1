"""GET /api/v2/hooks/{id}: one hook with its code, and the entity tag that a change may be based on."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.dependencies import CurrentDatabase
from tenterhook.api.hook_parts import HookIdInPath, HookOut, version_headers
from tenterhook.api.management.hooks_list import Fields, IncludeFields, only, shown_fields
from tenterhook.api.requests import DocumentedRoute
from tenterhook.hooks import get_hook, get_version

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])


@router.get("/api/v2/hooks/{hook_id}", responses={200: {"model": HookOut}}, response_model=None)
async def get_one_hook(
    *,
    hook_id: HookIdInPath,
    database: CurrentDatabase,
    token: ManagementToken = requires_scope("read:hooks"),
    fields: Fields = None,
    include_fields: IncludeFields = True,
) -> JSONResponse:
    """Return a hook; its `ETag` may be sent as `If-Match` with a change."""
    async with database.reader() as reader:
        hook = await get_hook(reader, token.tenant.id, hook_id)
        version = await get_version(reader, token.tenant.id, hook_id, hook.version)
    shown = shown_fields(fields, include_fields=include_fields)
    return JSONResponse(only(hook, shown), headers={"ETag": hook.etag, **version_headers(version)})
