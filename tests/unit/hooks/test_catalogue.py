"""The catalogue against the document it keeps, and against itself."""

from __future__ import annotations

import json
import re

import pytest

from tenterhook.hooks import (
    POINTS,
    POST_USER_REGISTRATION,
    TRIGGER_IDS,
    UnknownTriggerError,
    check_body,
    point_of,
    starter_code,
)

PARAMETER = re.compile(r"^@param \{(\w+)\} ([\w.]+) - (.+)$", re.MULTILINE)

# The default body of the starting document, to the byte.
SEED_BODY = b"""\
{
  "user": {
    "tenant": "my-tenant",
    "username": "user1",
    "email": "user1@foo.com",
    "emailVerified": true,
    "phoneNumber": "1-000-000-0000",
    "phoneNumberVerified": true,
    "user_metadata": {
      "hobby": "surfing"
    },
    "app_metadata": {
      "plan": "full"
    }
  },
  "context": {
    "requestLanguage": "en-us",
    "connection": {
      "id": "con_xxxxxxxxxxxxxxxx",
      "name": "Username-Password-Authentication",
      "tenant": "my-tenant"
    }
  }
}"""

# The paths of the starting document's comment, in its order.
SEED_PATHS = [
    "user",
    "user.id",
    "user.tenant",
    "user.username",
    "user.email",
    "user.emailVerified",
    "user.phoneNumber",
    "user.phoneNumberVerified",
    "user.user_metadata",
    "user.app_metadata",
    "context",
    "context.requestLanguage",
    "context.connection",
    "context.connection.id",
    "context.connection.name",
    "context.connection.tenant",
    "context.webtask",
    "cb",
]

every_point = pytest.mark.parametrize("point", POINTS, ids=TRIGGER_IDS)


def test_trigger_ids_are_the_five_of_the_original():
    assert set(TRIGGER_IDS) == {
        "credentials-exchange",
        "pre-user-registration",
        "post-user-registration",
        "post-change-password",
        "send-phone-message",
    }
    assert point_of("post-user-registration") is POST_USER_REGISTRATION
    with pytest.raises(UnknownTriggerError, match="client-credentials-exchange"):
        point_of("client-credentials-exchange")


def test_default_body_after_registration_is_the_documents_to_the_byte():
    assert POST_USER_REGISTRATION.runner_body.encode() == SEED_BODY


def test_comment_after_registration_lists_the_documents_parameters_in_order():
    assert [
        path for _type, path, _meaning in PARAMETER.findall(starter_code(POST_USER_REGISTRATION))
    ] == SEED_PATHS


@every_point
def test_comment_lists_every_parameter_with_type_and_meaning(point):
    listed = PARAMETER.findall(starter_code(point))
    assert listed[:-1] == [(each.type, each.path, each.meaning) for each in point.parameters]
    assert listed[-1][:2] == ("function", "cb")


@every_point
def test_starter_code_exports_a_function_of_the_points_arguments(point):
    assert f"module.exports = function ({', '.join(point.arguments)}, cb) {{" in starter_code(point)


@every_point
def test_parents_come_before_their_members_and_arguments_are_parameters(point):
    seen: set[str] = set()
    for parameter in point.parameters:
        parent = parameter.path.rpartition(".")[0]
        assert not parent or parent in seen
        assert parameter.path not in seen
        seen.add(parameter.path)
    assert {path.partition(".")[0] for path in seen} == set(point.arguments)


@every_point
def test_default_body_passes_the_points_own_check(point):
    check_body(point, json.loads(point.runner_body))
