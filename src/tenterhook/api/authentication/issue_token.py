"""POST /oauth/token: a client exchanges its id and secret for an access token to the management API.

Both forms of client authentication are taken: in the body (what the SDKs send) and HTTP Basic (RFC 6749, 2.3.1).
Which of client and secret was wrong is not told. Every exchange that names one of our clients is in the tenant log.
"""

from __future__ import annotations

import base64
import binascii
import urllib.parse
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import JSONResponse

from tenterhook import tenant_log
from tenterhook.api.dependencies import (
    CurrentAccessTokens,
    CurrentClock,
    CurrentDatabase,
    CurrentSettings,
    CurrentTenant,
)
from tenterhook.api.errors import ForbiddenError
from tenterhook.api.origins import origin_of
from tenterhook.api.requests import DocumentedRoute, payload
from tenterhook.clock import Clock
from tenterhook.database import Database, Reader
from tenterhook.directory import AccessDeniedError, Client, Tenant, UnknownClientError, clients
from tenterhook.errors import InvalidInputError, TenterhookError
from tenterhook.flows import Origin
from tenterhook.tenant_log import LogEvent

router = APIRouter(route_class=DocumentedRoute, tags=["tokens"])

_LONGEST_QUOTE = 100


class InvalidTokenRequestError(InvalidInputError):
    """The token request lacks something."""

    code = "invalid_request"


class UnsupportedGrantTypeError(InvalidInputError):
    """This grant type is not supported."""

    code = "unsupported_grant_type"


class UnauthorizedClientError(ForbiddenError):
    """The client may not use this grant type."""

    code = "unauthorized_client"


class TokenIn(BaseModel):
    """A token request; explicit nulls count as absent, and so does what we do not know."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    grant_type: str = Field(description="client_credentials")
    client_id: str | None = Field(default=None, max_length=255, description="Unless sent by HTTP Basic")
    client_secret: SecretStr | None = Field(default=None, description="Unless sent by HTTP Basic")
    audience: str | None = Field(
        default=None, max_length=2048, description="The management API's: https://DOMAIN/api/v2/"
    )
    scope: str | None = Field(
        default=None,
        max_length=4096,
        description="Some of the granted scopes, separated by blanks; all if absent",
    )


class TokenOut(BaseModel):
    """A bearer token."""

    access_token: str
    token_type: str
    expires_in: int = Field(description="Seconds")
    scope: str


@router.post("/oauth/token", responses={200: {"model": TokenOut}}, response_model=None)
async def issue_token(
    *,
    request: Request,
    tenant: CurrentTenant,
    database: CurrentDatabase,
    access_tokens: CurrentAccessTokens,
    settings: CurrentSettings,
    clock: CurrentClock,
    body: TokenIn = payload(TokenIn),
) -> JSONResponse:
    """Issue an access token for a client's own use (client credentials)."""
    if body.grant_type != clients.CLIENT_CREDENTIALS:
        raise UnsupportedGrantTypeError(f"Unsupported grant type: {body.grant_type[:_LONGEST_QUOTE]}")
    client_id, secret = _credentials(request, body)
    log = _ExchangeLog(database, clock, tenant, origin_of(request), body.audience)
    try:
        async with database.reader() as reader:
            client = await clients.authenticate(reader, tenant.id, client_id, secret)
            scopes = await _allowed_scopes(reader, tenant, client, body)
    except (AccessDeniedError, ForbiddenError) as error:
        await log.write_failure(client_id, error)
        raise
    token = await access_tokens.mint(
        tenant,
        client_id=client.client_id,
        audience=tenant.management_audience,
        scopes=scopes,
        lifetime_seconds=settings.access_token_lifetime_seconds,
    )
    await log.write_success(client)
    answer = TokenOut(
        access_token=token,
        token_type="Bearer",  # noqa: S106 - the kind of token, no secret
        expires_in=settings.access_token_lifetime_seconds,
        scope=" ".join(sorted(scopes)),
    )
    return JSONResponse(answer.model_dump(), headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


async def _allowed_scopes(reader: Reader, tenant: Tenant, client: Client, body: TokenIn) -> frozenset[str]:
    if clients.CLIENT_CREDENTIALS not in client.grant_types:
        raise UnauthorizedClientError(
            f"Grant type '{clients.CLIENT_CREDENTIALS}' not allowed for the client."
        )
    if body.audience is None:
        raise InvalidTokenRequestError(f"Missing parameter: audience. Expected {tenant.management_audience}")
    if body.audience != tenant.management_audience:
        raise ForbiddenError(f"Service not found: {body.audience[:_LONGEST_QUOTE]}")
    granted = await clients.granted_scopes(reader, client.client_id, body.audience)
    if granted is None:
        raise ForbiddenError(f'Client is not authorized to access "{body.audience}".')
    wanted = frozenset((body.scope or "").split()) or granted
    if not wanted <= granted:
        refused = ", ".join(sorted(wanted - granted))[:_LONGEST_QUOTE]
        raise ForbiddenError(f"Client has not been granted scopes: {refused}")
    return wanted


def _credentials(request: Request, body: TokenIn) -> tuple[str, SecretStr]:
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise AccessDeniedError from None
        if not colon or "\x00" in urllib.parse.unquote(name):
            raise AccessDeniedError
        return urllib.parse.unquote_plus(name), SecretStr(urllib.parse.unquote_plus(secret))
    if body.client_id is None:
        raise InvalidTokenRequestError("Missing parameter: client_id")
    return body.client_id, body.client_secret or SecretStr("")


class _ExchangeLog:
    """Writes ``seccft`` and ``feccft``; neither holds the secret or the token."""

    def __init__(
        self, database: Database, clock: Clock, tenant: Tenant, origin: Origin, audience: str | None
    ) -> None:
        self._database = database
        self._clock = clock
        self._tenant = tenant
        self._origin = origin
        self._audience = audience

    async def write_success(self, client: Client) -> None:
        async with self._database.transaction() as transaction:
            await tenant_log.write(
                transaction, self._event("seccft", client, "Client Credentials for Access Token", {})
            )

    async def write_failure(self, client_id: str, error: TenterhookError) -> None:
        """A client that does not exist leaves no trace: anybody could fill the log with inventions."""
        async with self._database.transaction() as transaction:
            try:
                client = await clients.get(transaction, self._tenant.id, client_id)
            except UnknownClientError:
                return
            details = {"error": {"code": error.code, "message": error.message}}
            await tenant_log.write(transaction, self._event("feccft", client, error.message, details))

    def _event(self, log_type: str, client: Client, description: str, details: dict[str, Any]) -> LogEvent:
        return LogEvent(
            tenant_id=self._tenant.id,
            type=log_type,
            date=self._clock.now(),
            description=description,
            client_id=client.client_id,
            client_name=client.name,
            ip=self._origin.ip,
            user_agent=self._origin.user_agent,
            details={"audience": self._audience, **details},
        )
