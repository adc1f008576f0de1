"""POST /dbconnections/signup: somebody registers through an application; no token is asked for.

Whatever is wrong is answered with 400 in the shape that auth0.js reads. That an address is taken is only told where
the connection says so (``disclose_existing_users``): otherwise anybody could ask who has an account.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import JSONResponse

from tenterhook.api.dependencies import CurrentRegistrar, CurrentTenant
from tenterhook.api.origins import origin_of
from tenterhook.api.requests import DocumentedRoute, payload
from tenterhook.directory import UnknownClientError, UnknownConnectionError, User
from tenterhook.errors import InvalidInputError
from tenterhook.flows import Registration

router = APIRouter(route_class=DocumentedRoute, tags=["sign-up"])

Name = Annotated[str | None, Field(max_length=150)]
LongName = Annotated[str | None, Field(max_length=300)]


class SignUpIn(BaseModel):
    """Who wants to register; what Auth0 does not know either is passed over, as there."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    client_id: str = Field(max_length=255, description="The application's client id")
    connection: str = Field(max_length=255, description="Name of the database connection")
    email: str = Field(description="E-mail address")
    password: SecretStr = Field(
        description="As the connection's password policy asks for; at most 4096 bytes"
    )
    username: str | None = Field(default=None, description="Where the connection has usernames")
    phone_number: str | None = Field(default=None, pattern=r"^\+[0-9]{1,15}$", description="E.164")
    given_name: Name = None
    family_name: Name = None
    name: LongName = None
    nickname: LongName = None
    picture: str | None = Field(default=None, max_length=2048, description="Address of a picture")
    user_metadata: dict[str, Any] | None = Field(
        default=None, description="At most 10 strings of at most 500 characters"
    )


class SignUpOut(BaseModel):
    """The new user; what was not given is absent."""

    id: str = Field(alias="_id", description="24 hexadecimal digits, without ``auth0|``")
    email: str
    email_verified: bool
    username: str | None = None
    phone_number: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    name: str | None = None
    nickname: str | None = None
    picture: str | None = None
    user_metadata: dict[str, Any] | None = None


@router.post("/dbconnections/signup", responses={200: {"model": SignUpOut}}, response_model=None)
async def sign_up(
    request: Request,
    tenant: CurrentTenant,
    registrar: CurrentRegistrar,
    body: SignUpIn = payload(SignUpIn),
) -> JSONResponse:
    """Register a user with e-mail address and password."""
    registration = Registration(
        email=body.email,
        username=body.username,
        password=body.password,
        phone_number=body.phone_number,
        given_name=body.given_name,
        family_name=body.family_name,
        name=body.name,
        nickname=body.nickname,
        picture=body.picture,
        user_metadata=body.user_metadata or {},
    )
    try:
        user = await registrar.sign_up(
            tenant=tenant,
            client_id=body.client_id,
            connection_name=body.connection,
            registration=registration,
            origin=origin_of(request),
        )
    except (UnknownClientError, UnknownConnectionError) as error:
        # Auth0 answers 400, not 404: the address of the endpoint is right.
        raise _refusal(error.code, error.message) from error
    return JSONResponse(_shown(user))


def _refusal(code: str, description: str) -> InvalidInputError:
    return InvalidInputError(
        description, auth0={"name": "BadRequestError", "code": code, "description": description}
    )


def _shown(user: User) -> dict[str, Any]:
    optional = {
        "username": user.username,
        "phone_number": user.phone_number,
        "given_name": user.given_name,
        "family_name": user.family_name,
        "name": user.name,
        "nickname": user.nickname,
        "picture": user.picture,
        "user_metadata": dict(user.user_metadata) or None,
    }
    return {
        "_id": user.id,
        "email": user.email,
        "email_verified": user.email_verified,
        **{name: value for name, value in optional.items() if value is not None},
    }
