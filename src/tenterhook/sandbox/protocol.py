"""The channel's format, and distrust of what comes through it.

A frame is a big-endian u32 length and that many bytes of UTF-8 JSON: an object with a ``type``. What the host sends is
taken at its word; what the process sends may have been forged by the hook, so a frame that is too long, is not JSON, has
a field of the wrong type, or an unknown type, is a ``ProtocolViolation``, and the process is ended. Text is cleaned of
lone surrogates and NUL, which JSON may carry and PostgreSQL refuses.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any, NoReturn

from tenterhook.sandbox.execution import HookError
from tenterhook.sandbox.script import Json

_LENGTH_BYTES = 4
FRAME_MARGIN_BYTES = 1024 * 1024
"""What a frame may have beyond the largest result or document. The largest of the rest is a described error whose
characters are all written as escapes: 680 KiB."""
_MAX_NUMBER = 2**53


# json.dumps and json.loads would make one for each message, which takes longer than most messages do.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class ProtocolViolation(Exception):  # noqa: N818 - it is no error of ours; the name says what the process did
    """The process sent what our runtime never sends."""


def encode(message: dict[str, Any]) -> bytes:
    """Return the frame of a message to the process."""
    body = _ENCODER.encode(message).encode()
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameDecoder:
    """Cuts a stream of bytes into messages; holds what was pushed, and of a frame to come never more than its maximum."""

    def __init__(self, *, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._pending = bytearray()
        self._at = 0
        """Where the next frame begins: what lies before it is cut off in one go, not once per tiny frame."""
        self.last_frame_bytes = 0
        """Length of the frame that was returned last."""

    def push(self, data: bytes) -> None:
        """Take bytes as they were read."""
        if self._at:
            del self._pending[: self._at]
            self._at = 0
        self._pending += data

    def next_message(self) -> dict[str, Any] | None:
        """Return the next message, or None until more bytes have come.

        Raises:
            ProtocolViolation: too long, or not a JSON object.
        """
        end = self._end()
        if end is None or end > len(self._pending):
            return None
        body = bytes(self._pending[self._at + _LENGTH_BYTES : end])
        self._at = end
        if end == len(self._pending):
            self.clear()
        self.last_frame_bytes = len(body)
        return _parse(body)

    def _end(self) -> int | None:
        if len(self._pending) - self._at < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._pending[self._at : self._at + _LENGTH_BYTES], "big")
        if length > self._max_frame_bytes:
            raise ProtocolViolation(f"a frame of {length} bytes")
        return self._at + _LENGTH_BYTES + length

    @property
    def has_more(self) -> bool:
        """Whether a whole frame is there (or one that is refused by its length)."""
        try:
            end = self._end()
        except ProtocolViolation:
            return True
        return end is not None and end <= len(self._pending)

    @property
    def is_within_frame(self) -> bool:
        """Whether there is the beginning of a frame whose end has not come."""
        return len(self._pending) > self._at

    def clear(self) -> None:
        """Forget what is held."""
        self._pending.clear()
        self._at = 0


MAX_DEPTH = 100
"""Levels of objects and lists in a message: beyond it recursive code (JSON, PostgreSQL's too) may fail."""
_LONGEST_NUMBER = 400
_MAX_SLOWLY_READ_BYTES = 256 * 1024
# Only these two carry what a hook made at any size; our runtime writes the type first.
_LARGE_KINDS = (b'{"type":"called_back",', b'{"type":"storage_set",')
# JSON.rawJSON('1e999') is valid JSON that Python reads as infinity, which no database takes.
_MAYBE_INFINITE = re.compile(rb"[0-9][eE]\+?[0-9]{3}|[0-9]{309}")
_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair is one character
    rb"|(\\u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000))"
    rb"|\\.",
    re.DOTALL,
)


def _number(text: str) -> float | int | None:
    """Read a number as JavaScript would; one that is too large for it becomes null, as in ``JSON.stringify``."""
    if len(text) > _LONGEST_NUMBER:
        return None
    number = float(text)
    if not math.isfinite(number):
        return None
    return int(text) if text.lstrip("-").isdigit() else number


def _is_deeper_than(value: Json, depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(depth):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _read_json(body: bytes) -> Json:
    text = body.decode("utf-8")
    if _MAYBE_INFINITE.search(body) is None:
        return _DECODER.decode(text)
    # Many times slower, for Python code is called for each number: only where one may need it, and not for megabytes.
    if len(body) <= _MAX_SLOWLY_READ_BYTES:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_number, parse_int=_number)
    message = _DECODER.decode(text)
    json.dumps(message, allow_nan=False)
    return message


def _parse(body: bytes) -> dict[str, Any]:
    if len(body) > FRAME_MARGIN_BYTES and not body.startswith(_LARGE_KINDS):
        raise ProtocolViolation(f"a frame of {len(body)} bytes of a kind that is never so long")
    # On the text and not on each value, for which a million small strings would take a second.
    if _UNSTORABLE.search(body) is not None:
        body = _ESCAPES.sub(lambda found: found[0] if found[1] is None else rb"\ufffd", body)
    try:
        message = _read_json(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation("a frame that is not JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolViolation("a frame without a type")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper_than(message, MAX_DEPTH):
        raise ProtocolViolation(f"a frame of more than {MAX_DEPTH} levels")
    return message


@dataclasses.dataclass(frozen=True, slots=True)
class Fields:
    """Typed access to a message; anything unexpected is a violation."""

    message: dict[str, Any]

    def integer(self, name: str) -> int:
        """Return a whole number from 0 to 2^53."""
        value = self.message.get(name)
        if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
            raise ProtocolViolation(f"{name} is no number")
        return value

    def integer_or_none(self, name: str) -> int | None:
        """Return a whole number, or None where it is null."""
        return None if self.message.get(name) is None else self.integer(name)

    def number(self, name: str) -> float:
        """Return a finite number that is not negative."""
        value = self.message.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_NUMBER:
            raise ProtocolViolation(f"{name} is no number")  # NaN compares with nothing, so it ends here too
        return float(value)

    def number_or_none(self, name: str) -> float | None:
        """Return a number, or None where it is null."""
        return None if self.message.get(name) is None else self.number(name)

    def text(self, name: str, *, longest: int) -> str:
        """Return a string, cut to its longest length."""
        value = self.message.get(name)
        if not isinstance(value, str):
            raise ProtocolViolation(f"{name} is no text")
        return value[:longest]

    def text_or_none(self, name: str, *, longest: int) -> str | None:
        """Return a string, or None where it is null."""
        return None if self.message.get(name) is None else self.text(name, longest=longest)

    def boolean(self, name: str) -> bool:
        """Return true or false."""
        value = self.message.get(name)
        if not isinstance(value, bool):
            raise ProtocolViolation(f"{name} is neither true nor false")
        return value

    def error(self) -> HookError:
        """Return the described error."""
        value = self.message.get("error")
        if not isinstance(value, dict):
            raise ProtocolViolation("error is no object")
        fields = Fields(value)
        properties = value.get("properties")
        if not isinstance(properties, dict):
            raise ProtocolViolation("properties is no object")
        return HookError(
            name=fields.text("name", longest=300),
            message=fields.text("message", longest=20_000),
            stack=fields.text_or_none("stack", longest=40_000),
            code=fields.text_or_none("code", longest=300),
            properties=properties,
        )
