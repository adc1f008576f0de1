"""Events: exactly the catalogue's keys, whoever registers and however."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from tenterhook.directory import Connection, NewUser, Tenant, User
from tenterhook.hooks import (
    POST_USER_REGISTRATION,
    PRE_USER_REGISTRATION,
    events,
    post_user_registration_event,
    pre_user_registration_event,
    starter_code,
)
from tenterhook.ids import ConnectionId, TenantId, UserId

TENANT = Tenant(id=TenantId("ten_1"), name="acme", domain="localhost", public_url="http://localhost")
CONNECTION = Connection(
    id=ConnectionId("con_1"),
    tenant_id=TENANT.id,
    name="Username-Password-Authentication",
    strategy="auth0",
    options={"secret_option": 1},
)
NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


def person(**values: Any) -> dict[str, Any]:
    return {
        "email": None,
        "email_verified": False,
        "username": None,
        "phone_number": None,
        "phone_verified": False,
        "given_name": None,
        "family_name": None,
        "name": None,
        "nickname": None,
        "picture": None,
        "blocked": False,
        "user_metadata": {},
        "app_metadata": {},
        **values,
    }


def user(**values: Any) -> User:
    return User(
        id=UserId("5d8b1128fe2e260e0d96e369"),
        tenant_id=TENANT.id,
        connection_id=CONNECTION.id,
        created_at=NOW,
        updated_at=NOW,
        **person(**values),
    )


def new_user(**values: Any) -> NewUser:
    return NewUser(connection_id=CONNECTION.id, **person(**values))


def leaves(value: Any, path: str, stop: set[str]) -> Iterator[str]:
    if isinstance(value, dict) and path not in stop:
        for name, member in value.items():
            yield from leaves(member, f"{path}.{name}" if path else name, stop)
    else:
        yield path


def paths_of(event: dict[str, Any]) -> list[str]:
    return list(leaves(event, "", {"user.user_metadata", "user.app_metadata"}))


def commented_paths(point: Any) -> set[str]:
    listed = set(re.findall(r"^@param \{\w+\} ([\w.]+) ", starter_code(point), re.MULTILINE))
    parents = {path.rpartition(".")[0] for path in listed} - {"context.webtask"}
    return listed - parents - {"cb", "context.webtask"}


def test_event_after_registration_has_exactly_the_keys_of_the_original():
    event = post_user_registration_event(
        user=user(email="ada@example.com", user_metadata={"a": {"b": 1}}),
        connection=CONNECTION,
        tenant=TENANT,
        language="en-GB,en;q=0.9",
    )
    assert event == {
        "user": {
            "id": "5d8b1128fe2e260e0d96e369",
            "tenant": "acme",
            "username": None,
            "email": "ada@example.com",
            "emailVerified": False,
            "phoneNumber": None,
            "phoneNumberVerified": False,
            "user_metadata": {"a": {"b": 1}},
            "app_metadata": {},
        },
        "context": {
            "requestLanguage": "en-GB,en;q=0.9",
            "connection": {"id": "con_1", "name": "Username-Password-Authentication", "tenant": "acme"},
        },
    }


def test_keys_are_there_whether_or_not_there_are_values():
    full = user(
        email="ada@example.com",
        email_verified=True,
        username="ada",
        phone_number="+4412345",
        phone_verified=True,
        given_name="Ada",
        family_name="Lovelace",
        name="Ada Lovelace",
        nickname="ada",
        picture="https://example.com/ada.png",
        blocked=True,
        user_metadata={"x": 1},
        app_metadata={"y": 2},
    )
    for someone, language in ((full, "de"), (user(), None)):
        event = post_user_registration_event(
            user=someone, connection=CONNECTION, tenant=TENANT, language=language
        )
        assert set(paths_of(event)) == commented_paths(POST_USER_REGISTRATION)


def test_event_before_registration_has_the_keys_of_its_comment_but_for_the_password():
    event = pre_user_registration_event(
        user=new_user(), connection=CONNECTION, tenant=TENANT, language="de", ip="192.0.2.1"
    )
    assert set(paths_of(event)) == commented_paths(PRE_USER_REGISTRATION) - {"user.password"}
    assert "password" not in event["user"]
    assert event["context"]["request"] == {"ip": "192.0.2.1", "language": "de"}
    assert event["context"]["renderLanguage"] is None


def test_permitted_password_is_in_the_live_event():
    event = pre_user_registration_event(
        user=new_user(),
        connection=CONNECTION,
        tenant=TENANT,
        language=None,
        ip=None,
        password=SecretStr("correct horse"),
    )
    assert set(paths_of(event)) == commented_paths(PRE_USER_REGISTRATION)
    assert event["user"]["password"] == "correct horse"


@pytest.mark.parametrize("change", ["surplus", "missing"])
def test_value_that_the_catalogue_does_not_name_stops_the_event(monkeypatch, change):
    honest = events._person

    def dishonest(*arguments: Any) -> dict[str, Any]:
        values = honest(*arguments)
        if change == "surplus":
            values["user.passwordHash"] = "$argon2id$"
        else:
            del values["user.email"]
        return values

    monkeypatch.setattr(events, "_person", dishonest)
    with pytest.raises(events.EventShapeError, match=r"passwordHash|email"):
        post_user_registration_event(user=user(), connection=CONNECTION, tenant=TENANT, language=None)
