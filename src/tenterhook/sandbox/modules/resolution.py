"""From requests to exact versions to a lock file; nothing is downloaded but descriptions of modules.

1. Each module's description (versions, tags, publication times) is asked for with ``npm view``, four at a time.
2. Each request becomes one exact version:
   declared   a version as it is; a tag as the registry has it; a range as npm would choose: ``latest`` if it fits,
              else the newest that fits
   versioned  as it is
   inferred   ``latest`` if it is a release and at least ``minimum_age`` old; else the newest such release below
              ``latest``, else the newest such release; if there is none, an error that asks for a version
3. npm makes the lock file for these versions. If all of them have the minimum age, their own dependencies must have
   it too (``--before``), so that a release hijacked yesterday does not come in through the back door; if that
   cannot be satisfied, or an author chose a younger version, npm is not held to it, and a note says so.

A version that an earlier save of the same hook chose stays while its request stays, and so do the versions of its
dependencies: saving again changes nothing that was not asked for.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenterhook.sandbox.modules.dependencies import Wanted
from tenterhook.sandbox.modules.errors import (
    BrokenModuleError,
    MissingModuleError,
    MissingVersionError,
    YoungModuleError,
)
from tenterhook.sandbox.modules.module_set import ModuleSet, Origin, ResolvedModule, installed_names
from tenterhook.sandbox.modules.names import is_exact_version, is_prerelease, version_order
from tenterhook.sandbox.modules.npm import Npm, NpmFailure, translate

_AT_ONCE = 4
_NEWEST_SHOWN = 5


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What a registry says about a module."""

    name: str
    """The module."""
    versions: tuple[str, ...]
    """Every published version, oldest first as semver orders them."""
    tags: Mapping[str, str]
    """``latest`` and others to their versions."""
    published: Mapping[str, datetime]
    """Version to publication time; empty in registries that do not tell."""

    def newest(self) -> list[str]:
        """Return a few versions for an error message, newest first."""
        return list(reversed(self.versions[-_NEWEST_SHOWN:]))


async def describe(npm: Npm, name: str, *, folder: Path) -> Description:
    """Ask the registry about a module.

    Raises:
        MissingModuleError: there is none of that name.
        ModuleError: see :func:`translate`.
    """
    try:
        text = await npm.run("view", name, "name", "time", "dist-tags", "versions", folder=folder)
    except NpmFailure as failure:
        if failure.code == "E404":
            raise MissingModuleError(
                f"There is no module {name!r} in the npm registry, or it is not ours to see. Check the spelling in "
                "require() and in dependencies.",
                module=name,
            ) from failure
        raise translate(failure, f"asking about {name}") from failure
    try:
        return _read_description(name, json.loads(text))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise BrokenModuleError(
            f"The registry's description of {name} cannot be read.", module=name
        ) from error


def _read_description(name: str, value: Any) -> Description:
    versions = value.get("versions", [])
    if isinstance(versions, str):  # npm writes a list of one as its only element
        versions = [versions]
    published = {
        version: moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        for version, moment in (
            (version, datetime.fromisoformat(text))
            for version, text in (value.get("time") or {}).items()
            if version in versions
        )
    }
    return Description(
        name=name,
        versions=tuple(sorted((v for v in versions if is_exact_version(v)), key=version_order)),
        tags={str(tag): str(version) for tag, version in (value.get("dist-tags") or {}).items()},
        published=published,
    )


def choose_inferred(
    description: Description, *, oldest_allowed: datetime, minimum_age_days: int
) -> tuple[str, str | None]:
    """Return the version for a bare ``require`` and, where it is not the newest, a note that says why.

    Raises:
        YoungModuleError: every release is younger than allowed.
        MissingVersionError: there are only pre-releases.
    """
    name, latest = description.name, description.tags.get("latest", "")
    releases = [version for version in description.versions if not is_prerelease(version)]
    if not releases:
        raise MissingVersionError(
            f"{name} has only pre-releases. Name one, for instance require('{name}@{(description.newest() or ['1.0.0'])[0]}').",
            module=name,
            newest=description.newest(),
        )
    published = description.published
    old_enough = [
        version
        for version in releases
        if not published or published.get(version, oldest_allowed) <= oldest_allowed
    ]
    note = None if published else f"The registry does not tell how old {name} is; its age was not checked."
    if not old_enough:
        raise YoungModuleError(
            f"Every release of {name} is younger than {minimum_age_days} days. Modules so young are not taken without being "
            f"named, because a fresh one may be a trap. If you trust it, write require('{name}@{releases[-1]}') or "
            "declare it in dependencies.",
            module=name,
            newest=description.newest(),
        )
    preferred = latest if latest in releases else releases[-1]
    if preferred in old_enough:
        return preferred, note
    limit = version_order(preferred)
    below = [version for version in old_enough if version_order(version) <= limit]
    chosen = (below or old_enough)[-1]
    return chosen, (
        f"{name} {preferred} is younger than {minimum_age_days} days, so {chosen} was taken. Declare a version in "
        "dependencies to decide yourself."
    )


async def choose_requested(npm: Npm, description: Description, requested: str, *, folder: Path) -> str:
    """Return the exact version for a version, tag or range.

    Raises:
        MissingVersionError: nothing fits; names versions that exist.
    """
    name = description.name
    if requested in description.versions:
        return requested
    if requested in description.tags:
        return description.tags[requested]
    fitting: list[str] = []
    if not is_exact_version(requested):
        fitting = await _versions_in_range(npm, name, requested, folder=folder)
    if not fitting:
        raise MissingVersionError(
            f"{name} has no version {requested}. The newest are {', '.join(description.newest()) or 'none'}.",
            module=name,
            requested=requested,
            newest=description.newest(),
        )
    latest = description.tags.get("latest")
    return latest if latest in fitting else max(fitting, key=version_order)


async def _versions_in_range(npm: Npm, name: str, requested: str, *, folder: Path) -> list[str]:
    """Let npm judge the range; it knows every spelling of one."""
    try:
        text = await npm.run("view", f"{name}@{requested}", "version", folder=folder)
    except NpmFailure as failure:
        if failure.code in {"E404", "ETARGET"}:
            return []
        raise translate(failure, f"asking for {name} {requested}") from failure
    found = json.loads(text or "[]")
    return [str(version) for version in (found if isinstance(found, list) else [found])]


async def choose_versions(
    npm: Npm,
    wanted: Sequence[Wanted],
    *,
    previous: ModuleSet,
    oldest_allowed: datetime,
    minimum_age_days: int,
    folder: Path,
) -> tuple[tuple[ResolvedModule, ...], tuple[str, ...], bool]:
    """Return the exact versions, notes for the author, and whether all of them have the minimum age."""
    kept = {(one.specifier, one.origin, one.requested): one for one in previous.modules}
    room = asyncio.Semaphore(_AT_ONCE)
    asked: dict[str, asyncio.Task[Description]] = {}

    async def ask(name: str) -> Description:
        async with room:
            return await describe(npm, name, folder=folder)

    async def choose(one: Wanted) -> tuple[ResolvedModule, str | None, bool]:
        description = await asked[one.name]
        before = kept.get((one.specifier, one.origin, one.requested))
        note = None
        if before is not None and before.version in description.versions:
            version = before.version
        elif one.origin is Origin.INFERRED:
            version, note = choose_inferred(
                description, oldest_allowed=oldest_allowed, minimum_age_days=minimum_age_days
            )
        else:
            async with room:
                version = await choose_requested(npm, description, one.requested, folder=folder)
        resolved = ResolvedModule(
            specifier=one.specifier,
            name=one.name,
            version=version,
            origin=one.origin,
            requested=one.requested,
        )
        published = description.published.get(version)
        return resolved, note, published is not None and published <= oldest_allowed

    try:
        async with asyncio.TaskGroup() as tasks:
            for one in wanted:
                if one.name not in asked:
                    asked[one.name] = tasks.create_task(ask(one.name))
            chosen = [tasks.create_task(choose(one)) for one in wanted]
    except BaseExceptionGroup as group:
        # The first failure cancelled the others; it alone is the answer.
        raise group.exceptions[0] from group
    results = [task.result() for task in chosen]
    return (
        tuple(resolved for resolved, _note, _aged in results),
        tuple(note for _resolved, note, _aged in results if note),
        all(aged for _resolved, _note, aged in results),
    )


async def make_lock(
    npm: Npm,
    modules: Sequence[ResolvedModule],
    *,
    previous_lock: str,
    before: datetime | None,
    folder: Path,
) -> tuple[str, tuple[str, ...]]:
    """Return npm's lock file for exact versions, and notes; with ``before``, nothing published later if possible."""
    write_manifest(folder, modules)
    lock_path = folder / "package-lock.json"

    async def attempt(*options: str) -> str:
        lock_path.unlink(missing_ok=True)
        if previous_lock:
            lock_path.write_text(previous_lock)
        await npm.run("install", folder=folder, options=("--package-lock-only", *options))
        return lock_path.read_text()

    notes: tuple[str, ...] = ()
    names = ", ".join(f"{module.name} {module.version}" for module in modules)
    try:
        if before is None:
            lock = await attempt()
        else:
            try:
                lock = await attempt(f"--before={before.isoformat()}")
            except NpmFailure as failure:
                if failure.code not in {"ETARGET", "ENOVERSIONS"}:
                    raise
                lock = await attempt()
                notes = (
                    "A module that these depend on has no version old enough, so a younger one was taken.",
                )
    except NpmFailure as failure:
        raise translate(failure, f"choosing what {names} depend on") from failure
    check_lock(lock)
    return lock, notes


def write_manifest(folder: Path, modules: Sequence[ResolvedModule]) -> None:
    """Write the ``package.json`` of a set: what the lock file belongs to."""
    names = installed_names(modules)
    dependencies = {
        names[module.specifier]: (
            module.version
            if names[module.specifier] == module.name
            else f"npm:{module.name}@{module.version}"
        )
        for module in modules
    }
    manifest = {"name": "modules", "version": "0.0.0", "private": True, "dependencies": dependencies}
    (folder / "package.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def check_lock(lock: str) -> None:
    """Refuse a lock file by which a module could come unverified.

    Raises:
        BrokenModuleError: a module has no hash, or is something else than a module of the registry.
    """
    for path, entry in json.loads(lock)["packages"].items():
        if path and (entry.get("link") or entry.get("resolved") or not entry.get("integrity")):
            if entry.get("inBundle"):
                continue  # comes inside another module's verified archive
            raise BrokenModuleError(
                f"{path.removeprefix('node_modules/')} cannot be verified: the registry has no hash for it.",
                module=path,
            )


def locked_paths(lock: str) -> list[str]:
    """Return the folders that a lock file fills, below the set's own."""
    return [path for path in json.loads(lock)["packages"] if path] if lock else []
