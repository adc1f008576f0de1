"""``init``: the application makes what is missing; here it is checked, shown and kept in a profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tenterhook.application import DEFAULT_TENANT, ProvisionedTenant, initialize
from tenterhook.cli.profile import PROFILE_FILE_NAME, Profile, load_profile, save_profile
from tenterhook.cli.public_url import check_public_url
from tenterhook.settings import Settings

_WILDCARDS = {"", "0.0.0.0", "::"}  # noqa: S104 - recognised here, not bound


@dataclass(frozen=True, kw_only=True)
class Initialized:
    """What ``init`` prints."""

    tenant: str
    domain: str
    public_url: str
    connection: str
    application_client_id: str
    management_client_id: str
    management_client_secret: SecretStr | None
    """None when it was made earlier: nobody knows it any more but the profile."""
    profile_file: Path | None
    """None when there is none, because the secret is not known."""

    @classmethod
    def of(cls, provisioned: ProvisionedTenant, *, profile_file: Path | None = None) -> Initialized:
        """Take what the application made."""
        return cls(
            tenant=provisioned.tenant,
            domain=provisioned.domain,
            public_url=provisioned.public_url,
            connection=provisioned.connection,
            application_client_id=provisioned.application_client_id,
            management_client_id=provisioned.management_client_id,
            management_client_secret=provisioned.management_client_secret,
            profile_file=profile_file,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        secret = self.management_client_secret
        return {
            "tenant": self.tenant,
            "domain": self.domain,
            "public_url": self.public_url,
            "connection": self.connection,
            "application": {"client_id": self.application_client_id},
            "management": {
                "client_id": self.management_client_id,
                "client_secret": secret.get_secret_value() if secret else None,
            },
        }

    def to_lines(self) -> list[tuple[str, str]]:
        """Return it for people."""
        secret = self.management_client_secret
        return [
            ("Tenant", self.tenant),
            ("Domain", self.domain),
            ("Public URL", self.public_url),
            ("Issuer", f"{self.public_url}/"),
            ("Audience", f"{self.public_url}/api/v2/"),
            ("Connection", self.connection),
            ("Application", self.application_client_id),
            ("Management client", self.management_client_id),
            ("Management secret", secret.get_secret_value() if secret else "(shown when it was made)"),
            ("Profile", str(self.profile_file or "none")),
        ]


async def initialize_data(
    settings: Settings, *, tenant_name: str | None, public_url: str | None, rotate: bool
) -> Initialized:
    """Create what is missing and write the profile.

    Without a name the tenant is the profile's: what was initialized before is meant, not a second tenant.
    """
    path = settings.data_dir / PROFILE_FILE_NAME
    known = load_profile(path) if path.is_file() else None
    done = await initialize(
        settings,
        tenant_name=tenant_name or (known.tenant if known else DEFAULT_TENANT),
        public_url=check_public_url(public_url) if public_url is not None else None,
        rotate=rotate,
    )
    secret = done.management_client_secret
    if secret is None and known is not None and known.client_id == done.management_client_id:
        secret = known.client_secret
    if secret is not None:
        profile = Profile(
            # A server that runs already has recorded its own address.
            url=known.url if known else expected_server_url(settings),
            tenant=done.tenant,
            domain=done.domain,
            audience=f"{done.public_url}/api/v2/",
            client_id=done.management_client_id,
            client_secret=secret,
            ca_file=known.ca_file if known else None,
        )
        save_profile(profile, path)
    return Initialized.of(done, profile_file=path if secret is not None else None)


def expected_server_url(settings: Settings) -> str:
    """Return where a server with these settings will be reached from this machine."""
    host = "127.0.0.1" if settings.host in _WILDCARDS else settings.host
    authority = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_cert else 'http'}://{authority}:{settings.port}"
