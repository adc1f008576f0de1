"""What probing could find, for tests of those who show it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

NAMES = ("cgroup", "namespaces", "landlock", "seccomp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundLayer:
    name: str
    available: bool
    detail: str
    lost: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    tier: int
    layers: tuple[FoundLayer, ...]


def found(*, tier: int, without: Collection[str] = ()) -> Found:
    """Return what was found where some layers do not hold."""
    return Found(
        tier=tier,
        layers=tuple(
            FoundLayer(
                name=name,
                available=name not in without,
                detail="found by trying",
                lost=f"what {name} gives",
            )
            for name in NAMES
        ),
    )
