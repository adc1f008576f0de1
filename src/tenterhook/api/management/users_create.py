"""POST /api/v2/users: an administrator registers a user; the same hooks run as at sign-up."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.change_log import MASK, ChangeLog
from tenterhook.api.dependencies import CurrentClock, CurrentDatabase, CurrentRegistrar
from tenterhook.api.management.user_parts import UserOut, user_body
from tenterhook.api.origins import origin_of
from tenterhook.api.requests import DocumentedRoute, payload
from tenterhook.directory import UserInConnection, users
from tenterhook.flows import Registration

router = APIRouter(route_class=DocumentedRoute, tags=["users"])

Name = Annotated[str | None, Field(min_length=1, max_length=150)]
LongName = Annotated[str | None, Field(min_length=1, max_length=300)]


class UserIn(BaseModel):
    """A new user."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    connection: str = Field(min_length=1, max_length=255, description="The connection's name")
    email: str | None = Field(default=None, description="E-mail address")
    password: SecretStr | None = Field(
        default=None, description="Initial password; without one nobody can log in"
    )
    username: str | None = Field(default=None, max_length=128, description="The user's username")
    phone_number: str | None = Field(default=None, pattern=r"^\+[0-9]{1,15}$", description="E.164")
    email_verified: bool | None = Field(default=None, description="Whether the address is known to be theirs")
    phone_verified: bool | None = Field(default=None, description="Whether the number is known to be theirs")
    verify_email: bool | None = Field(default=None, description="Accepted; this release sends no e-mail")
    given_name: Name = None
    family_name: Name = None
    name: LongName = None
    nickname: LongName = None
    picture: str | None = Field(default=None, max_length=2048, description="Address of a picture")
    blocked: bool | None = Field(default=None, description="Whether logging in is refused")
    user_metadata: dict[str, Any] | None = Field(default=None, description="What the user may change")
    app_metadata: dict[str, Any] | None = Field(default=None, description="What only applications may change")
    user_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,255}$",
        description="Id of the caller's choice, without auth0|",
    )


@router.post("/api/v2/users", status_code=201, responses={201: {"model": UserOut}}, response_model=None)
async def create_user(
    *,
    request: Request,
    registrar: CurrentRegistrar,
    database: CurrentDatabase,
    clock: CurrentClock,
    token: ManagementToken = requires_scope("create:users"),
    body: UserIn = payload(UserIn),
) -> JSONResponse:
    """Create a user in a connection."""
    user = await registrar.create_user(
        tenant=token.tenant,
        connection_name=body.connection,
        registration=_registration(body),
        origin=origin_of(request),
    )
    answer = user_body(UserInConnection(user=user, connection_name=body.connection))
    sent = body.model_dump(exclude_unset=True)
    if "password" in sent:
        sent["password"] = MASK
    log = ChangeLog(request=request, token=token, clock=clock, description="Create a User")
    async with database.transaction() as transaction:
        await log.write(
            transaction,
            body=sent,
            status=201,
            response=answer,
            user_id=user.id,
            user_name=user.email or user.username,
        )
    return JSONResponse(answer, 201)


def _registration(body: UserIn) -> Registration:
    return Registration(
        email=body.email,
        username=body.username,
        password=body.password,
        phone_number=body.phone_number,
        email_verified=bool(body.email_verified),
        phone_verified=bool(body.phone_verified),
        given_name=body.given_name,
        family_name=body.family_name,
        name=body.name,
        nickname=body.nickname,
        picture=body.picture,
        blocked=bool(body.blocked),
        user_metadata=body.user_metadata or {},
        app_metadata=body.app_metadata or {},
        user_id=None if body.user_id is None else users.bare_id(body.user_id),
    )
