"""Provisioning: what a tenant needs before the first person can sign up.

A connection, a demo application that may use it, and a machine-to-machine client with every management scope. Doing it
again changes nothing but what was asked for, so ``init`` and ``start`` may be called any number of times.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import SecretStr

from tenterhook.database import Reader, Transaction
from tenterhook.directory import Client, Tenant, UnknownTenantError, clients, connections, tenants
from tenterhook.ids import TenantId

DEMO_APPLICATION = "Demo application"
MANAGEMENT_APPLICATION = "Management"


@dataclass(frozen=True, kw_only=True)
class ProvisionedTenant:
    """What there is now."""

    tenant: str
    domain: str
    public_url: str
    connection: str
    application_client_id: str
    management_client_id: str
    management_client_secret: SecretStr | None
    """Only when it was made now: the database keeps a digest."""


async def provision(
    transaction: Transaction,
    *,
    name: str,
    public_url: str | None,
    default_public_url: str,
    scopes: Collection[str],
    rotate: bool,
) -> ProvisionedTenant:
    """Create what is missing of the tenant ``name``.

    ``public_url`` changes the address of a tenant that exists; ``default_public_url`` is for one that does not.
    ``rotate`` gives the management client a new secret.
    """
    tenant = await _tenant(transaction, name, public_url, default_public_url)
    existing = {each.name: each for each in await connections.list_of_tenant(transaction, tenant.id)}
    connection = existing.get(connections.DEFAULT_NAME) or await connections.create(
        transaction, tenant_id=tenant.id, name=connections.DEFAULT_NAME
    )
    application = await _client_of_name(transaction, tenant.id, DEMO_APPLICATION)
    if application is None:
        application, _ = await clients.create(
            transaction, tenant_id=tenant.id, name=DEMO_APPLICATION, app_type="spa", with_secret=False
        )
    await connections.enable_client(transaction, connection.id, application.client_id)
    management, secret = await _management_client(transaction, tenant, scopes, rotate=rotate)
    return ProvisionedTenant(
        tenant=tenant.name,
        domain=tenant.domain,
        public_url=tenant.public_url,
        connection=connection.name,
        application_client_id=application.client_id,
        management_client_id=management.client_id,
        management_client_secret=secret,
    )


async def _tenant(
    transaction: Transaction, name: str, public_url: str | None, default_public_url: str
) -> Tenant:
    url = tenants.normalize_url(public_url or default_public_url)
    domain = tenants.authority_of(url)
    try:
        tenant = await tenants.get_by_name(transaction, name)
    except UnknownTenantError:
        return await tenants.create(transaction, name=name, domain=domain, public_url=url)
    if public_url is not None and tenant.public_url != url:
        return await tenants.set_address(transaction, tenant, domain=domain, public_url=url)
    return tenant


async def _management_client(
    transaction: Transaction, tenant: Tenant, scopes: Collection[str], *, rotate: bool
) -> tuple[Client, SecretStr | None]:
    found = await _client_of_name(transaction, tenant.id, MANAGEMENT_APPLICATION)
    secret: SecretStr | None = None
    if found is None:
        found, secret = await clients.create(
            transaction,
            tenant_id=tenant.id,
            name=MANAGEMENT_APPLICATION,
            app_type="non_interactive",
            grant_types=("client_credentials",),
            with_secret=True,
        )
    elif rotate:
        secret = await clients.rotate_secret(transaction, tenant.id, found.client_id)
    # Again each time: a release may bring new scopes, and the audience follows the public URL.
    await clients.grant(transaction, found.client_id, audience=tenant.management_audience, scopes=scopes)
    return found, secret


async def _client_of_name(reader: Reader, tenant_id: TenantId, name: str) -> Client | None:
    return next((each for each in await clients.list_of_tenant(reader, tenant_id) if each.name == name), None)
