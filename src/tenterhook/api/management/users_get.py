"""GET /api/v2/users/{id}: one user, by id with or without ``auth0|``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.dependencies import CurrentDatabase
from tenterhook.api.listing import Fields, IncludeFields, narrowed
from tenterhook.api.management.user_parts import UserOut, user_body
from tenterhook.api.requests import DocumentedRoute
from tenterhook.directory import users

router = APIRouter(route_class=DocumentedRoute, tags=["users"])

UserIdInPath = Annotated[str, Path(max_length=300, description="The user's id.")]


@router.get("/api/v2/users/{user_id}", responses={200: {"model": UserOut}}, response_model=None)
async def get_user(
    *,
    database: CurrentDatabase,
    user_id: UserIdInPath,
    token: ManagementToken = requires_scope("read:users"),
    fields: Fields = None,
    include_fields: IncludeFields = True,
) -> JSONResponse:
    """Return one user."""
    async with database.reader() as reader:
        found = await users.get(reader, token.tenant.id, user_id)
    return JSONResponse(narrowed(user_body(found), fields, include_fields=include_fields))
