"""Clients: the applications that call us, and what those with a secret were granted.

A secret is 64 random letters and digits, 381 bits, so a plain SHA-256 of it is as good as a slow hash: nobody can
try them all. It is shown once and compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from tenterhook.database import Reader, Transaction
from tenterhook.directory.errors import AccessDeniedError, UnknownClientError
from tenterhook.directory.tables import client_grants, clients
from tenterhook.ids import ClientId, TenantId, new_client_id, new_client_secret

CLIENT_CREDENTIALS = "client_credentials"
_NOBODY = hashlib.sha256(b"").digest()


@dataclass(frozen=True, kw_only=True)
class Client:
    """An application."""

    client_id: ClientId
    tenant_id: TenantId
    name: str
    app_type: str
    """Auth0's kinds: ``spa``, ``native``, ``regular_web``, ``non_interactive`` (machine to machine)."""
    grant_types: tuple[str, ...]


async def create(
    transaction: Transaction,
    *,
    tenant_id: TenantId,
    name: str,
    app_type: str,
    grant_types: Iterable[str] = (),
    with_secret: bool,
) -> tuple[Client, SecretStr | None]:
    """Create a client and, when asked to, a secret that cannot be read again."""
    client = Client(
        client_id=new_client_id(),
        tenant_id=tenant_id,
        name=name,
        app_type=app_type,
        grant_types=tuple(grant_types),
    )
    secret = new_client_secret() if with_secret else None
    await transaction.execute(
        insert(clients).values(
            client_id=client.client_id,
            tenant_id=tenant_id,
            name=name,
            app_type=app_type,
            grant_types=list(client.grant_types),
            secret_digest=_digest(secret) if secret is not None else None,
        )
    )
    return client, SecretStr(secret) if secret is not None else None


async def rotate_secret(transaction: Transaction, tenant_id: TenantId, client_id: ClientId) -> SecretStr:
    """Give the client a new secret; the old one ends with the transaction. Raises ``UnknownClientError``."""
    secret = new_client_secret()
    result = await transaction.execute(
        update(clients)
        .where(clients.c.tenant_id == tenant_id, clients.c.client_id == client_id)
        .values(secret_digest=_digest(secret), updated_at=func.now())
    )
    if result.rowcount != 1:
        raise UnknownClientError
    return SecretStr(secret)


async def grant(
    transaction: Transaction, client_id: ClientId, *, audience: str, scopes: Iterable[str]
) -> None:
    """Allow the client exactly these scopes at the audience; an earlier grant is replaced."""
    statement = insert(client_grants).values(client_id=client_id, audience=audience, scopes=sorted(scopes))
    await transaction.execute(
        statement.on_conflict_do_update(
            index_elements=[client_grants.c.client_id, client_grants.c.audience],
            set_={"scopes": statement.excluded.scopes},
        )
    )


async def granted_scopes(reader: Reader, client_id: ClientId, audience: str) -> frozenset[str] | None:
    """Return the scopes the client has at the audience, None when it has no grant there."""
    row = await reader.one_or_none(
        select(client_grants.c.scopes).where(
            client_grants.c.client_id == client_id, client_grants.c.audience == audience
        )
    )
    return None if row is None else frozenset(row.scopes)


async def authenticate(reader: Reader, tenant_id: TenantId, client_id: str, secret: SecretStr) -> Client:
    """Return the client whose id and secret these are.

    Raises:
        AccessDeniedError: no such client, another secret, or one without a secret; which of them is not told.
    """
    row = await reader.one_or_none(
        select(clients).where(clients.c.tenant_id == tenant_id, clients.c.client_id == client_id)
    )
    expected = _NOBODY if row is None or row.secret_digest is None else row.secret_digest
    given = _digest(secret.get_secret_value())
    # The empty secret has a digest too, hence the second condition.
    if not hmac.compare_digest(expected, given) or row is None or row.secret_digest is None:
        raise AccessDeniedError
    return _client(row)


async def get(reader: Reader, tenant_id: TenantId, client_id: str) -> Client:
    """Return the tenant's client of this id, or raise ``UnknownClientError``."""
    row = await reader.one_or_none(
        select(clients).where(clients.c.tenant_id == tenant_id, clients.c.client_id == client_id)
    )
    if row is None:
        raise UnknownClientError
    return _client(row)


async def list_of_tenant(reader: Reader, tenant_id: TenantId) -> list[Client]:
    """Return the tenant's clients, the oldest first."""
    rows = await reader.all(
        select(clients)
        .where(clients.c.tenant_id == tenant_id)
        .order_by(clients.c.created_at, clients.c.client_id)
    )
    return [_client(row) for row in rows]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _client(row: Row[Any]) -> Client:
    return Client(
        client_id=ClientId(row.client_id),
        tenant_id=TenantId(row.tenant_id),
        name=row.name,
        app_type=row.app_type,
        grant_types=tuple(row.grant_types),
    )
