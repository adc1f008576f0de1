"""DELETE /api/v2/users/{id}: a user is erased, with what the tenant log says about them.

Runs of theirs that still wait are cancelled when their turn comes: a worker asks whether the user exists first.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tenterhook import tenant_log
from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.change_log import ChangeLog
from tenterhook.api.dependencies import CurrentClock, CurrentDatabase
from tenterhook.api.management.users_get import UserIdInPath
from tenterhook.api.requests import DocumentedRoute
from tenterhook.directory import UnknownUserError, users

router = APIRouter(route_class=DocumentedRoute, tags=["users"])


@router.delete("/api/v2/users/{user_id}", status_code=204, response_model=None)
async def delete_user(
    *,
    request: Request,
    database: CurrentDatabase,
    clock: CurrentClock,
    user_id: UserIdInPath,
    token: ManagementToken = requires_scope("delete:users"),
) -> Response:
    """Delete a user; 204 also when there is none, as with Auth0. A body (old SDKs send ``{}``) is not read."""
    log = ChangeLog(request=request, token=token, clock=clock, description="Delete a User")
    async with database.transaction() as transaction:
        try:
            found = await users.get(transaction, token.tenant.id, user_id)
        except UnknownUserError:
            return Response(status_code=204)
        user = found.user
        await users.remove(transaction, token.tenant.id, user.id)
        names = [name for name in (user.email, user.username) if name is not None]
        await tenant_log.erase_user(
            transaction, token.tenant.id, user.id, connection_id=user.connection_id, names=names
        )
        await log.write(transaction, body=None, status=204, response=None)
    return Response(status_code=204)
