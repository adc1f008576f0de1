"""``jsonb_text`` marks what PostgreSQL's jsonb refuses, and only that."""

from __future__ import annotations

import json

import pytest

from tenterhook.database import jsonb_text


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"a": 1, "b": [True, None, 1.5]}, {"a": 1, "b": [True, None, 1.5]}),
        ("nul \x00 here", "nul \ufffd here"),
        ("\x00\x00", "\ufffd\ufffd"),
        ("the text \\u0000 as typed", "the text \\u0000 as typed"),
        ("a backslash \\ before \x00", "a backslash \\ before \ufffd"),
        ("\\\x00", "\\\ufffd"),
        ("lone \ud800", "lone ?"),
        ("pair \U0001f600", "pair \U0001f600"),
        (("tuple",), ["tuple"]),
        ({"\x00": 1}, {"\ufffd": 1}),
    ],
)
def test_only_what_jsonb_refuses_is_replaced(value: object, kept: object) -> None:
    assert json.loads(jsonb_text(value)) == kept
