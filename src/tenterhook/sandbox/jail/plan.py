"""What a jail is made of, as values that cross from the host to the supervisor and the zygote as JSON.

``Ground`` is the same for all processes of a pool and is sent once; a ``Plan`` is one process. Neither holds a secret.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Self

from tenterhook.sandbox.jail.protections import NONE_REMOVED, Protection

TREE_NODE = "/node/bin/node"
TREE_RUNTIME = "/runtime"
TREE_MODULES = "/modules"
TREE_SCRATCH = "/tmp"  # noqa: S108 - inside the jail, where it is a private tmpfs
TREE_CA_FILE = "/etc/extra-ca.pem"


class Mode(enum.StrEnum):
    """How much of the jail this host can build; see ``docs/explanation/sandbox.md`` for the tiers."""

    NAMESPACES = "namespaces"
    """Everything: tiers 1 and 2."""
    GATE = "gate"
    """Seccomp and Landlock in the host's own namespaces: tier 3."""
    NONE = "none"
    """Limits only, and only because the operator set an unsafe setting: tier 0."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ground:
    """What all jails of a pool stand on."""

    mode: Mode
    own_uids: bool
    """The host is root: each process gets a uid of its own instead of a user namespace."""
    node: str
    libraries: tuple[str, ...]
    """Files that Node needs besides itself, at the same path inside; the ELF interpreter is among them."""
    runtime_dir: str
    module_dirs: tuple[str, ...]
    """Folders that hold module sets, one folder each."""
    ca_file: str | None
    cgroups: bool
    """Whether each process gets a cgroup."""
    removed: frozenset[Protection] = NONE_REMOVED

    def to_json(self) -> dict[str, Any]:
        """Return it for the wire."""
        return {**dataclasses.asdict(self), "removed": sorted(self.removed)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(
            **{
                **value,
                "mode": Mode(value["mode"]),
                "libraries": tuple(value["libraries"]),
                "module_dirs": tuple(value["module_dirs"]),
                "removed": frozenset(Protection(each) for each in value["removed"]),
            }
        )

    def holds(self, protection: Protection) -> bool:
        """Whether a protection is in force."""
        return protection not in self.removed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One process to start."""

    argv: tuple[str, ...]
    """As seen inside."""
    environment: Mapping[str, str]
    uid: int | None
    """None: inside a user namespace, or the host's own."""
    modules: tuple[str, ...]
    """Host paths of module sets that are readable from the start; all there ever are where nothing can be mounted."""
    memory_bytes: int
    """What the tenant may use; what Node needs for itself comes on top."""
    threads: int
    open_files: int
    scratch_bytes: int
    cpu_percent: int
    """Of one core; needs a cgroup."""

    def to_json(self) -> dict[str, Any]:
        """Return it for the wire."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(**{**value, "argv": tuple(value["argv"]), "modules": tuple(value["modules"])})
