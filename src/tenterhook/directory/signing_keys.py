"""Signing keys: one RSA pair per tenant that signs, and the earlier ones whose tokens are still out.

The private half is sealed by the vault for its key id and never leaves this package. A key retired by ``rotate`` stays
in the tenant's key set (JWKS), so that what it signed stays verifiable.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import RSAKey
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from tenterhook.database import Reader, Transaction, Vault
from tenterhook.directory.tables import signing_keys
from tenterhook.ids import TenantId

KEY_BITS = 2048


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """One pair; ``repr`` shows the key id alone."""

    kid: str
    public_jwk: Mapping[str, Any]
    sealed: bytes
    current: bool

    def __repr__(self) -> str:
        """Hide even the sealed half."""
        return f"SigningKey({self.kid!r})"


async def create(vault: Vault) -> SigningKey:
    """Make a pair, in a thread: finding the primes takes up to a second."""
    key = await asyncio.to_thread(RSAKey.generate_key, KEY_BITS)
    kid = secrets.token_urlsafe(16)
    public = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": "RS256"}
    private = json.dumps(key.as_dict(private=True)).encode()
    return SigningKey(
        kid=kid, public_jwk=public, sealed=vault.seal(private, purpose=_purpose(kid)), current=True
    )


def open_private(vault: Vault, key: SigningKey) -> RSAKey:
    """Return the half that signs."""
    return RSAKey.import_key(json.loads(vault.open(key.sealed, purpose=_purpose(key.kid))))


async def add_first(transaction: Transaction, tenant_id: TenantId, key: SigningKey) -> None:
    """Make the key the tenant's current one, unless another process was first."""
    statement = insert(signing_keys).values(_row(tenant_id, key))
    await transaction.execute(
        statement.on_conflict_do_nothing(
            index_elements=[signing_keys.c.tenant_id], index_where=signing_keys.c.current
        )
    )


async def rotate(transaction: Transaction, tenant_id: TenantId, key: SigningKey) -> None:
    """Make the key the tenant's current one; the one before remains for verifying."""
    await transaction.execute(
        update(signing_keys)
        .where(signing_keys.c.tenant_id == tenant_id, signing_keys.c.current)
        .values(current=False)
    )
    await transaction.execute(insert(signing_keys).values(_row(tenant_id, key)))


async def list_of_tenant(reader: Reader, tenant_id: TenantId) -> list[SigningKey]:
    """Return the tenant's keys, the current one first."""
    rows = await reader.all(
        select(signing_keys)
        .where(signing_keys.c.tenant_id == tenant_id)
        .order_by(signing_keys.c.current.desc(), signing_keys.c.created_at.desc())
    )
    return [
        SigningKey(kid=row.kid, public_jwk=row.public_jwk, sealed=row.private_sealed, current=row.current)
        for row in rows
    ]


def _row(tenant_id: TenantId, key: SigningKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "tenant_id": tenant_id,
        "public_jwk": dict(key.public_jwk),
        "private_sealed": key.sealed,
        "current": key.current,
    }


def _purpose(kid: str) -> str:
    return f"signing-key:{kid}"
