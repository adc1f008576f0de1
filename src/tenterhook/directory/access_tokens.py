"""Access tokens: RS256 JWTs, signed by a tenant's own key, naming its issuer.

Keys are kept in memory for ``CACHE_SECONDS`` per tenant; a token that names a key we do not have makes us look again,
at most once a second, so that tokens signed by a process that has just rotated are known at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from tenterhook.clock import Clock
from tenterhook.database import Database, Vault
from tenterhook.directory import signing_keys
from tenterhook.directory.errors import InvalidTokenError
from tenterhook.directory.signing_keys import SigningKey
from tenterhook.directory.tenants import Tenant
from tenterhook.ids import ClientId, TenantId

ALGORITHM = "RS256"
CACHE_SECONDS = 60.0
_LEAST_SECONDS_BETWEEN_READS = 1.0
_LEEWAY_SECONDS = 5
_LONGEST_TOKEN = 16_384
CLIENT_SUBJECT_SUFFIX = "@clients"


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """What a verified token says."""

    client_id: ClientId
    subject: str
    """``CLIENT@clients`` for a client's own token."""
    audience: frozenset[str]
    scopes: frozenset[str]
    expires_at: datetime


class _KeyRing:
    """A tenant's keys, opened when first used."""

    def __init__(self, keys: list[SigningKey], vault: Vault, read_at: float) -> None:
        self.keys = keys
        self.read_at = read_at
        self.public = {key.kid: RSAKey.import_key(dict(key.public_jwk)) for key in keys}
        self._vault = vault
        self._private: RSAKey | None = None

    def signer(self) -> tuple[str, RSAKey]:
        if self._private is None:
            self._private = signing_keys.open_private(self._vault, self.keys[0])
        return self.keys[0].kid, self._private


class AccessTokens:
    """Mints and verifies tokens; makes a tenant's first key when it is first needed."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        """Start without keys in memory."""
        self._database = database
        self._vault = vault
        self._clock = clock
        self._rings: dict[TenantId, _KeyRing] = {}

    async def mint(
        self,
        tenant: Tenant,
        *,
        client_id: ClientId,
        audience: str,
        scopes: Iterable[str],
        lifetime_seconds: int,
        grant: str = "client-credentials",
    ) -> str:
        """Return a token for the client itself."""
        ring = await self._ring(tenant.id, CACHE_SECONDS)
        kid, key = ring.signer()
        now = int(self._clock.now().timestamp())
        claims: dict[str, Any] = {
            "iss": tenant.issuer,
            "sub": client_id + CLIENT_SUBJECT_SUFFIX,
            "aud": audience,
            "iat": now,
            "exp": now + lifetime_seconds,
            "azp": client_id,
            "gty": grant,
            "jti": secrets.token_urlsafe(16),
            "scope": " ".join(sorted(scopes)),
        }
        return jwt.encode({"alg": ALGORITHM, "kid": kid}, claims, key, [ALGORITHM])

    async def verify(self, tenant: Tenant, text: str) -> AccessToken:
        """Return what a token of this tenant says.

        Raises:
            InvalidTokenError: not a token, another algorithm, key, issuer or tenant, or expired.
        """
        if len(text) > _LONGEST_TOKEN or not text.isascii():
            raise InvalidTokenError
        try:
            kid = jws.extract_compact(text.encode()).headers().get("kid")
            if not isinstance(kid, str):
                raise InvalidTokenError
            key = await self._public_key(tenant.id, kid)
            claims = jwt.decode(text, key, [ALGORITHM]).claims
        except (JoseError, ValueError) as error:
            raise InvalidTokenError from error
        return self._read(tenant, claims)

    async def key_set(self, tenant: Tenant) -> dict[str, Any]:
        """Return the tenant's public keys as a JWK set."""
        ring = await self._ring(tenant.id, CACHE_SECONDS)
        return {"keys": [dict(key.public_jwk) for key in ring.keys]}

    async def rotate(self, tenant: Tenant) -> str:
        """Give the tenant a new key to sign with and return its id; other processes follow within a minute."""
        key = await signing_keys.create(self._vault)
        async with self._database.transaction() as transaction:
            await signing_keys.rotate(transaction, tenant.id, key)
        self._rings.pop(tenant.id, None)
        return key.kid

    async def _public_key(self, tenant_id: TenantId, kid: str) -> RSAKey:
        ring = await self._ring(tenant_id, CACHE_SECONDS)
        if kid not in ring.public:
            ring = await self._ring(tenant_id, _LEAST_SECONDS_BETWEEN_READS)
        try:
            return ring.public[kid]
        except KeyError:
            raise InvalidTokenError from None

    def _read(self, tenant: Tenant, claims: dict[str, Any]) -> AccessToken:
        now = self._clock.now().timestamp()
        expires, issued, audience = claims.get("exp"), claims.get("iat"), claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != tenant.issuer or not isinstance(expires, int) or not isinstance(issued, int):
            raise InvalidTokenError
        if expires + _LEEWAY_SECONDS < now:
            raise InvalidTokenError("Expired token received for JSON Web Token validation")
        if issued - _LEEWAY_SECONDS > now:
            raise InvalidTokenError
        return AccessToken(
            client_id=ClientId(str(claims.get("azp"))),
            subject=str(claims.get("sub")),
            audience=frozenset(str(item) for item in audiences),
            scopes=frozenset(str(claims.get("scope") or "").split()),
            expires_at=datetime.fromtimestamp(expires, UTC),
        )

    async def _ring(self, tenant_id: TenantId, oldest_seconds: float) -> _KeyRing:
        now = self._clock.monotonic_seconds()
        ring = self._rings.get(tenant_id)
        if ring is not None and now - ring.read_at <= oldest_seconds:
            return ring
        async with self._database.reader() as reader:
            keys = await signing_keys.list_of_tenant(reader, tenant_id)
        if not keys or not keys[0].current:
            first = await signing_keys.create(self._vault)
            async with self._database.transaction() as transaction:
                await signing_keys.add_first(transaction, tenant_id, first)
                keys = await signing_keys.list_of_tenant(transaction, tenant_id)
        ring = _KeyRing(keys, self._vault, now)
        self._rings[tenant_id] = ring
        return ring
