"""Small makers of what a test needs in the directory; each returns what it made."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import SecretStr

from tenterhook.database import Database
from tenterhook.directory import Client, Connection, Tenant, clients, connections, tenants
from tenterhook.ids import ConnectionId, TenantId

_NUMBERS = itertools.count()


async def make_tenant(
    database: Database, *, name: str | None = None, public_url: str | None = None
) -> Tenant:
    """Make a tenant under ``NAME.localhost``."""
    name = name or f"tenant-{next(_NUMBERS)}"
    url = public_url or f"http://{name}.localhost"
    async with database.transaction() as transaction:
        return await tenants.create(
            transaction, name=name, domain=tenants.authority_of(tenants.normalize_url(url)), public_url=url
        )


async def make_connection(
    database: Database,
    tenant_id: TenantId,
    *,
    name: str = connections.DEFAULT_NAME,
    options: Mapping[str, Any] | None = None,
) -> Connection:
    """Make a database connection."""
    async with database.transaction() as transaction:
        return await connections.create(transaction, tenant_id=tenant_id, name=name, options=options)


async def make_client(
    database: Database,
    tenant: Tenant,
    *,
    connection_id: ConnectionId | None = None,
    grant_types: Iterable[str] = (),
    scopes: Iterable[str] | None = None,
) -> tuple[Client, SecretStr]:
    """Make a client with a secret, enabled for the connection, and with the scopes at the management API."""
    async with database.transaction() as transaction:
        client, secret = await clients.create(
            transaction,
            tenant_id=tenant.id,
            name=f"client {next(_NUMBERS)}",
            app_type="non_interactive",
            grant_types=grant_types,
            with_secret=True,
        )
        if connection_id is not None:
            await connections.enable_client(transaction, connection_id, client.client_id)
        if scopes is not None:
            await clients.grant(
                transaction, client.client_id, audience=tenant.management_audience, scopes=scopes
            )
    assert secret is not None
    return client, secret
