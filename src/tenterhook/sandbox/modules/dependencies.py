"""What a hook wants: its property ``dependencies`` and its script's ``require`` put together, before any registry.

The declaration decides what a bare ``require('name')`` means. ``require('name@1.2.3')`` stands beside it, so one hook
may use two versions of one module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tenterhook.sandbox.modules.errors import InvalidDependencyError, UnusableRequireError
from tenterhook.sandbox.modules.module_set import ModuleSet, Origin
from tenterhook.sandbox.modules.names import is_module_name, is_version_request
from tenterhook.sandbox.modules.requires import RequiredModules

MAX_MODULES = 50
"""Modules that one hook may name, their own dependencies not counted."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One specifier and what is asked for it."""

    specifier: str
    """``lodash`` or ``lodash@4.17.21``."""
    name: str
    """The module."""
    origin: Origin
    """Who asks."""
    requested: str
    """Version, range or tag; empty for a bare ``require`` that nobody declared."""


def check_dependencies(declared: Mapping[str, str]) -> None:
    """Refuse a ``dependencies`` property that no registry could answer.

    Raises:
        InvalidDependencyError: naming the property, what is wrong and what is expected.
    """
    for name, version in declared.items():
        if not is_module_name(name):
            raise InvalidDependencyError(
                f"dependencies: {name!r} is not the name of an npm module.", property=name
            )
        if not is_version_request(version):
            raise InvalidDependencyError(
                f"dependencies.{name}: {version!r} is not a version such as 1.2.3, a range such as ^1.2.0, or a tag "
                "such as latest. Addresses, paths and aliases are not allowed.",
                property=name,
            )


def wanted_modules(required: RequiredModules, declared: Mapping[str, str]) -> tuple[Wanted, ...]:
    """Return every specifier once, sorted.

    Raises:
        InvalidDependencyError: see :func:`check_dependencies`.
        UnusableRequireError: the script requires a file, or a range; or it names too many modules.
    """
    check_dependencies(declared)
    if required.problems:
        first = required.problems[0]
        raise UnusableRequireError(
            f"Line {first.line}, column {first.column}: require({first.text!r}): {first.reason}",
            line=first.line,
            column=first.column,
        )
    wanted = {
        name: Wanted(specifier=name, name=name, origin=Origin.DECLARED, requested=version.strip() or "*")
        for name, version in declared.items()
    }
    for module in required.modules:
        origin = Origin.INFERRED if module.version is None else Origin.VERSIONED
        wanted.setdefault(
            module.specifier,
            Wanted(
                specifier=module.specifier, name=module.name, origin=origin, requested=module.version or ""
            ),
        )
    if len(wanted) > MAX_MODULES:
        raise UnusableRequireError(f"The hook names {len(wanted)} modules; {MAX_MODULES} is the most.")
    return tuple(wanted[specifier] for specifier in sorted(wanted))


def asks_the_same(wanted: tuple[Wanted, ...], module_set: ModuleSet) -> bool:
    """Say whether a set was made for exactly these requests."""
    return [(one.specifier, one.origin, one.requested) for one in wanted] == [
        (one.specifier, one.origin, one.requested) for one in module_set.modules
    ]
