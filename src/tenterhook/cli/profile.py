"""The profile: how the command line finds a server and proves who it is.

A JSON file, mode 0600 because it holds a client secret:

    {"url": …, "tenant": …, "domain": …, "audience": …, "client_id": …, "client_secret": …, "ca_file": …}

``init`` writes it to ``profile.json`` in the data folder. It is found through ``--profile``, then
``TENTERHOOK_PROFILE``, then in the data folder. ``url`` is where requests go, which behind a proxy is not where
applications send theirs; ``domain`` is sent as Host and chooses the tenant.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tenterhook import settings
from tenterhook.cli.failures import CommandError

PROFILE_FILE_NAME = "profile.json"
PROFILE_VARIABLE = "TENTERHOOK_PROFILE"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One server, one tenant, one client."""

    url: str
    """Where requests go: scheme and authority, no slash at the end."""
    tenant: str
    """The tenant's name, for people and for ``init``."""
    domain: str
    """The tenant's domain, sent as Host."""
    audience: str
    """What access tokens are asked for."""
    client_id: str
    client_secret: SecretStr
    ca_file: Path | None = None
    """A certificate authority to trust besides the usual ones; ``start --tls`` makes one."""


def find_profile(profile_file: Path | None, data: Path | None) -> Profile:
    """Load the named profile, else the one in the data folder.

    Raises:
        CommandError: there is none, or it cannot be used.
    """
    if profile_file is not None:
        return load_profile(profile_file)
    folder = settings.load(data_dir=data).data_dir
    path = folder / PROFILE_FILE_NAME
    if not path.is_file():
        raise CommandError(
            f"There is no profile at {path}. Run `tenterhook init --data {folder}` on the server's machine, "
            f"or name one with --profile or {PROFILE_VARIABLE}."
        )
    return load_profile(path)


def load_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        CommandError: it is missing, not readable, or not a profile.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise CommandError(f"The profile {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CommandError(
            f"The profile {path} is not JSON. `tenterhook init --rotate` writes a new one."
        ) from error
    try:
        return _from_json(content, path.parent)
    except (KeyError, TypeError) as error:
        raise CommandError(
            f"The profile {path} lacks {error}. `tenterhook init --rotate` writes a new one."
        ) from error


def _from_json(content: Any, folder: Path) -> Profile:
    names = ("url", "tenant", "domain", "audience", "client_id", "client_secret")
    texts = {name: content[name] for name in names}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(name)
    ca_file = content.get("ca_file")
    return Profile(
        url=texts["url"].rstrip("/"),
        tenant=texts["tenant"],
        domain=texts["domain"],
        audience=texts["audience"],
        client_id=texts["client_id"],
        client_secret=SecretStr(texts["client_secret"]),
        ca_file=folder / ca_file if ca_file else None,
    )


def save_profile(profile: Profile, path: Path) -> None:
    """Write a profile, mode 0600 from its first byte, replacing the old one in one step."""
    content: dict[str, Any] = {
        "url": profile.url,
        "tenant": profile.tenant,
        "domain": profile.domain,
        "audience": profile.audience,
        "client_id": profile.client_id,
        "client_secret": profile.client_secret.get_secret_value(),
    }
    if profile.ca_file is not None:
        content["ca_file"] = os.path.relpath(profile.ca_file, path.parent)
    write_private(path, json.dumps(content, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; whoever reads it sees the old text or the new, nothing between."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
