"""Definitions: the hooks of a tenant and the versions of their code.

At most one hook of a point is enabled: enabling one disables the other in the same transaction. Every save of script
or dependencies is a new version, numbered from 1 within its hook and never changed; renaming and enabling are not.

Changes of one tenant's hooks take turns, under a lock that the transaction holds: two that enable different hooks
would otherwise not see each other and meet at the unique index, and each would wait for a row the other holds.
Readers never wait. npm's work comes before the transaction (``editing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select, text, update

from tenterhook.database import Reader, Transaction
from tenterhook.hooks import module_sets
from tenterhook.hooks.errors import HookNameTakenError, HookNotFoundError, HookVersionNotFoundError
from tenterhook.hooks.extensibility_point import TriggerId
from tenterhook.hooks.hook import Hook, HookChanges, HookVersion, NewHook, SavedHook
from tenterhook.hooks.module_sets import PreparedModules
from tenterhook.hooks.tables import hook_versions, hooks
from tenterhook.ids import HookId, TenantId, new_hook_id

_WITH_CODE = hooks.join(
    hook_versions, (hook_versions.c.hook_id == hooks.c.id) & (hook_versions.c.version == hooks.c.version)
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:place, 0))")


def _select_hooks(tenant_id: TenantId) -> Select[Any]:
    return (
        select(
            hooks.c.id,
            hooks.c.tenant_id,
            hooks.c.name,
            hooks.c.trigger_id,
            hooks.c.enabled,
            hooks.c.version,
            hook_versions.c.script,
            hook_versions.c.dependencies,
            hooks.c.created_at,
            hooks.c.updated_at,
        )
        .select_from(_WITH_CODE)
        .where(hooks.c.tenant_id == tenant_id)
    )


async def get_hook(reader: Reader, tenant_id: TenantId, hook_id: HookId) -> Hook:
    """Return a hook of the tenant.

    Raises:
        HookNotFoundError: absent, or another tenant's.
    """
    row = await reader.one_or_none(_select_hooks(tenant_id).where(hooks.c.id == hook_id))
    if row is None:
        raise HookNotFoundError
    return _hook(row)


async def list_hooks(
    reader: Reader,
    tenant_id: TenantId,
    *,
    trigger_id: TriggerId | None = None,
    enabled: bool | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> Sequence[Hook]:
    """Return the tenant's hooks that fit, oldest first."""
    query = _fitting(_select_hooks(tenant_id), trigger_id=trigger_id, enabled=enabled)
    rows = await reader.all(query.order_by(hooks.c.created_at, hooks.c.id).offset(offset).limit(limit))
    return [_hook(row) for row in rows]


async def count_hooks(
    reader: Reader, tenant_id: TenantId, *, trigger_id: TriggerId | None = None, enabled: bool | None = None
) -> int:
    """Return how many of the tenant's hooks fit."""
    query = select(func.count()).select_from(hooks).where(hooks.c.tenant_id == tenant_id)
    row = await reader.one_or_none(_fitting(query, trigger_id=trigger_id, enabled=enabled))
    return int(row[0]) if row is not None else 0


async def list_versions(
    reader: Reader, tenant_id: TenantId, hook_id: HookId, *, offset: int = 0, limit: int | None = None
) -> Sequence[HookVersion]:
    """Return a hook's versions, newest first.

    Raises:
        HookNotFoundError: absent, or another tenant's.
    """
    await get_hook(reader, tenant_id, hook_id)
    query = select(hook_versions).where(hook_versions.c.hook_id == hook_id)
    rows = await reader.all(query.order_by(hook_versions.c.version.desc()).offset(offset).limit(limit))
    return [_version(row) for row in rows]


async def get_version(reader: Reader, tenant_id: TenantId, hook_id: HookId, number: int) -> HookVersion:
    """Return one version of a hook.

    Raises:
        HookNotFoundError: the hook is absent, or another tenant's.
        HookVersionNotFoundError: it has no such version.
    """
    await get_hook(reader, tenant_id, hook_id)
    row = await reader.one_or_none(
        select(hook_versions).where(hook_versions.c.hook_id == hook_id, hook_versions.c.version == number)
    )
    if row is None:
        raise HookVersionNotFoundError
    return _version(row)


async def lock(transaction: Transaction, tenant_id: TenantId) -> None:
    """Wait for the tenant's turn to change hooks; must be the transaction's first statement.

    Later statements then see what the turn before has committed.
    """
    await transaction.execute(_LOCK, {"place": f"hooks:{tenant_id}"})


async def create(
    transaction: Transaction, tenant_id: TenantId, new_hook: NewHook, modules: PreparedModules
) -> SavedHook:
    """Store a hook as version 1; its secrets are ``secrets.add``'s. The caller holds the lock.

    Raises:
        HookNameTakenError: the tenant has a hook of that name.
    """
    hook_id = new_hook_id()
    await _require_free_name(transaction, tenant_id, new_hook.name, hook_id)
    disabled = (
        await _disable_enabled(transaction, tenant_id, new_hook.trigger_id) if new_hook.enabled else None
    )
    await transaction.execute(
        insert(hooks).values(
            id=hook_id,
            tenant_id=tenant_id,
            name=new_hook.name,
            trigger_id=new_hook.trigger_id,
            enabled=new_hook.enabled,
            version=1,
        )
    )
    await _insert_version(
        transaction,
        modules,
        hook_id=hook_id,
        version=1,
        script=new_hook.script,
        dependencies=dict(new_hook.dependencies),
    )
    return await _saved(transaction, tenant_id, hook_id, disabled)


async def update_hook(
    transaction: Transaction, current: Hook, changes: HookChanges, modules: PreparedModules | None
) -> SavedHook:
    """Change a hook that the caller has read under the lock; ``modules`` belong to the code as it will be.

    Raises:
        HookNameTakenError: another hook of the tenant has the new name.
    """
    values: dict[str, Any] = {}
    disabled = None
    if changes.name is not None and changes.name != current.name:
        await _require_free_name(transaction, current.tenant_id, changes.name, current.id)
        values["name"] = changes.name
    if changes.enabled is not None and changes.enabled != current.enabled:
        if changes.enabled:
            disabled = await _disable_enabled(transaction, current.tenant_id, current.trigger_id)
        values["enabled"] = changes.enabled
    if modules is not None:
        values["version"] = current.version + 1
        await _insert_version(
            transaction,
            modules,
            hook_id=current.id,
            version=current.version + 1,
            script=current.script if changes.script is None else changes.script,
            dependencies=dict(current.dependencies if changes.dependencies is None else changes.dependencies),
        )
    if values:
        await transaction.execute(
            update(hooks).where(hooks.c.id == current.id).values(**values, updated_at=func.now())
        )
    return await _saved(transaction, current.tenant_id, current.id, disabled)


async def delete_hook(transaction: Transaction, tenant_id: TenantId, hook_id: HookId) -> None:
    """Delete a hook with its versions, secrets and storage. What waits for it is the caller's.

    Raises:
        HookNotFoundError: absent, or another tenant's.
    """
    deleted = await transaction.execute(
        delete(hooks).where(hooks.c.tenant_id == tenant_id, hooks.c.id == hook_id).returning(hooks.c.id)
    )
    if deleted.one_or_none() is None:
        raise HookNotFoundError


def _fitting(query: Select[Any], *, trigger_id: TriggerId | None, enabled: bool | None) -> Select[Any]:
    if trigger_id is not None:
        query = query.where(hooks.c.trigger_id == trigger_id)
    if enabled is not None:
        query = query.where(hooks.c.enabled == enabled)
    return query


async def _require_free_name(
    transaction: Transaction, tenant_id: TenantId, name: str, hook_id: HookId
) -> None:
    taken = await transaction.one_or_none(
        select(hooks.c.id).where(hooks.c.tenant_id == tenant_id, hooks.c.name == name, hooks.c.id != hook_id)
    )
    if taken is not None:
        raise HookNameTakenError(f"A hook named '{name}' exists already.")


async def _disable_enabled(
    transaction: Transaction, tenant_id: TenantId, trigger_id: TriggerId
) -> Hook | None:
    """Disable the point's enabled hook, before another is enabled: the unique index is checked row by row."""
    disabled = await transaction.execute(
        update(hooks)
        .where(hooks.c.tenant_id == tenant_id, hooks.c.trigger_id == trigger_id, hooks.c.enabled)
        .values(enabled=False, updated_at=func.now())
        .returning(hooks.c.id)
    )
    row = disabled.one_or_none()
    return None if row is None else await get_hook(transaction, tenant_id, HookId(row.id))


async def _insert_version(transaction: Transaction, modules: PreparedModules, **columns: Any) -> None:
    columns.update(await module_sets.version_columns(transaction, modules))
    await transaction.execute(insert(hook_versions).values(**columns))


async def _saved(
    transaction: Transaction, tenant_id: TenantId, hook_id: HookId, disabled: Hook | None
) -> SavedHook:
    hook = await get_hook(transaction, tenant_id, hook_id)
    version = await get_version(transaction, tenant_id, hook_id, hook.version)
    return SavedHook(hook=hook, version=version, disabled=disabled)


def _hook(row: Row[Any]) -> Hook:
    return Hook(**row._asdict())


def _version(row: Row[Any]) -> HookVersion:
    return HookVersion(
        hook_id=HookId(row.hook_id),
        number=row.version,
        script=row.script,
        dependencies=row.dependencies,
        modules=module_sets.modules_from_json(row.modules),
        module_notes=tuple(row.module_notes),
        module_failure=module_sets.failure_from_json(row.module_error),
        created_at=row.created_at,
    )
