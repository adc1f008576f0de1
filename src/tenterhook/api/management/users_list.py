"""GET /api/v2/users and GET /api/v2/users-by-email: the tenant's users, page by page or by their address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.dependencies import CurrentDatabase
from tenterhook.api.listing import (
    Fields,
    IncludeFields,
    IncludeTotals,
    Page,
    PerPage,
    narrowed,
    parse_sort,
    with_totals,
)
from tenterhook.api.management.user_parts import UserOut, user_body
from tenterhook.api.requests import DocumentedRoute
from tenterhook.api.search_query import parse_search_query
from tenterhook.directory import users

router = APIRouter(route_class=DocumentedRoute, tags=["users"])


@router.get("/api/v2/users", responses={200: {"model": list[UserOut]}}, response_model=None)
async def get_users(
    *,
    database: CurrentDatabase,
    token: ManagementToken = requires_scope("read:users"),
    page: Page = 0,
    per_page: PerPage = 50,
    include_totals: IncludeTotals = False,
    sort: Annotated[
        str | None, Query(max_length=100, description="`field:1`, or `field:-1` to descend.")
    ] = None,
    connection: Annotated[
        str | None, Query(max_length=255, description="Only users of this connection.")
    ] = None,
    q: Annotated[str | None, Query(max_length=2000, description='`email:"a@b.example" AND …`')] = None,
    fields: Fields = None,
    include_fields: IncludeFields = True,
) -> JSONResponse:
    """List the tenant's users, the oldest first unless sorted otherwise."""
    equals = parse_search_query(q, users.SEARCHABLE) if q else []
    order = parse_sort(sort, users.SORTABLE) if sort else ("created_at", False)
    start = page * per_page
    async with database.reader() as reader:
        found = await users.list_of_tenant(
            reader,
            token.tenant.id,
            offset=start,
            limit=per_page,
            connection_name=connection,
            equals=equals,
            sort=order,
        )
        total = (
            await users.count_of_tenant(reader, token.tenant.id, connection_name=connection, equals=equals)
            if include_totals
            else None
        )
    items = [narrowed(user_body(user), fields, include_fields=include_fields) for user in found]
    if total is None:
        return JSONResponse(items)
    return JSONResponse(with_totals("users", items, start=start, limit=per_page, total=total))


@router.get("/api/v2/users-by-email", responses={200: {"model": list[UserOut]}}, response_model=None)
async def get_users_by_email(
    *,
    database: CurrentDatabase,
    email: Annotated[str, Query(max_length=254, description="The address, whatever its case.")],
    token: ManagementToken = requires_scope("read:users"),
    fields: Fields = None,
    include_fields: IncludeFields = True,
) -> JSONResponse:
    """List the users of an address, one per connection at most."""
    async with database.reader() as reader:
        found = await users.list_by_email(reader, token.tenant.id, email)
    return JSONResponse([narrowed(user_body(user), fields, include_fields=include_fields) for user in found])
