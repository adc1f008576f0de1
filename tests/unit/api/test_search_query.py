from __future__ import annotations

import pytest

from tenterhook.api.search_query import InvalidQueryError, parse_search_query

FIELDS = ("type", "client_id", "email")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ('type:"sapi"', [("type", "sapi")]),
        ("type:sapi", [("type", "sapi")]),
        ('type:"sapi" AND client_id:x', [("type", "sapi"), ("client_id", "x")]),
        ('  type:a   client_id:"b c" ', [("type", "a"), ("client_id", "b c")]),
        ('email:"a\\"b"', [("email", 'a"b')]),
        ("email:a+b@example.com", [("email", "a+b@example.com")]),
        ('type:"a AND b"', [("type", "a AND b")]),
    ],
)
def test_terms(text, terms) -> None:
    assert parse_search_query(text, FIELDS) == terms


@pytest.mark.parametrize(
    "text",
    ["sapi", "type:", "AND type:a", "type:a AND", "type:a OR type:b", "NOT type:a", "type:a*", "type:[a TO b]",
     "type:(a b)", 'type:"a', "unknown:a", "type:a AND AND type:b", "-type:a", " ".join(["type:a"] * 21)],
)  # fmt: skip
def test_what_would_mean_something_else_is_refused(text) -> None:
    with pytest.raises(InvalidQueryError):
        parse_search_query(text, FIELDS)
