"""The values that travel between a saved hook, the database and the store.

    script + dependencies ──resolve──► Resolution ──install──► ModuleSet ──ensure──► InstalledSet
                            (network)  versions and lock       kept in the           a folder on
                                                               database              this machine

A *request* is what the author wrote, a *specifier* is the text inside ``require`` without a path behind the name:
``slack-notify``, ``slack-notify@2.0.7``, ``@sendgrid/mail``. Two specifiers may mean two versions of one module.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class Origin(enum.StrEnum):
    """Who chose a module's version."""

    DECLARED = "declared"
    """The hook's property ``dependencies``; a range or ``latest`` was resolved when the hook was saved."""
    VERSIONED = "versioned"
    """The script itself: ``require('name@1.2.3')``."""
    INFERRED = "inferred"
    """We did: ``require('name')`` without a declaration."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModule:
    """One specifier and the version it stands for."""

    specifier: str
    """As the script writes it, without a path behind: ``lodash``, ``lodash@4.17.21``."""
    name: str
    """The module's name in the registry."""
    version: str
    """The exact version."""
    origin: Origin
    """Who chose the version."""
    requested: str = ""
    """What was asked for: a version, range or tag; empty for a bare ``require``."""


def installed_names(modules: Iterable[ResolvedModule]) -> dict[str, str]:
    """Return for each specifier the name below ``node_modules``.

    One version of a module lies under the module's own name, so that others which want it as a peer find it: the
    one that a bare ``require`` means, else the first. Further versions get aliases in a scope of their own.
    """
    names: dict[str, str] = {}
    own_name_is: dict[str, str] = {}
    for module in sorted(modules, key=lambda module: (module.specifier != module.name, module.specifier)):
        if own_name_is.setdefault(module.name, module.version) == module.version:
            names[module.specifier] = module.name
        else:
            flat = module.name.lstrip("@").replace("/", "__")
            names[module.specifier] = f"@versioned/{flat}--{module.version.replace('+', '-')}"
    return names


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """What a hook's modules resolved to; nothing is installed yet."""

    modules: tuple[ResolvedModule, ...] = ()
    """Sorted by specifier."""
    lock: str = ""
    """npm's lock file with a hash for every module and no download address; empty when there are no modules."""
    notes: tuple[str, ...] = ()
    """What the author should know, as sentences: for instance that a younger version was passed over."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModuleSet:
    """The modules of one version of a hook, as the database keeps them; any worker can install it."""

    modules: tuple[ResolvedModule, ...] = ()
    """Sorted by specifier."""
    lock: str = ""
    """npm's lock file; empty when there are no modules."""

    @property
    def key(self) -> str:
        """Return the set's identity: equal sets, equal keys, on every machine (64 hexadecimal digits)."""
        requested = [[module.specifier, module.name, module.version] for module in self.modules]
        return hashlib.sha256(json.dumps([requested, self.lock]).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the set as JSON for the database."""
        return {"modules": [dataclasses.asdict(module) for module in self.modules], "lock": self.lock}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModuleSet:
        """Read what :meth:`to_json` wrote."""
        modules = (
            ResolvedModule(**{**module, "origin": Origin(module["origin"])}) for module in value["modules"]
        )
        return cls(modules=tuple(modules), lock=value["lock"])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class InstalledSet:
    """A module set on this machine's disk, read-only."""

    key: str
    """The :attr:`ModuleSet.key`."""
    directory: Path
    """The folder that holds ``node_modules``; what a jail mounts."""
    require_map: Mapping[str, Path]
    """Specifier to the module's folder inside ``directory``. To honour a module's ``exports``, load it by its name
    below ``node_modules`` with ``createRequire(directory + '/')``, not by this path."""
    require_names: Mapping[str, str]
    """Specifier to the name below ``node_modules``."""


class Stage(enum.StrEnum):
    """What an installation is doing."""

    RESOLVING = "resolving"
    """Asking the registry which versions there are."""
    WAITING = "waiting"
    """Somebody else installs the same set; we wait for them."""
    FETCHING = "fetching"
    """Downloading and unpacking; ``done`` of ``total`` modules are there."""
    SEALING = "sealing"
    """Measuring, taking write permission away, moving into the store."""
    DONE = "done"
    """The set can be used."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far an installation is; sent when the stage changes and while modules arrive."""

    stage: Stage
    """What is being done."""
    elapsed_seconds: float
    """Since the call began."""
    done: int = 0
    """Modules unpacked, with their own dependencies."""
    total: int = 0
    """Modules in the set, with their own dependencies; 0 while unknown."""

    def __str__(self) -> str:
        """Render as a line for a person."""
        count = f" {self.done}/{self.total}" if self.total else ""
        return f"{self.stage.value}{count} ({self.elapsed_seconds:.1f} s)"
