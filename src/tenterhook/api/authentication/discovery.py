"""GET /.well-known/…: the tenant's public keys and the addresses of its endpoints, for whoever verifies its tokens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from tenterhook.api.dependencies import CurrentAccessTokens, CurrentTenant

router = APIRouter(tags=["tokens"])

_CACHE = {"Cache-Control": "public, max-age=15, stale-while-revalidate=15, stale-if-error=86400"}
"""Short, so that a rotated key is known everywhere soon; Auth0 sends the same."""


@router.get("/.well-known/jwks.json")
async def get_key_set(tenant: CurrentTenant, access_tokens: CurrentAccessTokens) -> JSONResponse:
    """Return the keys that the tenant's tokens are verified with (JWKS)."""
    return JSONResponse(await access_tokens.key_set(tenant), headers=_CACHE)


@router.get("/.well-known/openid-configuration")
async def get_configuration(tenant: CurrentTenant) -> dict[str, Any]:
    """Return issuer, endpoints and what they can do; only what exists here is listed."""
    return {
        "issuer": tenant.issuer,
        "token_endpoint": f"{tenant.public_url}/oauth/token",
        "jwks_uri": f"{tenant.public_url}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
