"""Values of secrets are found however programs write them, and nothing else is touched."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenterhook.sandbox.execution import HookError
from tenterhook.sandbox.masking import NO_SECRETS, SHORTEST, Masker, masker_of

VALUES = {
    "SLACK_URL": "https://hooks.slack.com/services/T0/B0/x+y=z",
    "PASSWORD": 'pä$$ "wörd"\\ & more/less',
    "PLAIN": "0123456789abcdef",
}
KEY = "-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG9w0BAQ\nEFAASCAUAwggE8AgEAAkEAq7BF\n-----END KEY-----\n"


def basic(value: str) -> str:
    return base64.b64encode(f"user:{value}".encode()).decode()


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(
    "written",
    [
        lambda value: value,
        lambda value: json.dumps({"a": value}),
        lambda value: json.dumps({"a": value}, ensure_ascii=False),
        lambda value: f"https://x.example/?q={quote(value, safe='')}&z=1",
        lambda value: re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quote(value, safe="")),
        lambda value: f"q={quote_plus(value)}",
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
        basic,
        lambda value: base64.b64encode(f"u:{value}!".encode()).decode(),
        lambda value: base64.b64encode(f"ab:{value}!!".encode()).decode(),
        lambda value: value.encode().hex(),
        lambda value: value.encode().hex().upper(),
        lambda value: f"{value.lower()}.example.com",
    ],
)
def test_every_way_to_write_a_value_is_found(name: str, written: Callable[[str], str]) -> None:
    assert f"[secret {name}]" in Masker(VALUES).text(f"before {written(VALUES[name])} after")


def test_the_rest_of_the_text_stays() -> None:
    masked = Masker(VALUES).text(f"a {VALUES['PLAIN']} b {VALUES['PLAIN']}{VALUES['SLACK_URL']} c")
    assert masked == "a [secret PLAIN] b [secret PLAIN][secret SLACK_URL] c"


@pytest.mark.parametrize(
    ("value", "masked"), [("x" * (SHORTEST - 1), False), ("x" * SHORTEST, True), ("", False)]
)
def test_short_values_are_left(value: str, masked: bool) -> None:
    assert (Masker({"S": value}).text(f"a {value} b") == "a [secret S] b") is masked


def test_of_two_values_that_begin_alike_the_longer_one_wins() -> None:
    masker = Masker({"SHORT": "abcdef", "LONG": "abcdefghij"})
    assert masker.text("abcdefghij abcdefgh") == "[secret LONG] [secret SHORT]gh"


def test_a_key_of_several_lines_is_found_line_by_line_and_its_frame_is_not() -> None:
    masker = Masker({"KEY": KEY})
    assert masker.text(KEY) == "[secret KEY]"
    assert masker.text(json.dumps(KEY)) == '"[secret KEY]"'
    shown = "[\n  '-----BEGIN KEY-----\\n' +\n    'MIIBVgIBADANBgkqhkiG9w0BAQ\\n' +\n"
    assert masker.text(shown) == "[\n  '-----BEGIN KEY-----\\n' +\n    '[secret KEY]\\n' +\n"


def test_what_was_cut_through_a_value_ends_before_it() -> None:
    masker = Masker(VALUES)
    assert masker.cut_text("at 0123456789ab") == "at [secret PLAIN]"
    assert masker.cut_text("at 012") == "at 012"
    assert masker.cut_text("at 0123456789abcdef and on") == "at [secret PLAIN] and on"


def test_json_is_masked_at_every_depth_and_keeps_its_shape() -> None:
    plain = VALUES["PLAIN"]
    value = {"a": [plain, 1, None, True, 1.5, {"b": f"x{plain}y"}], plain: {}}
    assert Masker(VALUES).json(value) == {
        "a": ["[secret PLAIN]", 1, None, True, 1.5, {"b": "x[secret PLAIN]y"}],
        "[secret PLAIN]": {},
    }


def test_all_of_an_error_is_masked() -> None:
    plain = VALUES["PLAIN"]
    error = HookError(
        name=plain,
        message=f"m {plain}",
        stack=f"at {plain[:8]}",
        code=plain,
        properties={"config": {"auth": plain}},
    )
    masked = Masker(VALUES).error(error)
    assert plain[:8] not in repr(masked)
    assert masked.properties == {"config": {"auth": "[secret PLAIN]"}}


def test_without_secrets_everything_is_handed_through() -> None:
    value = {"a": ["b"]}
    error = HookError(name="E", message="m")
    assert NO_SECRETS.json(value) is value
    assert NO_SECRETS.error(error) is error
    assert NO_SECRETS.text("x") == "x"
    assert NO_SECRETS.cut_text("x") == "x"
    assert NO_SECRETS.text_or_none(None) is None


def test_a_set_of_secrets_is_compiled_once() -> None:
    assert masker_of(VALUES) is masker_of(dict(reversed(VALUES.items())))
    assert masker_of(VALUES) is not masker_of({"OTHER": "0123456789"})


def test_a_value_as_long_as_a_value_may_be_is_found() -> None:
    value = "".join(chr(33 + n % 90) for n in range(20_000))
    assert Masker({"LONG": value}).text(f"a{value}b") == "a[secret LONG]b"


@given(
    st.dictionaries(
        st.text("ABC", min_size=1, max_size=3),
        st.text(st.characters(exclude_categories=("Cs",)), min_size=SHORTEST),
    ),
    st.text(st.characters(exclude_categories=("Cs",))),
    st.text(st.characters(exclude_categories=("Cs",))),
)
def test_no_value_survives(secrets: dict[str, str], before: str, after: str) -> None:
    masker = Masker(secrets)
    for value in secrets.values():
        for text in (f"{before}{value}{after}", json.dumps([before, value, after])):
            masked = masker.text(text)
            assert masked != text or value not in text
            assert masked.count("[secret ") >= 1
