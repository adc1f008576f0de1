"""Module sets: which npm modules a version of a hook runs with, decided once, when it is saved.

    save ─► prepare: resolve, install (network, no transaction) ─► store with the version
                 └─ cannot be had ─► refused, or stored with the reason

Refused (``InvalidHookError``) is what the property ``dependencies`` asks for and the registry does not have: the
author has named it and can mend it. Everything else is stored with its reason, as the original stores any script:
a ``require`` of a module that does not exist, a registry that cannot be reached, modules that are too large. Such a
version's runs fail as "could not start" with that reason. Where the reason may pass by itself, the next run tries
again (``HookInvoker``); all others need a new save.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from tenterhook.database import Reader, Transaction
from tenterhook.hooks.errors import InvalidHookError
from tenterhook.hooks.tables import hook_versions, module_sets
from tenterhook.ids import HookId
from tenterhook.sandbox.modules import (
    InvalidDependencyError,
    MissingModuleError,
    MissingVersionError,
    ModuleError,
    ModuleSet,
    ModuleStore,
    ModuleTimeoutError,
    NpmFailedError,
    Origin,
    RegistryUnreachableError,
    ResolvedModule,
)

_PASSING = (RegistryUnreachableError, ModuleTimeoutError, NpmFailedError)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModuleFailure:
    """Why a version's modules could not be had."""

    code: str
    """The error's code, such as ``module_not_found``."""
    message: str
    """A sentence for the author."""
    passing: bool
    """Trying the same again later makes sense."""

    @classmethod
    def of(cls, error: ModuleError) -> ModuleFailure:
        """Keep what an author needs of an error."""
        return cls(code=error.code, message=error.message, passing=isinstance(error, _PASSING))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PreparedModules:
    """What became of a script's modules: a set that is installed, or the reason why there is none."""

    module_set: ModuleSet = dataclasses.field(default_factory=ModuleSet)
    notes: tuple[str, ...] = ()
    """Sentences for the author, for instance that a younger version was passed over."""
    failure: ModuleFailure | None = None


async def prepare(
    store: ModuleStore, *, script: str, dependencies: Mapping[str, str], previous: ModuleSet | None = None
) -> PreparedModules:
    """Resolve and install what a script needs; takes as long as npm does, so no transaction may be open.

    ``previous`` is the set of the version before: what it already answers is not asked again.

    Raises:
        InvalidHookError: ``dependencies`` names what is no module, or what the registry does not have.
    """
    try:
        resolution = await store.resolve(script, dependencies, previous=previous)
        module_set = await store.install(resolution)
    except InvalidDependencyError as error:
        raise InvalidHookError(error.message, property_name="dependencies") from error
    except (MissingModuleError, MissingVersionError) as error:
        if _is_declared(error, dependencies):
            raise InvalidHookError(error.message, property_name="dependencies") from error
        return PreparedModules(failure=ModuleFailure.of(error))
    except ModuleError as error:
        return PreparedModules(failure=ModuleFailure.of(error))
    return PreparedModules(module_set=module_set, notes=resolution.notes)


def _is_declared(error: ModuleError, dependencies: Mapping[str, str]) -> bool:
    """Say whether the property asked for it, not ``require('name@1.2.3')`` beside a declaration of ``name``."""
    declared = dependencies.get(str(error.details.get("module")))
    asked = error.details.get("requested")
    return declared is not None and (asked is None or asked == (declared.strip() or "*"))


async def of_version(reader: Reader, hook_id: HookId, version: int) -> ModuleSet:
    """Return the set that a version of a hook runs with; the empty one where it needs or has none."""
    row = await reader.one_or_none(
        select(hook_versions.c.modules, module_sets.c.lock)
        .select_from(hook_versions.outerjoin(module_sets))
        .where(hook_versions.c.hook_id == hook_id, hook_versions.c.version == version)
    )
    return (
        ModuleSet() if row is None else ModuleSet(modules=modules_from_json(row.modules), lock=row.lock or "")
    )


async def store_set(transaction: Transaction, module_set: ModuleSet) -> str | None:
    """Store a set unless it is there, and return its key; None for the empty set."""
    if not module_set.modules:
        return None
    key = module_set.key
    await transaction.execute(
        insert(module_sets).values(key=key, lock=module_set.lock).on_conflict_do_nothing()
    )
    return key


async def heal(transaction: Transaction, *, hook_id: HookId, version: int, prepared: PreparedModules) -> None:
    """Give a version the modules that could not be had when it was saved."""
    await transaction.execute(
        update(hook_versions)
        .where(hook_versions.c.hook_id == hook_id, hook_versions.c.version == version)
        .values(**await version_columns(transaction, prepared))
    )


async def version_columns(transaction: Transaction, prepared: PreparedModules) -> dict[str, Any]:
    """Return the columns of ``hook_versions`` that speak of modules; the set itself is stored on the way."""
    return {
        "modules": [dataclasses.asdict(module) for module in prepared.module_set.modules],
        "module_notes": list(prepared.notes),
        "module_set_key": await store_set(transaction, prepared.module_set),
        "module_error": None if prepared.failure is None else dataclasses.asdict(prepared.failure),
    }


def modules_from_json(value: Sequence[Mapping[str, Any]]) -> tuple[ResolvedModule, ...]:
    """Read the column ``modules``."""
    return tuple(ResolvedModule(**{**module, "origin": Origin(module["origin"])}) for module in value)


def failure_from_json(value: Mapping[str, Any] | str | None) -> ModuleFailure | None:
    """Read the column ``module_error``; the raw connection hands it out as text."""
    if value is None:
        return None
    return ModuleFailure(**(json.loads(value) if isinstance(value, str) else value))
