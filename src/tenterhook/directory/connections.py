"""Connections: named user stores of a tenant, with the options that decide who may sign up and how.

Options are Auth0's JSON and pass through unchanged; the ones that we act on:

| option                           | effect                                                              |
| -------------------------------- | ------------------------------------------------------------------- |
| `passwordPolicy`                 | none, low, fair, good, excellent; absent or null: good              |
| `password_complexity_options`    | `{min_length}` instead of the policy's                              |
| `requires_username`              | a username must be given                                            |
| `validation.username`            | `{min, max}` characters, 1 to 15                                    |
| `disable_signup`                 | only the management API creates users                               |
| `disclose_existing_users`        | ours: a duplicate sign-up says `user_exists`, not `invalid_signup`  |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert

from tenterhook.database import Reader, Transaction
from tenterhook.directory.clients import Client
from tenterhook.directory.errors import ConnectionExistsError, UnknownClientError, UnknownConnectionError
from tenterhook.directory.tables import connection_clients, connections
from tenterhook.ids import ClientId, ConnectionId, TenantId, new_connection_id

DEFAULT_NAME = "Username-Password-Authentication"
DATABASE_STRATEGY = "auth0"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A user store."""

    id: ConnectionId
    tenant_id: TenantId
    name: str
    strategy: str
    """``auth0`` for e-mail and password."""
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SignUpTarget:
    """Where a sign-up goes, and through which application; the two belong together."""

    connection: Connection
    client: Client


async def create(
    transaction: Transaction,
    *,
    tenant_id: TenantId,
    name: str,
    strategy: str = DATABASE_STRATEGY,
    options: Mapping[str, Any] | None = None,
) -> Connection:
    """Create a connection, or raise ``ConnectionExistsError``."""
    connection = Connection(
        id=new_connection_id(), tenant_id=tenant_id, name=name, strategy=strategy, options=dict(options or {})
    )
    try:
        await transaction.raw.execute(
            "INSERT INTO connections (id, tenant_id, name, strategy, options) VALUES ($1, $2, $3, $4, $5)",
            connection.id,
            tenant_id,
            name,
            strategy,
            json.dumps(connection.options),
        )
    except asyncpg.UniqueViolationError:
        raise ConnectionExistsError from None
    return connection


async def enable_client(transaction: Transaction, connection_id: ConnectionId, client_id: ClientId) -> None:
    """Let an application use a connection; doing it twice is once."""
    statement = insert(connection_clients).values(connection_id=connection_id, client_id=client_id)
    await transaction.execute(statement.on_conflict_do_nothing())


async def get_by_name(reader: Reader, tenant_id: TenantId, name: str) -> Connection:
    """Return the tenant's connection of this name, or raise ``UnknownConnectionError``."""
    row = await reader.one_or_none(
        select(connections).where(connections.c.tenant_id == tenant_id, connections.c.name == name)
    )
    if row is None:
        raise UnknownConnectionError
    return _connection(row)


async def get(reader: Reader, tenant_id: TenantId, connection_id: ConnectionId) -> Connection:
    """Return the tenant's connection of this id, or raise ``UnknownConnectionError``."""
    row = await reader.one_or_none(
        select(connections).where(connections.c.tenant_id == tenant_id, connections.c.id == connection_id)
    )
    if row is None:
        raise UnknownConnectionError
    return _connection(row)


async def list_of_tenant(reader: Reader, tenant_id: TenantId) -> list[Connection]:
    """Return the tenant's connections, the oldest first."""
    rows = await reader.all(
        select(connections)
        .where(connections.c.tenant_id == tenant_id)
        .order_by(connections.c.created_at, connections.c.id)
    )
    return [_connection(row) for row in rows]


# One statement whatever is missing: the row is always there, its parts are null when they do not exist.
_SIGN_UP_TARGET = """
SELECT c.client_id, c.name AS client_name, c.app_type, c.grant_types::text AS grant_types,
       n.id AS connection_id, n.strategy, n.options::text AS options, e.client_id IS NOT NULL AS enabled
FROM (SELECT 1) AS always
LEFT JOIN clients c ON c.client_id = $2 AND c.tenant_id = $1
LEFT JOIN connections n ON n.tenant_id = $1 AND n.name = $3
LEFT JOIN connection_clients e ON e.connection_id = n.id AND e.client_id = c.client_id
"""


async def sign_up_target(
    reader: Reader, tenant_id: TenantId, client_id: str, connection_name: str
) -> SignUpTarget:
    """Return the connection and the client of a sign-up.

    Raises:
        UnknownClientError: the tenant has no such client, or it is not enabled for the connection.
        UnknownConnectionError: the tenant has no such connection.
    """
    row = await reader.raw.fetchrow(_SIGN_UP_TARGET, tenant_id, client_id, connection_name)
    if row is None or row["client_id"] is None:
        raise UnknownClientError
    if row["connection_id"] is None:
        raise UnknownConnectionError
    if not row["enabled"]:
        raise UnknownClientError("The connection is not enabled for this client.")
    return SignUpTarget(
        connection=Connection(
            id=ConnectionId(row["connection_id"]),
            tenant_id=tenant_id,
            name=connection_name,
            strategy=row["strategy"],
            options=json.loads(row["options"]),
        ),
        client=Client(
            client_id=ClientId(row["client_id"]),
            tenant_id=tenant_id,
            name=row["client_name"],
            app_type=row["app_type"],
            grant_types=tuple(json.loads(row["grant_types"])),
        ),
    )


def _connection(row: Row[Any]) -> Connection:
    return Connection(
        id=ConnectionId(row.id),
        tenant_id=TenantId(row.tenant_id),
        name=row.name,
        strategy=row.strategy,
        options=row.options,
    )
