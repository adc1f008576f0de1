"""What the Runner accepts as a body: what the original's wrapper accepted (SPEC 9.4)."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tenterhook.hooks import (
    CREDENTIALS_EXCHANGE,
    POST_CHANGE_PASSWORD,
    POST_USER_REGISTRATION,
    PRE_USER_REGISTRATION,
    SEND_PHONE_MESSAGE,
    ExtensibilityPoint,
    InvalidBodyError,
    check_body,
)
from tenterhook.hooks.bodies import arguments_of

ABSENT = object()


def body_with(point: ExtensibilityPoint, path: str, value: Any) -> dict[str, Any]:
    body = copy.deepcopy(json.loads(point.runner_body))
    *parents, name = path.split(".")
    place = body
    for parent in parents:
        place = place[parent]
    if value is ABSENT:
        del place[name]
    else:
        place[name] = value
    return body


@pytest.mark.parametrize("value", [ABSENT, None, "text", 1, True])
@pytest.mark.parametrize("path", ["user", "context", "context.connection"])
@pytest.mark.parametrize("point", [PRE_USER_REGISTRATION, POST_USER_REGISTRATION, POST_CHANGE_PASSWORD])
def test_registration_body_needs_its_objects(point, path, value):
    with pytest.raises(InvalidBodyError) as raised:
        check_body(point, body_with(point, path, value))
    assert raised.value.path == path
    assert raised.value.message == f"'{path}' of the Runner's body must be an object."


def test_first_wrong_part_is_named_in_the_originals_order():
    with pytest.raises(InvalidBodyError, match="'user'"):
        check_body(POST_USER_REGISTRATION, {})


def test_arrays_pass_for_objects_as_in_the_original():
    check_body(POST_USER_REGISTRATION, body_with(POST_USER_REGISTRATION, "user", []))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("client", "x"),
        ("client", ABSENT),
        ("scope", "read:x"),
        ("audience", ABSENT),
        ("audience", 1),
        ("context", "x"),
    ],
)
def test_credentials_exchange_refuses(path, value):
    body = {**json.loads(CREDENTIALS_EXCHANGE.runner_body), "context": {}}
    if value is ABSENT:
        del body[path]
    else:
        body[path] = value
    with pytest.raises(InvalidBodyError) as raised:
        check_body(CREDENTIALS_EXCHANGE, body)
    assert raised.value.path == path


def test_credentials_exchange_works_without_scope_and_context():
    body = body_with(CREDENTIALS_EXCHANGE, "scope", ABSENT)
    check_body(CREDENTIALS_EXCHANGE, body)
    assert arguments_of(CREDENTIALS_EXCHANGE, body) == (body["client"], None, body["audience"], {})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("recipient", ABSENT),
        ("text", 1),
        ("context", "x"),
        ("context.message_type", "fax"),
        ("context.action", "authentication"),
        ("context.language", None),
        ("context.code", 123456),
        ("context.ip", ABSENT),
        ("context.user_agent", ABSENT),
        ("context.user", ABSENT),
        ("context.client", "x"),
        ("context.client.client_id", ABSENT),
        ("context.client.name", 1),
        ("context.client.client_metadata", "x"),
    ],
)
def test_send_phone_message_refuses(path, value):
    with pytest.raises(InvalidBodyError) as raised:
        check_body(SEND_PHONE_MESSAGE, body_with(SEND_PHONE_MESSAGE, path, value))
    assert raised.value.path == path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("context.message_type", "voice"),
        ("context.action", "second-factor-authentication"),
        ("context.client", ABSENT),
        ("context.client", None),
        ("context.client.client_metadata", ABSENT),
    ],
)
def test_send_phone_message_accepts(path, value):
    check_body(SEND_PHONE_MESSAGE, body_with(SEND_PHONE_MESSAGE, path, value))
