"""``init``: the application makes what is missing; here it is checked, shown and kept in a profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tenterhook.application import initialize
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
    settings: Settings,
    *,
    tenant_name: str | None,
    public_url: str | None,
    rotate: bool,
    server_url: str | None = None,
    ca_file: Path | None = None,
) -> Initialized:
    """Create what is missing and write the profile.

    ``server_url`` is where the command line reaches the server, if it is known already; it is also the public URL
    where none is given and none exists.
    """
    reached_at = server_url or expected_server_url(settings)
    done = await initialize(
        settings,
        tenant_name=tenant_name,
        public_url=check_public_url(public_url) if public_url is not None else None,
        default_public_url=reached_at,
        rotate=rotate,
    )
    path = settings.data_dir / PROFILE_FILE_NAME
    secret = done.management_client_secret
    if secret is None and path.is_file():
        known = load_profile(path)
        secret = known.client_secret if known.client_id == done.management_client_id else None
    if secret is not None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        profile = Profile(
            url=reached_at,
            domain=done.domain,
            audience=f"{done.public_url}/api/v2/",
            client_id=done.management_client_id,
            client_secret=secret,
            ca_file=ca_file,
        )
        save_profile(profile, path)
    return Initialized(
        tenant=done.tenant,
        domain=done.domain,
        public_url=done.public_url,
        connection=done.connection,
        application_client_id=done.application_client_id,
        management_client_id=done.management_client_id,
        management_client_secret=done.management_client_secret,
        profile_file=path if secret is not None else None,
    )


def expected_server_url(settings: Settings) -> str:
    """Return where a server with these settings will be reached from this machine."""
    host = "127.0.0.1" if settings.host in _WILDCARDS else settings.host
    authority = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_cert else 'http'}://{authority}:{settings.port}"
