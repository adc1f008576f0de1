"""Tenants: who a request belongs to, and under which address a tenant is known.

A tenant's ``domain`` is the Host authority that its requests carry (port included, unless it is the scheme's own);
``public_url`` is where its clients see it, without a trailing slash. Issuer and audience are made of the latter, so a
proxy that speaks https in front of us changes neither.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

import asyncpg
from sqlalchemy import Row, select, update

from tenterhook.clock import Clock
from tenterhook.database import Database, Reader, Transaction
from tenterhook.directory.errors import TenantExistsError, UnknownTenantError
from tenterhook.directory.tables import client_grants, clients, tenants
from tenterhook.errors import InvalidInputError
from tenterhook.ids import TenantId, new_tenant_id

CACHE_SECONDS = 1.0
"""How long a process may be unaware of a tenant that another one made or changed."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """One customer's world: connections, users, clients, hooks."""

    id: TenantId
    name: str
    """Shown to hooks as ``user.tenant``."""
    domain: str
    """Host authority, lower case."""
    public_url: str
    """``scheme://authority``, without a trailing slash."""

    @property
    def issuer(self) -> str:
        """Return the issuer of the tenant's tokens."""
        return self.public_url + "/"

    @property
    def management_audience(self) -> str:
        """Return the audience that the management API asks for."""
        return self.public_url + "/api/v2/"


async def create(
    transaction: Transaction, *, name: str, domain: str, public_url: str | None = None
) -> Tenant:
    """Create a tenant.

    Raises:
        TenantExistsError: name or domain is taken.
        InvalidInputError: name, domain or URL cannot be used.
    """
    domain = domain.strip().lower()
    if not name or name != name.strip() or not name.isprintable():
        raise InvalidInputError("A tenant's name is printable text without blanks at its ends.")
    if not domain or any(character in domain for character in "/@?# \t"):
        raise InvalidInputError(f"{domain!r} is not a HOST or HOST:PORT.")
    tenant = Tenant(
        id=new_tenant_id(),
        name=name,
        domain=domain,
        public_url=normalize_url(public_url or f"https://{domain}"),
    )
    try:
        await transaction.raw.execute(
            "INSERT INTO tenants (id, name, domain, public_url) VALUES ($1, $2, $3, $4)",
            tenant.id,
            tenant.name,
            tenant.domain,
            tenant.public_url,
        )
    except asyncpg.UniqueViolationError:
        raise TenantExistsError from None
    return tenant


async def set_address(transaction: Transaction, tenant: Tenant, *, domain: str, public_url: str) -> Tenant:
    """Give the tenant another domain and public URL; tokens issued under the old one are no longer valid.

    Clients keep what they were granted: their grants move to the new audience.
    """
    changed = Tenant(
        id=tenant.id, name=tenant.name, domain=domain.lower(), public_url=normalize_url(public_url)
    )
    await transaction.execute(
        update(tenants)
        .where(tenants.c.id == tenant.id)
        .values(domain=changed.domain, public_url=changed.public_url)
    )
    own_clients = select(clients.c.client_id).where(clients.c.tenant_id == tenant.id)
    await transaction.execute(
        update(client_grants)
        .where(
            client_grants.c.audience == tenant.management_audience, client_grants.c.client_id.in_(own_clients)
        )
        .values(audience=changed.management_audience)
    )
    return changed


async def get_by_name(reader: Reader, name: str) -> Tenant:
    """Return the tenant of this name, or raise ``UnknownTenantError``."""
    row = await reader.one_or_none(select(tenants).where(tenants.c.name == name))
    if row is None:
        raise UnknownTenantError(f"There is no tenant {name!r}.")
    return _tenant(row)


async def get(reader: Reader, tenant_id: TenantId) -> Tenant:
    """Return the tenant of this id, or raise ``UnknownTenantError``."""
    row = await reader.one_or_none(select(tenants).where(tenants.c.id == tenant_id))
    if row is None:
        raise UnknownTenantError
    return _tenant(row)


async def list_all(reader: Reader) -> list[Tenant]:
    """Return every tenant, the oldest first."""
    return [
        _tenant(row) for row in await reader.all(select(tenants).order_by(tenants.c.created_at, tenants.c.id))
    ]


async def find_by_authority(reader: Reader, authority: str) -> Tenant:
    """Return the tenant that a request with this Host belongs to.

    An unknown Host is the only tenant's, as long as there is only one.

    Raises:
        UnknownTenantError: several tenants, and none has this domain.
    """
    return choose(await list_all(reader), authority)


def choose(candidates: list[Tenant], authority: str) -> Tenant:
    """Pick the tenant by its domain, or the only one; see ``find_by_authority``."""
    authority = authority.lower()
    for tenant in candidates:
        if tenant.domain == authority:
            return tenant
    if len(candidates) == 1:
        return candidates[0]
    raise UnknownTenantError


class Tenants:
    """The same questions for the paths of requests and runs, answered from memory for up to ``CACHE_SECONDS``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Start empty."""
        self._database = database
        self._clock = clock
        self._known: list[Tenant] = []
        self._read_at = float("-inf")

    async def find_by_authority(self, authority: str) -> Tenant:
        """Return the tenant of a request, or raise ``UnknownTenantError``."""
        return choose(await self._tenants(), authority)

    async def get(self, tenant_id: TenantId) -> Tenant:
        """Return the tenant of this id, or raise ``UnknownTenantError``; one that is new is found at once."""
        for tenant in await self._tenants():
            if tenant.id == tenant_id:
                return tenant
        async with self._database.reader() as reader:
            return await get(reader, tenant_id)

    async def _tenants(self) -> list[Tenant]:
        now = self._clock.monotonic_seconds()
        if now - self._read_at > CACHE_SECONDS:
            async with self._database.reader() as reader:
                self._known = await list_all(reader)
            self._read_at = now
        return self._known


def normalize_url(url: str) -> str:
    """Return ``scheme://authority`` without a trailing slash, or raise ``InvalidInputError``.

    A port that the scheme implies anyway is dropped, as clients drop it from the Host they send.
    """
    try:
        parts = urllib.parse.urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise InvalidInputError(f"{url!r} is not a URL.") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        raise InvalidInputError(f"{url!r} is not a URL such as https://auth.example.com:8443.")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise InvalidInputError(f"The public URL {url!r} must not have a path.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")


def authority_of(url: str) -> str:
    """Return the Host authority that clients of a normalized URL send."""
    return urllib.parse.urlsplit(url).netloc


def _tenant(row: Row[tuple[object, ...]]) -> Tenant:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name for a row by column
    return Tenant(
        id=TenantId(values["id"]),
        name=values["name"],
        domain=values["domain"],
        public_url=values["public_url"],
    )
