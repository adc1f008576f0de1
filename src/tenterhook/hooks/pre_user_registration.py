"""Before registration: ask the tenant's hook, and understand its answer.

    no hook enabled          ─► nothing changes
    cb(null, {user: {…}})    ─► its user_metadata and app_metadata, cleaned
    cb(PreUserRegistrationError), any other error, no cb, a limit, code that cannot start, no sandbox on this host
                             ─► RegistrationDeniedError: the registration is refused

The point blocks, so what cannot be asked has not agreed. The texts of a PreUserRegistrationError are meant for the
outside and are passed on; those of other errors may quote anything and are for the tenant log alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tenterhook.database import Reader
from tenterhook.hooks import loading
from tenterhook.hooks.catalogue import PRE_USER_REGISTRATION
from tenterhook.hooks.errors import HookNotFoundError, RegistrationDeniedError
from tenterhook.hooks.invoking import HookInvoker
from tenterhook.ids import HookId, TenantId, new_run_id
from tenterhook.sandbox import (
    NO_SECRETS,
    Execution,
    HookError,
    Masker,
    SandboxRefusedError,
    Verdict,
    masker_of,
)

MAX_MESSAGE_LENGTH = 1000
"""Characters of a refusal's texts that are passed on."""

_DENIAL = "PreUserRegistrationError"
_GENERIC_MESSAGE = "The registration was refused."
_GENERIC_FRIENDLY_MESSAGE = "We could not complete your registration. Please try again later."


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MetadataAdditions:
    """What a hook adds to the new user; each member replaces the one of the same name."""

    user_metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    app_metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)


async def hook_before_registration(reader: Reader, tenant_id: TenantId) -> HookId | None:
    """Return the hook that the tenant has enabled before registration, if any."""
    return await loading.enabled_hook_id(reader, tenant_id, PRE_USER_REGISTRATION.trigger_id)


async def ask_before_registration(
    invoker: HookInvoker, hook_id: HookId, event: Mapping[str, Any]
) -> MetadataAdditions:
    """Call a hook of ``hook_before_registration`` and return what it adds.

    No transaction may be open. Returns as soon as the hook calls back.

    Raises:
        RegistrationDeniedError: the hook refused, or could not be asked.
        OverloadedError: the sandbox has no room; nothing was decided.
    """
    try:
        loaded = await invoker.load(hook_id)
    except HookNotFoundError:  # deleted between the two questions
        return MetadataAdditions()
    try:
        answer = await invoker.ask(loaded, event, run_id=new_run_id())
    except SandboxRefusedError as error:
        # Why is the operator's to know; to the world it is a hook that failed, and never one that was passed over.
        raise RegistrationDeniedError(
            _GENERIC_MESSAGE, _GENERIC_FRIENDLY_MESSAGE, log_text=error.message
        ) from error
    return interpret(
        answer, masker_of({name: value.get_secret_value() for name, value in loaded.secrets.items()})
    )


def interpret(answer: Verdict | Execution, masker: Masker = NO_SECRETS) -> MetadataAdditions:
    """Return what the hook adds to the user; in what a refusal leaves in the log the hook's secrets are masked.

    Raises:
        RegistrationDeniedError: its answer is anything but a ``cb`` without an error.
    """
    if isinstance(answer, Execution):
        raise _denial_without_verdict(answer)
    if answer.error is not None:
        raise _denial(answer.error, masker)
    user = answer.result.get("user") if isinstance(answer.result, dict) else None
    if not isinstance(user, dict):
        return MetadataAdditions()
    return MetadataAdditions(
        user_metadata=_cleaned(user.get("user_metadata")), app_metadata=_cleaned(user.get("app_metadata"))
    )


def _cleaned(metadata: Any) -> dict[str, Any]:
    """Return metadata without the members, at any depth, whose names are not allowed; {} for what is no object."""
    if not isinstance(metadata, dict):
        return {}
    return {name: _clean(value) for name, value in metadata.items() if _is_allowed(name)}


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(member) for name, member in value.items() if _is_allowed(name)}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _is_allowed(name: str) -> bool:
    return not name.startswith("$") and "." not in name


def _denial(error: HookError, masker: Masker) -> RegistrationDeniedError:
    log_text = masker.text(f"{error.name}: {error.message}")
    if error.name != _DENIAL:
        return RegistrationDeniedError(_GENERIC_MESSAGE, _GENERIC_FRIENDLY_MESSAGE, log_text=log_text)
    message = error.message[:MAX_MESSAGE_LENGTH]
    friendly = error.properties.get("friendlyMessage")
    if not isinstance(friendly, str) or not friendly:
        friendly = message
    return RegistrationDeniedError(
        message, friendly[:MAX_MESSAGE_LENGTH], log_text=masker.text(error.message)
    )


def _denial_without_verdict(execution: Execution) -> RegistrationDeniedError:
    reason = str(execution.outcome)
    if execution.limit is not None:
        reason += f": {execution.limit}"
    if execution.error is not None:
        reason += f": {execution.error.name}: {execution.error.message}"
    return RegistrationDeniedError(_GENERIC_MESSAGE, _GENERIC_FRIENDLY_MESSAGE, log_text=reason)
