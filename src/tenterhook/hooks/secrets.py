"""Secrets: small texts that a hook reads as ``context.webtask.secrets.NAME`` and that nobody can read back.

Kept sealed (``Vault``); the API shows names, with ``PLACEHOLDER`` in the place of values. A value that *is* the
placeholder is never stored: whoever sends it sends back what they were shown, so a change keeps the value that is
there, and an addition, which has none to keep, is refused. (The original stores the placeholder's text and loses
the secret.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from pydantic import SecretStr
from sqlalchemy import delete, func, insert, select, update

from tenterhook.database import Reader, Transaction, Vault
from tenterhook.hooks.errors import HookSecretExistsError, HookSecretNotFoundError, InvalidHookError
from tenterhook.hooks.tables import hook_secrets
from tenterhook.ids import HookId

PLACEHOLDER = "_VALUE_NOT_SHOWN_"
"""What clients see in the place of a value, and compare with to the letter."""

MAX_SECRETS = 20
"""Per hook, as the original."""
NAME_PATTERN = r"^[A-Za-z0-9_-]{1,128}$"
MAX_VALUE_LENGTH = 8192
"""Characters; room for a service account's key file."""

_NAME = re.compile(NAME_PATTERN.removesuffix("$") + r"\Z")


def open_value(vault: Vault, hook_id: HookId, name: str, sealed: bytes) -> str:
    """Return a secret's value.

    Raises:
        SealedValueError: it was sealed with another key, or for another hook or name.
    """
    return vault.open(sealed, purpose=_purpose(hook_id, name)).decode()


async def list_names(reader: Reader, hook_id: HookId) -> Sequence[str]:
    """Return the names of a hook's secrets, sorted."""
    rows = await reader.all(
        select(hook_secrets.c.name).where(hook_secrets.c.hook_id == hook_id).order_by(hook_secrets.c.name)
    )
    return [row.name for row in rows]


async def add(
    transaction: Transaction, hook_id: HookId, values: Mapping[str, SecretStr], vault: Vault
) -> None:
    """Add secrets, all or none. The caller holds the hooks' lock.

    Raises:
        HookSecretExistsError: a name is there already.
        InvalidHookError: a name, a value or the number of them cannot be used.
    """
    check(values)
    for name, value in values.items():
        if value.get_secret_value() == PLACEHOLDER:
            raise InvalidHookError(
                f"{PLACEHOLDER} stands for a value that is not shown; send the secret itself",
                property_name=name,
            )
    present = set(await list_names(transaction, hook_id))
    taken = sorted(present & values.keys())
    if taken:
        raise HookSecretExistsError(
            f"The hook has a secret named '{taken[0]}' already; change it with PATCH."
        )
    if len(present) + len(values) > MAX_SECRETS:
        raise InvalidHookError(f"A hook can have {MAX_SECRETS} secrets", property_name="secrets")
    if values:
        await transaction.execute(
            insert(hook_secrets),
            [
                {"hook_id": hook_id, "name": name, "sealed": _seal(vault, hook_id, name, value)}
                for name, value in values.items()
            ],
        )


async def change(
    transaction: Transaction, hook_id: HookId, values: Mapping[str, SecretStr], vault: Vault
) -> None:
    """Change secrets that exist, all or none; the placeholder leaves a value as it is.

    Raises:
        HookSecretNotFoundError: there is no secret of a name.
        InvalidHookError: a name or a value cannot be used.
    """
    check(values)
    missing = sorted(values.keys() - set(await list_names(transaction, hook_id)))
    if missing:
        raise HookSecretNotFoundError(f"The hook has no secret named '{missing[0]}'; add it with POST.")
    for name, value in values.items():
        if value.get_secret_value() != PLACEHOLDER:
            await transaction.execute(
                update(hook_secrets)
                .where(hook_secrets.c.hook_id == hook_id, hook_secrets.c.name == name)
                .values(sealed=_seal(vault, hook_id, name, value), updated_at=func.now())
            )


async def remove(transaction: Transaction, hook_id: HookId, names: Iterable[str]) -> None:
    """Remove secrets; names that are not there are no error, as deleting them again would not be."""
    await transaction.execute(
        delete(hook_secrets).where(hook_secrets.c.hook_id == hook_id, hook_secrets.c.name.in_(list(names)))
    )


def check(values: Mapping[str, SecretStr]) -> None:
    """Refuse names and values that cannot be kept.

    Raises:
        InvalidHookError: naming the first that is wrong.
    """
    if len(values) > MAX_SECRETS:
        raise InvalidHookError(f"A hook can have {MAX_SECRETS} secrets", property_name="secrets")
    for name, value in values.items():
        if _NAME.match(name) is None:
            raise InvalidHookError(
                f"String does not match pattern: {NAME_PATTERN}", property_name=f"secrets.{name[:128]}"
            )
        if len(value.get_secret_value()) > MAX_VALUE_LENGTH:
            raise InvalidHookError(f"String is too long, maximum {MAX_VALUE_LENGTH}", property_name=name)


def _seal(vault: Vault, hook_id: HookId, name: str, value: SecretStr) -> bytes:
    return vault.seal(value.get_secret_value().encode(), purpose=_purpose(hook_id, name))


def _purpose(hook_id: HookId, name: str) -> str:
    return f"hook-secret:{hook_id}:{name}"
