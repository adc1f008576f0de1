"""Loading: the two questions of the hot path, each one constant SQL statement on the raw connection.

``enabled_hook_id`` is asked in every sign-up, ``load`` for every attempt of a run.
"""

from __future__ import annotations

import json

import asyncpg
from pydantic import SecretStr

from tenterhook.database import Reader, Vault
from tenterhook.hooks import hook_settings, module_sets, secrets
from tenterhook.hooks.errors import HookNotFoundError, HookVersionNotFoundError
from tenterhook.hooks.extensibility_point import TriggerId
from tenterhook.hooks.hook import HookSettings, LoadedHook
from tenterhook.ids import HookId, TenantId
from tenterhook.sandbox.modules import ModuleSet

_ENABLED = "SELECT id FROM hooks WHERE tenant_id = $1 AND trigger_id = $2 AND enabled"

_LOAD = """
SELECT h.id, h.tenant_id, h.name, h.trigger_id, h.enabled, v.version, v.script, v.dependencies::text AS dependencies,
       v.modules::text AS modules, v.module_set_key, v.module_error::text AS module_error, m.lock,
       (SELECT array_agg(s.name ORDER BY s.name) FROM hook_secrets s WHERE s.hook_id = h.id) AS secret_names,
       (SELECT array_agg(s.sealed ORDER BY s.name) FROM hook_secrets s WHERE s.hook_id = h.id) AS sealed_secrets,
       o.limits::text AS limits, o.egress_mode, o.egress_allow::text AS egress_allow, o.own_process
FROM hooks h
LEFT JOIN hook_versions v ON v.hook_id = h.id AND v.version = coalesce($2::integer, h.version)
LEFT JOIN module_sets m ON m.key = v.module_set_key
LEFT JOIN hook_settings o ON o.hook_id = h.id
WHERE h.id = $1
"""


async def enabled_hook_id(reader: Reader, tenant_id: TenantId, trigger_id: TriggerId) -> HookId | None:
    """Return the hook that is enabled at a point, or None."""
    found = await reader.raw.fetchval(_ENABLED, tenant_id, trigger_id)
    return None if found is None else HookId(found)


async def load(reader: Reader, hook_id: HookId, vault: Vault, version: int | None = None) -> LoadedHook:
    """Return what an execution needs: the code of one version (None: the newest), secrets and settings of now.

    The caller answers for the tenant: a run names its own tenant's hook, an endpoint asks ``get_hook`` first.

    Raises:
        HookNotFoundError: the hook does not exist (any more).
        HookVersionNotFoundError: it has no such version.
    """
    row = await reader.raw.fetchrow(_LOAD, hook_id, version)
    if row is None:
        raise HookNotFoundError
    if row["version"] is None:
        raise HookVersionNotFoundError
    names, sealed = row["secret_names"] or (), row["sealed_secrets"] or ()
    return LoadedHook(
        id=HookId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        name=row["name"],
        trigger_id=TriggerId(row["trigger_id"]),
        enabled=row["enabled"],
        version=row["version"],
        script=row["script"],
        dependencies=json.loads(row["dependencies"]),
        module_set=ModuleSet(
            modules=module_sets.modules_from_json(json.loads(row["modules"])), lock=row["lock"] or ""
        ),
        module_set_key=row["module_set_key"],
        module_error=module_sets.failure_from_json(row["module_error"]),
        secrets={
            name: SecretStr(secrets.open_value(vault, hook_id, name, value))
            for name, value in zip(names, sealed, strict=True)
        },
        settings=_settings(row),
    )


def _settings(row: asyncpg.Record) -> HookSettings:
    if row["egress_mode"] is None:
        return HookSettings()
    return hook_settings.from_columns(
        limits=json.loads(row["limits"]),
        egress_mode=row["egress_mode"],
        egress_allow=json.loads(row["egress_allow"]),
        own_process=row["own_process"],
    )
