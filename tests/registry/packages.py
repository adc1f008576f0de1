"""Which real modules the tests' registry has, and where their archives lie.

``packages.json`` is committed: the *roots* that tests ask for, and every package they bring, with its hash and no
address. The archives lie in ``.cache/registry/``, which git ignores and ``fetch.py`` fills.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from pathlib import Path

PACKAGES_FILE = Path(__file__).with_name("packages.json")
ARCHIVES = Path(__file__).parents[2] / ".cache" / "registry"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """One archive of the registry."""

    name: str
    version: str
    integrity: str
    """``sha512-`` and the hash in base64."""

    @property
    def archive(self) -> Path:
        """Return where the archive lies, fetched or not."""
        return ARCHIVES / f"{self.name.lstrip('@').replace('/', '__')}-{self.version}.tgz"

    def is_fetched(self) -> bool:
        """Say whether the archive is there and is what the list promises."""
        return self.archive.is_file() and integrity_of(self.archive.read_bytes()) == self.integrity


def integrity_of(data: bytes) -> str:
    """Return the hash of an archive as npm writes it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def roots() -> list[str]:
    """Return the modules that tests ask for, as ``name@version``."""
    return list(json.loads(PACKAGES_FILE.read_text())["roots"])


def packages() -> list[Package]:
    """Return every package of the registry."""
    return [Package(**entry) for entry in json.loads(PACKAGES_FILE.read_text())["packages"]]
