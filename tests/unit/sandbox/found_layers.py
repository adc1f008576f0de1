"""What probing could find, for tests of those who show it."""

from __future__ import annotations

from collections.abc import Collection

from tenterhook.sandbox.jail.probing import Layer, Probe

NAMES = ("cgroup", "namespaces", "landlock", "seccomp")


def found(*, tier: int, without: Collection[str] = ()) -> Probe:
    """Return what was found where some layers do not hold."""
    return Probe(
        tier=tier,
        layers=tuple(
            Layer(
                name=name,
                available=name not in without,
                detail="found by trying",
                lost=f"what {name} gives",
            )
            for name in NAMES
        ),
    )
