"""The frame decoder and the typed fields: whole frames only, and nothing that our runtime would not send."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenterhook.sandbox.protocol import Fields, FrameDecoder, ProtocolViolation, encode

from .frames import messages_of

MESSAGES = st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=5)


@given(MESSAGES, st.integers(1, 7))
def test_frames_arrive_whole_however_they_are_cut(messages: list[dict[str, object]], size: int) -> None:
    messages = [{**message, "type": "x"} for message in messages]
    stream = b"".join(encode(message) for message in messages)
    decoder = FrameDecoder(max_frame_bytes=1 << 20)
    received = [
        message
        for at in range(0, len(stream), size)
        for message in messages_of(decoder, stream[at : at + size])
    ]
    cleaned = json.loads(json.dumps(messages).replace("\\u0000", "\\ufffd"))
    assert received == cleaned


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_a_violation(data: bytes) -> None:
    decoder = FrameDecoder(max_frame_bytes=100)
    try:
        for message in messages_of(decoder, data):
            assert isinstance(message["type"], str)
    except ProtocolViolation:
        pass
    assert len(decoder._pending) <= 104 or int.from_bytes(decoder._pending[:4], "big") > 100


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b"{}",
        b'{"type": 1}',
        b'{"type": null}',
        b'{"type": "x", "n": NaN}',
        b'{"type": "x", "n": -Infinity}',
        b'{"type": "x"} {"type": "y"}',
        b'\xff{"type": "x"}',
        b'\xef\xbb\xbf{"type": "x"}',
        b'{"type": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type": "\\u0000", "deep": ' + b"[" * 900 + b"]" * 900 + b"}" + b"}",
    ],
)
def test_what_is_no_message_is_a_violation(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        messages_of(FrameDecoder(max_frame_bytes=1 << 20), frame(body))


@pytest.mark.parametrize(("size", "accepted"), [(100, True), (101, False)])
def test_longest_frame_is_the_limit(size: int, accepted: bool) -> None:
    body = b'{"type": "' + b"x" * (size - 12) + b'"}'
    assert len(body) == size
    decoder = FrameDecoder(max_frame_bytes=100)
    if accepted:
        assert len(messages_of(decoder, frame(body))) == 1
    else:
        with pytest.raises(ProtocolViolation):
            messages_of(decoder, frame(body))


def test_too_long_a_frame_is_refused_by_its_length_alone() -> None:
    with pytest.raises(ProtocolViolation):
        messages_of(FrameDecoder(max_frame_bytes=100), b"\x7f\xff\xff\xff")


def test_lone_surrogates_and_nul_are_replaced_everywhere() -> None:
    body = rb'{"type": "x", "a\u0000": ["\ud800", {"b": "\u0000c\udfff"}], "ok": "\ud83d\ude00"}'
    (message,) = messages_of(FrameDecoder(max_frame_bytes=1000), frame(body))
    assert message == {"type": "x", "a\ufffd": ["\ufffd", {"b": "\ufffdc\ufffd"}], "ok": "\U0001f600"}


@pytest.mark.parametrize("value", [None, True, "1", -1, 1.5, 2**53 + 1, [1]])
def test_integer_refuses(value: object) -> None:
    with pytest.raises(ProtocolViolation):
        Fields({"n": value}).integer("n")


@pytest.mark.parametrize("value", [None, False, "1", -0.5, 1e300, float("inf")])
def test_number_refuses(value: object) -> None:
    with pytest.raises(ProtocolViolation):
        Fields({"n": value}).number("n")


def test_numbers_at_the_edges_pass() -> None:
    assert Fields({"n": 0}).integer("n") == 0
    assert Fields({"n": 2**53}).integer("n") == 2**53
    assert Fields({"n": 0}).number("n") == 0.0
    assert Fields({}).number_or_none("n") is None


@pytest.mark.parametrize("value", [None, 1, ["x"]])
def test_text_refuses(value: object) -> None:
    with pytest.raises(ProtocolViolation):
        Fields({"t": value}).text("t", longest=10)


def test_text_is_cut() -> None:
    assert Fields({"t": "abc"}).text("t", longest=2) == "ab"
    assert Fields({"t": None}).text_or_none("t", longest=2) is None


@pytest.mark.parametrize("value", [None, 0, "true"])
def test_boolean_refuses(value: object) -> None:
    with pytest.raises(ProtocolViolation):
        Fields({"b": value}).boolean("b")


@pytest.mark.parametrize(
    "error",
    [
        None,
        "x",
        {},
        {"name": "E", "message": 1, "stack": None, "code": None, "properties": {}},
        {"name": "E", "message": "m", "stack": 1, "code": None, "properties": {}},
        {"name": "E", "message": "m", "stack": None, "code": None, "properties": []},
    ],
)
def test_error_refuses(error: object) -> None:
    with pytest.raises(ProtocolViolation):
        Fields({"error": error}).error()


@pytest.mark.parametrize(
    ("number", "read"),
    [(b"1e999", None), (b"-1e999", None), (b"9" * 5000, None), (b"1.5", 1.5), (b"-7", -7), (b"1e3", 1000.0)],
)
def test_numbers_are_read_as_javascript_would(number: bytes, read: float | None) -> None:
    (message,) = messages_of(
        FrameDecoder(max_frame_bytes=1 << 20), frame(b'{"type": "x", "n": ' + number + b"}")
    )
    assert message["n"] == read
