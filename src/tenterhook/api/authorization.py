"""Who may call the management API: a handler that asks for a ``ManagementToken`` cannot run without one.

    async def list_things(token: ManagementToken = requires_scope("read:things")) -> ...

Tokens come from ``POST /oauth/token``, are signed by the tenant's own key, and name the tenant's management audience;
another tenant's token is an invalid token here.
"""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request

from tenterhook.api.dependencies import CurrentAccessTokens, CurrentTenant
from tenterhook.api.errors import InsufficientScopeError, UnauthorizedError
from tenterhook.directory import AccessToken, InvalidTokenError, Tenant

MANAGEMENT_SCOPES: tuple[str, ...] = (
    *(f"{verb}:hooks" for verb in ("read", "create", "update", "delete")),
    *(f"{verb}:users" for verb in ("read", "create", "update", "delete")),
    *(f"{verb}:connections" for verb in ("read", "create", "update", "delete")),
    *(f"{verb}:clients" for verb in ("read", "create", "update", "delete")),
    "read:logs",
    "read:logs_users",
    "read:runs",
    "update:runs",
)
"""Every scope there is; the client that ``init`` makes has them all. Those of runs are ours, the rest Auth0's."""


class ManagementToken:
    """Proof that this request may use the endpoint it came to."""

    __slots__ = ("claims", "tenant")

    def __init__(self, tenant: Tenant, claims: AccessToken) -> None:
        """Join the tenant and what its token says."""
        self.tenant = tenant
        self.claims = claims

    @property
    def client_id(self) -> str:
        """Return the client the token was given to."""
        return self.claims.client_id

    @property
    def scopes(self) -> frozenset[str]:
        """Return what the token allows."""
        return self.claims.scopes


def requires_scope(*any_of: str) -> Any:
    """Return a dependency that yields a ``ManagementToken`` with at least one of the scopes.

    It raises ``UnauthorizedError`` (401) without a valid token, ``InsufficientScopeError`` (403) without a scope.
    """
    return Depends(_RequiredScope(any_of))


class _RequiredScope:
    def __init__(self, any_of: tuple[str, ...]) -> None:
        unknown = set(any_of) - set(MANAGEMENT_SCOPES)
        if unknown:
            raise ValueError(f"unknown scopes: {sorted(unknown)}")
        self.any_of_scopes = any_of

    async def __call__(
        self, request: Request, tenant: CurrentTenant, access_tokens: CurrentAccessTokens
    ) -> ManagementToken:
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text.strip():
            raise UnauthorizedError("Missing authentication")
        try:
            claims = await access_tokens.verify(tenant, text.strip())
        except InvalidTokenError as error:
            raise UnauthorizedError(error.message) from error
        if tenant.management_audience not in claims.audience:
            raise UnauthorizedError(f"Bad audience; expected {tenant.management_audience}")
        if not claims.scopes.intersection(self.any_of_scopes):
            expected = ",".join(self.any_of_scopes)
            raise InsufficientScopeError(f"Insufficient scope, expected any of: {expected}")
        return ManagementToken(tenant, claims)
