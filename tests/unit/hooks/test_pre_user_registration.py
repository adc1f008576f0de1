"""What a hook before registration may say, and what reaches whom."""

from __future__ import annotations

import pytest

from tenterhook.hooks import MetadataAdditions, RegistrationDeniedError
from tenterhook.hooks.pre_user_registration import (
    MAX_MESSAGE_LENGTH,
    ask_before_registration,
    interpret,
)
from tenterhook.sandbox import HookError, SandboxRefusedError, Verdict, masker_of


@pytest.mark.parametrize("result", [{}, None, "text", 1, [], {"user": None}, {"user": "x"}, {"other": 1}])
def test_answer_without_metadata_adds_nothing(result):
    assert interpret(Verdict(result=result)) == MetadataAdditions()


def test_only_metadata_is_honoured():
    answer = {
        "user": {
            "user_metadata": {"theme": "dark"},
            "app_metadata": {"plan": "trial"},
            "email": "other@example.com",
            "emailVerified": True,
            "id": "1",
        },
        "context": {},
    }
    assert interpret(Verdict(result=answer)) == MetadataAdditions(
        user_metadata={"theme": "dark"}, app_metadata={"plan": "trial"}
    )


def test_forbidden_names_are_left_out_at_any_depth():
    metadata = {"$set": 1, "a.b": 2, "ok": {"$where": 3, "x": [{"c.d": 4, "y": 5}]}, "a$b": 6}
    added = interpret(Verdict(result={"user": {"user_metadata": metadata, "app_metadata": "text"}}))
    assert added.user_metadata == {"ok": {"x": [{"y": 5}]}, "a$b": 6}
    assert added.app_metadata == {}


def denial(error: HookError) -> RegistrationDeniedError:
    with pytest.raises(RegistrationDeniedError) as raised:
        interpret(Verdict(error=error))
    return raised.value


def test_refusal_has_a_text_for_the_log_and_one_for_the_person():
    error = denial(
        HookError(
            name="PreUserRegistrationError",
            message="domain not invited",
            properties={"friendlyMessage": "Please ask us."},
        )
    )
    assert (error.message, error.friendly_message, error.log_text) == (
        "domain not invited",
        "Please ask us.",
        "domain not invited",
    )
    assert error.details["auth0"] == {
        "name": "InternalExtensibilityError",
        "code": "extensibility_error",
        "message": "domain not invited",
        "friendly_message": "Please ask us.",
        "description": "domain not invited",
        "fromSandbox": True,
    }


@pytest.mark.parametrize("friendly", [{}, {"friendlyMessage": ""}, {"friendlyMessage": 7}])
def test_refusal_without_a_text_for_the_person_uses_the_first(friendly):
    error = denial(HookError(name="PreUserRegistrationError", message="no", properties=friendly))
    assert error.friendly_message == "no"


def test_long_refusals_are_cut():
    error = denial(HookError(name="PreUserRegistrationError", message="x" * (MAX_MESSAGE_LENGTH + 1)))
    assert len(error.message) == len(error.friendly_message) == MAX_MESSAGE_LENGTH


def test_other_errors_reach_the_tenant_log_only():
    error = denial(HookError(name="TypeError", message="password is sesame", stack="at hook.js:1"))
    assert "sesame" not in f"{error.message}{error.friendly_message}{error.details}"
    assert error.log_text == "TypeError: password is sesame"


class _NoSandbox:
    """An invoker where no sandbox can be made."""

    async def load(self, hook_id):
        return hook_id

    async def ask(self, loaded, event, *, run_id):
        raise SandboxRefusedError("no sandbox can be made there")


async def test_a_hook_that_cannot_be_run_is_never_passed_over():
    with pytest.raises(RegistrationDeniedError) as refused:
        await ask_before_registration(_NoSandbox(), "hook", {})
    assert "sandbox" not in refused.value.message
    assert "no sandbox" in refused.value.log_text


def test_secrets_are_masked_in_the_log_and_not_in_what_the_hook_tells_the_person():
    masker = masker_of({"TOKEN": "s3same-open"})
    error = HookError(
        name="PreUserRegistrationError",
        message="no, s3same-open",
        properties={"friendlyMessage": "s3same-open"},
    )
    with pytest.raises(RegistrationDeniedError) as denied:
        interpret(Verdict(error=error), masker)
    assert denied.value.log_text == "no, [secret TOKEN]"
    assert denied.value.message == "no, s3same-open"
    other = HookError(name="TypeError", message="s3same-open")
    with pytest.raises(RegistrationDeniedError) as denied:
        interpret(Verdict(error=other), masker)
    assert denied.value.log_text == "TypeError: [secret TOKEN]"
