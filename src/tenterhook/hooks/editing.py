"""Editing: every change of hooks, their secrets and their settings, from request to commit.

    read ─► resolve and install modules (npm, no transaction) ─► transaction: lock, check again, write, record

``record`` is called last in the transaction, so that the tenant log has a change if and only if it happened.
Whoever names the state that a change is based on (``if_match``, entity tags) gets ``HookChangedError`` when it is
no longer the newest; the tags are compared under the lock, so of two such changes one wins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping

from pydantic import SecretStr

from tenterhook.database import Database, Transaction, Vault
from tenterhook.hooks import definitions, hook_settings, module_sets, secrets
from tenterhook.hooks.errors import HookChangedError, InvalidHookError
from tenterhook.hooks.hook import (
    Hook,
    HookChanges,
    HookSettings,
    HookSettingsChanges,
    NewHook,
    SavedHook,
)
from tenterhook.hooks.module_sets import PreparedModules
from tenterhook.ids import HookId, TenantId
from tenterhook.runs import cancel_runs, release_held_runs
from tenterhook.sandbox.modules import ModuleStore
from tenterhook.settings import Settings

RecordSave = Callable[[Transaction, SavedHook], Awaitable[None]]
RecordSettings = Callable[[Transaction, HookSettings], Awaitable[None]]
Record = Callable[[Transaction], Awaitable[None]]

ANY_STATE = "*"
"""The ``If-Match`` that fits every state of a hook that exists."""


class HookEditor:
    """Changes the hooks of tenants."""

    def __init__(
        self, *, database: Database, modules: ModuleStore, vault: Vault, max_script_bytes: int
    ) -> None:
        """Take the parts; nothing is started."""
        self._database = database
        self._modules = modules
        self._vault = vault
        self._max_script_bytes = max_script_bytes

    async def create(self, tenant_id: TenantId, new_hook: NewHook, *, record: RecordSave) -> SavedHook:
        """Create a hook with its secrets; enabled, it takes the place of the point's enabled hook.

        Raises:
            InvalidHookError: script, dependencies or secrets cannot be used.
            HookNameTakenError: the tenant has a hook of that name.
        """
        self.check_script(new_hook.script)
        secrets.check(new_hook.secrets)
        modules = await self.prepare(new_hook.script, new_hook.dependencies)
        async with self._database.transaction() as transaction:
            await definitions.lock(transaction, tenant_id)
            saved = await definitions.create(transaction, tenant_id, new_hook, modules)
            await secrets.add(transaction, saved.hook.id, new_hook.secrets, self._vault)
            await record(transaction, saved)
        return saved

    async def update(
        self,
        tenant_id: TenantId,
        hook_id: HookId,
        changes: HookChanges,
        *,
        if_match: Collection[str] | None = None,
        record: RecordSave,
    ) -> SavedHook:
        """Change a hook; script or dependencies make a new version, ``enabled`` swaps with the enabled sibling.

        Raises:
            HookNotFoundError: absent, or another tenant's.
            HookChangedError: ``if_match`` does not have its present tag.
            InvalidHookError: script or dependencies cannot be used.
            HookNameTakenError: the tenant has another hook of that name.
        """
        if changes.script is not None:
            self.check_script(changes.script)
        while True:
            async with self._database.reader() as reader:
                seen = await definitions.get_hook(reader, tenant_id, hook_id)
                _require_match(seen, if_match)
            modules = await self._modules_after(seen, changes) if changes.makes_version else None
            async with self._database.transaction() as transaction:
                await definitions.lock(transaction, tenant_id)
                current = await definitions.get_hook(transaction, tenant_id, hook_id)
                _require_match(current, if_match)
                # Somebody else saved meanwhile: our modules may belong to a mixture of both. Each turn of this loop
                # means that another save has succeeded, so it ends.
                if modules is None or current.version == seen.version:
                    saved = await definitions.update_hook(transaction, current, changes, modules)
                    if changes.enabled:
                        await release_held_runs(transaction, hook_id)
                    await record(transaction, saved)
                    return saved

    async def change_settings(
        self,
        tenant_id: TenantId,
        hook_id: HookId,
        changes: HookSettingsChanges,
        *,
        settings: Settings,
        if_match: Collection[str] | None = None,
        record: RecordSettings,
    ) -> HookSettings:
        """Change a hook's limits, egress rules and own process; attempts that start from now on have them.

        Raises:
            HookNotFoundError: absent, or another tenant's.
            HookChangedError: ``if_match`` does not have their present tag.
            InvalidHookError: a limit is out of its bounds, or the allow-list cannot be read.
        """
        async with self._database.transaction() as transaction:
            await definitions.lock(transaction, tenant_id)
            current = await hook_settings.get(transaction, tenant_id, hook_id)
            _require_match(current, if_match)
            changed = hook_settings.changed(current, changes, settings)
            await hook_settings.put(transaction, hook_id, changed)
            await record(transaction, changed)
        return changed

    async def delete(self, tenant_id: TenantId, hook_id: HookId, *, record: Record) -> None:
        """Delete a hook with its versions, secrets and storage; runs that have not started are cancelled.

        Raises:
            HookNotFoundError: absent, or another tenant's.
        """
        async with self._database.transaction() as transaction:
            await definitions.lock(transaction, tenant_id)
            await definitions.delete_hook(transaction, tenant_id, hook_id)
            await cancel_runs(transaction, hook_id, "its hook was deleted")
            await record(transaction)

    async def add_secrets(
        self, tenant_id: TenantId, hook_id: HookId, values: Mapping[str, SecretStr], *, record: Record
    ) -> None:
        """Add secrets, all or none; see ``secrets.add``."""
        async with self._database.transaction() as transaction:
            await self._turn(transaction, tenant_id, hook_id)
            await secrets.add(transaction, hook_id, values, self._vault)
            await record(transaction)

    async def change_secrets(
        self, tenant_id: TenantId, hook_id: HookId, values: Mapping[str, SecretStr], *, record: Record
    ) -> None:
        """Change secrets, all or none; see ``secrets.change``."""
        async with self._database.transaction() as transaction:
            await self._turn(transaction, tenant_id, hook_id)
            await secrets.change(transaction, hook_id, values, self._vault)
            await record(transaction)

    async def remove_secrets(
        self, tenant_id: TenantId, hook_id: HookId, names: Collection[str], *, record: Record
    ) -> None:
        """Remove secrets; see ``secrets.remove``."""
        async with self._database.transaction() as transaction:
            await self._turn(transaction, tenant_id, hook_id)
            await secrets.remove(transaction, hook_id, names)
            await record(transaction)

    async def prepare(
        self, script: str, dependencies: Mapping[str, str], *, of: Hook | None = None
    ) -> PreparedModules:
        """Resolve and install what code needs, starting from what the newest version of a hook has.

        Raises:
            InvalidHookError: ``dependencies`` cannot be used.
        """
        previous = None
        if of is not None:
            async with self._database.reader() as reader:
                previous = await module_sets.of_version(reader, of.id, of.version)
        return await module_sets.prepare(
            self._modules, script=script, dependencies=dependencies, previous=previous
        )

    def check_script(self, script: str) -> None:
        """Refuse a script that is too large; whether it compiles, its runs will tell.

        Raises:
            InvalidHookError: more than ``max_script_bytes``.
        """
        if len(script.encode()) > self._max_script_bytes:
            raise InvalidHookError(
                f"The script is too large, maximum {self._max_script_bytes} bytes", property_name="script"
            )

    async def _modules_after(self, hook: Hook, changes: HookChanges) -> PreparedModules:
        return await self.prepare(
            hook.script if changes.script is None else changes.script,
            hook.dependencies if changes.dependencies is None else changes.dependencies,
            of=hook,
        )

    async def _turn(self, transaction: Transaction, tenant_id: TenantId, hook_id: HookId) -> None:
        await definitions.lock(transaction, tenant_id)
        await definitions.get_hook(transaction, tenant_id, hook_id)


def _require_match(seen: Hook | HookSettings, if_match: Collection[str] | None) -> None:
    if if_match is not None and seen.etag not in if_match and ANY_STATE not in if_match:
        raise HookChangedError
