"""Events: what a hook is called with, built by allow-list.

The catalogue names every value of an event; the functions here say where each comes from. A value that the catalogue
does not name, or one that it names and nobody supplies, is an error of ours that every test of the event sees, so
that nothing (a hash, a new column) slips into what tenants' code reads.

Absent and null: every name of the catalogue is in every event, null where there is no value. The exception is
``user.password`` before registration, which is absent unless the operator permits it.

This runs in each sign-up: no I/O, some twenty dictionary operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from tenterhook.directory import Connection, NewUser, Tenant, User
from tenterhook.hooks.catalogue import POST_USER_REGISTRATION, PRE_USER_REGISTRATION
from tenterhook.hooks.extensibility_point import ExtensibilityPoint

Event = dict[str, Any]
"""A JSON object: one member per argument of the hook's function."""


class EventShapeError(AssertionError):
    """An event was built from other values than the catalogue names: a mistake in this program."""


def post_user_registration_event(
    *, user: User, connection: Connection, tenant: Tenant, language: str | None
) -> Event:
    """Return the event of a user who was just stored, on whatever way.

    ``language`` is the Accept-Language of the user's own request; None where there is no such request.
    """
    return _assemble(
        POST_USER_REGISTRATION,
        {
            "user.id": user.id,
            **_person(user, tenant),
            "context.requestLanguage": language,
            **_connection(connection, tenant),
        },
    )


def pre_user_registration_event(
    *,
    user: NewUser,
    connection: Connection,
    tenant: Tenant,
    language: str | None,
    ip: str | None,
    password: SecretStr | None = None,
) -> Event:
    """Return the event of a user who wants to register.

    With ``password`` the event holds it in plain text: pass it only where the setting
    ``unsafe_plain_password_to_pre_user_registration`` is on, and never store or log such an event
    (docs/decisions/0005-password-in-pre-user-registration.md).
    """
    values = {
        **_person(user, tenant),
        "context.requestLanguage": language,
        "context.renderLanguage": None,  # no sign-up page is shown by this version
        "context.request.ip": ip,
        "context.request.language": language,
        **_connection(connection, tenant),
    }
    if password is not None:
        values["user.password"] = password.get_secret_value()
    return _assemble(PRE_USER_REGISTRATION, values)


def _person(user: User | NewUser, tenant: Tenant) -> dict[str, Any]:
    return {
        "user.tenant": tenant.name,
        "user.username": user.username,
        "user.email": user.email,
        "user.emailVerified": user.email_verified,
        "user.phoneNumber": user.phone_number,
        "user.phoneNumberVerified": user.phone_verified,
        "user.user_metadata": user.user_metadata,
        "user.app_metadata": user.app_metadata,
    }


def _connection(connection: Connection, tenant: Tenant) -> dict[str, Any]:
    return {
        "context.connection.id": connection.id,
        "context.connection.name": connection.name,
        "context.connection.tenant": tenant.name,
    }


def _assemble(point: ExtensibilityPoint, values: Mapping[str, Any]) -> Event:
    """Nest the values in the catalogue's order."""
    event: Event = {}
    used = 0
    for path in point.event_paths:
        if path not in values:
            if path in point.permitted_paths:
                continue
            raise EventShapeError(f"{point.trigger_id}: nobody supplies {path}")
        *parents, name = path.split(".")
        place = event
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = values[path]
        used += 1
    if used != len(values):
        surplus = sorted(set(values) - set(point.event_paths))
        raise EventShapeError(f"{point.trigger_id}: the catalogue does not name {', '.join(surplus)}")
    return event
