"""GET /api/v2/hooks: the tenant's hooks, filtered and paged as the SDKs ask for them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.dependencies import CurrentDatabase
from tenterhook.api.hook_parts import HOOK_FIELDS, HookOut, hook_body
from tenterhook.api.requests import DocumentedRoute
from tenterhook.hooks import Hook, TriggerId, count_hooks, list_hooks

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])

_FIELD = "|".join(HOOK_FIELDS)
FIELDS_PATTERN = rf"^(({_FIELD}),)*({_FIELD})$"
DEFAULT_PER_PAGE = 50

TriggerIdIn = Literal[
    "credentials-exchange",
    "pre-user-registration",
    "post-user-registration",
    "post-change-password",
    "send-phone-message",
]
Fields = Annotated[
    str | None,
    Query(pattern=FIELDS_PATTERN, max_length=200, description="Properties to show, separated by commas."),
]
IncludeFields = Annotated[bool, Query(description="False shows all properties but those in `fields`.")]


@router.get("/api/v2/hooks", responses={200: {"model": list[HookOut]}}, response_model=None)
async def get_hooks(
    *,
    database: CurrentDatabase,
    token: ManagementToken = requires_scope("read:hooks"),
    page: Annotated[int | None, Query(ge=0, le=1_000_000, description="Which page, from 0.")] = None,
    per_page: Annotated[int | None, Query(ge=0, le=100, description="Hooks per page.")] = None,
    include_totals: Annotated[bool, Query(description="Answer with `{start, limit, total, hooks}`.")] = False,
    enabled: Annotated[
        bool | None, Query(description="Only hooks that are enabled, or that are not.")
    ] = None,
    trigger_id: Annotated[
        TriggerIdIn | None, Query(alias="triggerId", description="Only hooks of this extensibility point.")
    ] = None,
    fields: Fields = None,
    include_fields: IncludeFields = True,
) -> JSONResponse:
    """List the tenant's hooks, oldest first; all of them unless a page is asked for."""
    paged = include_totals or page is not None or per_page is not None
    limit = (DEFAULT_PER_PAGE if per_page is None else per_page) if paged else None
    start = (page or 0) * (limit or 0)
    point = None if trigger_id is None else TriggerId(trigger_id)
    async with database.reader() as reader:
        found = await list_hooks(
            reader, token.tenant.id, trigger_id=point, enabled=enabled, offset=start, limit=limit
        )
        total = (
            await count_hooks(reader, token.tenant.id, trigger_id=point, enabled=enabled)
            if include_totals
            else None
        )
    shown = shown_fields(fields, include_fields=include_fields)
    hooks = [only(hook, shown) for hook in found]
    if total is None:
        return JSONResponse(hooks)
    # No ``length``, as recorded; deploy-cli wants the list to be the only array.
    return JSONResponse({"total": total, "start": start, "limit": limit, "hooks": hooks})


def shown_fields(fields: str | None, *, include_fields: bool) -> Collection[str]:
    """Return the properties that an answer shows."""
    if fields is None:
        return HOOK_FIELDS
    named = set(re.split(",", fields))
    return [name for name in HOOK_FIELDS if (name in named) == include_fields]


def only(hook: Hook, shown: Collection[str]) -> dict[str, Any]:
    """Return some of a hook's properties."""
    return {name: value for name, value in hook_body(hook).items() if name in shown}
