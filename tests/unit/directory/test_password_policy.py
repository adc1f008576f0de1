from __future__ import annotations

import pytest

from tenterhook.directory import (
    MAX_PASSWORD_BYTES,
    PasswordTooLongError,
    PasswordTooWeakError,
    check_password,
)


@pytest.mark.parametrize(
    ("policy", "accepted", "refused"),
    [
        ("none", ["x", " "], [""]),
        ("low", ["sixsix"], ["fivef"]),
        ("fair", ["Abcdefg1"], ["Abcdef1", "abcdefg1", "ABCDEFG1", "Abcdefgh"]),
        ("good", ["Abcdefg1", "abcdef1!", "ABCDEF1!", "Abcdef !"], ["Abcde1!", "Abcdefgh", "abcdefg1", "äbcdefg1"]),
        ("excellent", ["Abcdefgh12", "Aabbccdd12"], ["Abcdefgh1", "Abcdefgh111", "abcdefgh12"]),
    ],
)  # fmt: skip
def test_each_policy_on_both_sides(policy, accepted, refused) -> None:
    for plain in accepted:
        check_password(plain, {"passwordPolicy": policy})
    for plain in refused:
        with pytest.raises(PasswordTooWeakError):
            check_password(plain, {"passwordPolicy": policy})


@pytest.mark.parametrize("options", [{}, {"passwordPolicy": None}, {"passwordPolicy": "bogus"}])
def test_good_is_the_policy_where_none_is_named(options) -> None:
    check_password("Abcdefg1", options)
    with pytest.raises(PasswordTooWeakError):
        check_password("abcdefgh", options)


def test_a_connection_can_ask_for_another_length() -> None:
    options = {"passwordPolicy": "low", "password_complexity_options": {"min_length": 12}}
    check_password("x" * 12, options)
    with pytest.raises(PasswordTooWeakError):
        check_password("x" * 11, options)
    for nonsense in (0, 129, "12", None):
        check_password("x" * 6, {**options, "password_complexity_options": {"min_length": nonsense}})


def test_the_explanation_is_auth0s() -> None:
    with pytest.raises(PasswordTooWeakError) as caught:
        check_password("short", {"passwordPolicy": "excellent"})
    error = caught.value
    assert error.policy == (
        "* At least 10 characters in length\n"
        "* Contain at least 3 of the following 4 types of characters:\n"
        " * lower case letters (a-z)\n"
        " * upper case letters (A-Z)\n"
        " * numbers (i.e. 0-9)\n"
        " * special characters (e.g. !@#$%^&*)\n"
        '* No more than 2 identical characters in a row (e.g., "aaa" not allowed)'
    )
    length, contains, identical = error.rules
    assert length == {
        "message": "At least %d characters in length",
        "format": [10],
        "code": "lengthAtLeast",
        "verified": False,
    }
    assert (contains["format"], contains["verified"]) == ([3, 4], False)
    assert [item["verified"] for item in contains["items"]] == [True, False, False, False]
    assert (identical["format"], identical["verified"]) == ([2, "aaa"], True)


def test_the_cap_counts_bytes() -> None:
    options = {"passwordPolicy": "none"}
    check_password("ü" * (MAX_PASSWORD_BYTES // 2), options)
    with pytest.raises(PasswordTooLongError):
        check_password("ü" * (MAX_PASSWORD_BYTES // 2) + "x", options)


def test_no_error_quotes_the_password() -> None:
    for plain in ("marker", "marker" * 1000, "marker\ud800"):
        with pytest.raises((PasswordTooWeakError, PasswordTooLongError)) as caught:
            check_password(plain, {})
        assert "marker" not in str(caught.value)
        assert "marker" not in repr(caught.value.details)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
