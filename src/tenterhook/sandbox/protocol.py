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
from collections.abc import Iterator
from typing import Any, NoReturn

from tenterhook.sandbox.execution import HookError
from tenterhook.sandbox.script import Json

_LENGTH_BYTES = 4
FRAME_MARGIN_BYTES = 256 * 1024
"""What a frame may have beyond the largest result or document: a described error is the largest of the rest."""
_MAX_NUMBER = 2**53


class ProtocolViolation(Exception):  # noqa: N818 - it is no error of ours; the name says what the process did
    """The process sent what our runtime never sends."""


def encode(message: dict[str, Any]) -> bytes:
    """Return the frame of a message to the process."""
    body = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameDecoder:
    """Cuts a stream of bytes into messages; holds at most one unfinished frame."""

    def __init__(self, *, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._pending = bytearray()
        self.last_frame_bytes = 0
        """Length of the frame that was yielded last."""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the messages that are complete now.

        Raises:
            ProtocolViolation: too long, or not a JSON object.
        """
        self._pending += data
        while len(self._pending) >= _LENGTH_BYTES:
            length = int.from_bytes(self._pending[:_LENGTH_BYTES], "big")
            if length > self._max_frame_bytes:
                raise ProtocolViolation(f"a frame of {length} bytes")
            end = _LENGTH_BYTES + length
            if len(self._pending) < end:
                return
            body = bytes(self._pending[_LENGTH_BYTES:end])
            del self._pending[:end]
            self.last_frame_bytes = length
            yield _parse(body)


MAX_DEPTH = 100
"""Levels of objects and lists in a message: beyond it recursive code (JSON, PostgreSQL's too) may fail."""
_LONGEST_NUMBER = 400


def _number(text: str) -> float | int | None:
    """Read a number as JavaScript would; one that is too large for it becomes null, as in ``JSON.stringify``.

    ``JSON.rawJSON('1e999')`` is valid JSON that Python reads as infinity, which no database takes.
    """
    if len(text) > _LONGEST_NUMBER:
        return None
    number = float(text)
    if not math.isfinite(number):
        return None
    return int(text) if text.lstrip("-").isdigit() else number


def _is_deeper_than(value: Json, depth: int) -> bool:
    level: list[Json] = [value]
    for _ in range(depth):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(
            body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_number, parse_int=_number
        )
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper_than(message, MAX_DEPTH):
            raise ProtocolViolation(f"a frame of more than {MAX_DEPTH} levels")
        # Lone surrogates and NUL reach us only as escapes.
        if b"\\u" in body:
            message = _clean(message)
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation("a frame that is not JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolViolation("a frame without a type")
    return message


def _clean(value: Json) -> Json:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(each) for key, each in value.items()}
    return value


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
