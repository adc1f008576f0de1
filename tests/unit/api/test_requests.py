"""Bodies that JSON allows and PostgreSQL does not are refused when they are read."""

from __future__ import annotations

import pytest

from tenterhook.api.requests import InvalidBodyError, _parse_json


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1e999}',
        b'{"a": -1E+999}',
        b'{"a": [{"b": 1e400}]}',
        b'{"a": "\\u0000"}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b"[" * 100_000,
        b"{",
    ],
)
def test_what_cannot_be_stored_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidBodyError):
        _parse_json(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1e300}', {"a": 1e300}),
        (b'{"a": "1e999"}', {"a": "1e999"}),
        (b"", {}),
        (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
    ],
)
def test_what_can_be_stored_is_read(body: bytes, value: object) -> None:
    assert _parse_json(body) == value
