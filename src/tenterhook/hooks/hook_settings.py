"""Hook settings: what a hook has of its own beside its code: limits, rules for outgoing connections, its own process.

They are not part of a version. An attempt starts with the settings of that moment, as it does with the secrets: a hook
that fails for its limits is healed by raising them, without a new save of its code, and going back to an older version
never brings an older limit or a wider allow-list back. Who changed them when is in the tenant log.

What is said here can only narrow what the operator permits, or raise a limit up to the operator's maximum
(``sandbox.limit_kinds``); so whoever may change hooks may change these. A maximum that is lowered later is kept to when an
attempt starts, and the hook's own value comes back into force if it is raised again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenterhook.database import Reader, Transaction
from tenterhook.egress import Rules
from tenterhook.errors import InvalidInputError
from tenterhook.hooks import definitions
from tenterhook.hooks.errors import InvalidHookError
from tenterhook.hooks.hook import HookSettings, HookSettingsChanges
from tenterhook.hooks.tables import hook_settings
from tenterhook.ids import HookId, TenantId
from tenterhook.sandbox import KIND_OF, LimitKind
from tenterhook.settings import Settings, environment_name


async def get(reader: Reader, tenant_id: TenantId, hook_id: HookId) -> HookSettings:
    """Return a hook's settings.

    Raises:
        HookNotFoundError: the hook is absent, or another tenant's.
    """
    await definitions.get_hook(reader, tenant_id, hook_id)
    row = await reader.one_or_none(select(hook_settings).where(hook_settings.c.hook_id == hook_id))
    if row is None:
        return HookSettings()
    return from_columns(
        limits=row.limits,
        egress_mode=row.egress_mode,
        egress_allow=row.egress_allow,
        own_process=row.own_process,
    )


async def put(transaction: Transaction, hook_id: HookId, changed: HookSettings) -> None:
    """Store a hook's settings. The caller holds the hooks' lock and knows that the hook is there."""
    rules = changed.rules.to_json()
    values = {
        "limits": dict(changed.limits),
        "egress_mode": rules["mode"],
        "egress_allow": rules["allow"],
        "own_process": changed.own_process,
    }
    await transaction.execute(
        insert(hook_settings)
        .values(hook_id=hook_id, **values)
        .on_conflict_do_update(index_elements=["hook_id"], set_={**values, "updated_at": func.now()})
    )


def changed(current: HookSettings, changes: HookSettingsChanges, settings: Settings) -> HookSettings:
    """Return settings after changes, checked against the operator's maxima.

    Raises:
        InvalidHookError: a limit is unknown or out of its bounds, or an entry of the allow-list cannot be read.
    """
    limits = dict(current.limits)
    for name, value in (changes.limits or {}).items():
        if name not in KIND_OF:
            raise InvalidHookError(
                f"There is no limit of that name; there are {', '.join(KIND_OF)}",
                property_name=f"limits.{name}",
            )
        if value is None:
            limits.pop(name, None)
        else:
            limits[name] = _checked(KIND_OF[name], value, settings)
    mode = current.rules.mode if changes.egress_mode is None else changes.egress_mode
    allow = current.rules.to_json()["allow"] if changes.egress_allow is None else list(changes.egress_allow)
    try:
        rules = Rules.of(mode.value, allow)
    except InvalidInputError as error:
        reason = error.message.removeprefix("egress.allow: ")
        raise InvalidHookError(reason, property_name="egress.allow") from error
    own_process = current.own_process if changes.own_process is None else changes.own_process
    return HookSettings(limits=limits, rules=rules, own_process=own_process)


def from_columns(
    *, limits: Mapping[str, float], egress_mode: str, egress_allow: Sequence[str], own_process: bool
) -> HookSettings:
    """Return settings as they were stored; a limit that this release does not know is left out."""
    return HookSettings(
        limits={name: value for name, value in limits.items() if name in KIND_OF},
        rules=Rules.from_json({"mode": egress_mode, "allow": list(egress_allow)}),
        own_process=own_process,
    )


def _checked(kind: LimitKind, value: float, settings: Settings) -> float:
    where = f"limits.{kind.name}"
    maximum = kind.maximum(settings)
    if kind.whole and value != int(value):
        raise InvalidHookError("Must be a whole number", property_name=where)
    if value < kind.minimum:
        raise InvalidHookError(
            f"{kind.text_of(value)} is too little, minimum {kind.text_of(kind.minimum)} {kind.unit}",
            property_name=where,
        )
    if value > maximum:
        raise InvalidHookError(
            f"{kind.text_of(value)} is too much, maximum {kind.text_of(maximum)} {kind.unit}; the operator can raise "
            f"the maximum with {environment_name(kind.maximum_setting)}",
            property_name=where,
        )
    return int(value) if kind.whole else float(value)
