from __future__ import annotations

import pytest

from tenterhook.directory import (
    InvalidEmailError,
    InvalidUsernameError,
    check_username,
    normalize_email,
)
from tenterhook.directory.users import bare_id, identity_key


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("a+b@host.test", "a+b@host.test"),
        ("a@b.local", "a@b.local"),
        ("o'neil@example.org", "o'neil@example.org"),
        ("ü@exämple.com", "ü@exämple.com"),
    ],
)
def test_addresses_are_kept_in_lower_case(written, kept) -> None:
    assert normalize_email(written) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@b.com",
        "a@",
        "a@b",
        "a@b..com",
        "a b@c.com",
        "a@b.com\n",
        "a@[127.0.0.1]",
        '"q"@b.com',
        "A <a@b.com>",
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(text) -> None:
    with pytest.raises(InvalidEmailError) as caught:
        normalize_email(text)
    assert caught.value.message == "The e-mail address is not valid."


def test_spellings_of_one_identity_have_one_key() -> None:
    assert identity_key("ADA@Example.com") == identity_key("ada@example.com")
    assert identity_key("STRASSE@x.de") == identity_key("straße@x.de")
    assert identity_key("\ufb01x") == identity_key("FIX")
    assert identity_key("ada") != identity_key("adá")


def test_the_prefix_of_an_id_is_optional() -> None:
    assert bare_id("auth0|abc") == bare_id("abc") == "abc"


@pytest.mark.parametrize("username", ["a", "x" * 15, "_+-.!#$'^`~@", "A1"])
def test_good_usernames(username) -> None:
    check_username(username, {})


@pytest.mark.parametrize("username", ["", "x" * 16, "a b", "ä", "a@b.example", "a\n", "a/b"])
def test_bad_usernames(username) -> None:
    with pytest.raises(InvalidUsernameError):
        check_username(username, {})


def test_a_connection_decides_about_usernames() -> None:
    check_username(None, {})
    with pytest.raises(InvalidUsernameError):
        check_username(None, {"requires_username": True})
    options = {"validation": {"username": {"min": 3, "max": 20}}}
    check_username("x" * 20, options)
    for username in ("xx", "x" * 21):
        with pytest.raises(InvalidUsernameError):
            check_username(username, options)
