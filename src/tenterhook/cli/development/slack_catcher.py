"""A stand-in for Slack's incoming webhooks: it answers as Slack does and shows the message here instead.

Request: POST with a JSON object, or a form whose field ``payload`` is one; Slack does not insist on a Content-Type
and neither do we (``slack-notify`` 2 sends none). Answer: plain text.

| status | text              | when                                                            |
| ------ | ----------------- | --------------------------------------------------------------- |
| 200    | ``ok``            | the message is shown                                            |
| 400    | ``invalid_payload`` | the body is not an object, or a part has the wrong type       |
| 400    | ``no_text``       | neither text nor attachments nor blocks                         |
| 400    | ``too_many_attachments`` | more than 100                                            |
| 403    | ``invalid_token`` | the last part of the path is not this webhook's                 |
| 404    | ``no_service``    | any other path                                                  |
| 405    | ``method_not_allowed`` | anything but POST                                          |
| 413    | ``payload_too_large`` | a body beyond ``MAX_BODY_BYTES``                            |

The texts of 400, 403 and 404 are those of Slack's "Handling errors" for incoming webhooks.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

MAX_BODY_BYTES = 1_048_576
_MAX_ATTACHMENTS = 100


@dataclass(frozen=True, kw_only=True)
class SlackField:
    """One field of an attachment: a small table's cell."""

    title: str
    value: str


@dataclass(frozen=True, kw_only=True)
class SlackMessage:
    """A message as Slack would show it; texts are as sent, not cleaned."""

    channel: str | None
    """``#name`` or ``@name``; None is the webhook's own channel."""
    username: str | None
    icon: str | None
    """An emoji's ``:name:`` or a picture's URL."""
    text: str
    attachments: tuple[str, ...] = ()
    """Texts of the attachments and blocks that have one."""
    fields: tuple[SlackField, ...] = ()


class _RejectedError(Exception):
    """Slack would refuse this."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class SlackCatcher:
    """An ASGI application with one incoming webhook."""

    def __init__(self, path: str, show: Callable[[SlackMessage], None]) -> None:
        """Take the webhook's path and what is to be done with its messages (it must neither block nor raise)."""
        self._path = path
        self._show = show

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])  # the server offers neither lifespan nor WebSockets
        try:
            self._check_address(scope)
            message = parse_message(await _read_body(receive), _content_type(scope))
        except _RejectedError as error:
            status, text = error.status, error.text
        else:
            self._show(message)
            status, text = 200, "ok"
        body = text.encode()
        headers = [(b"content-type", b"text/html"), (b"content-length", str(len(body)).encode())]
        if status == 413:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _check_address(self, scope: Scope) -> None:
        if scope["method"] != "POST":
            raise _RejectedError(405, "method_not_allowed")
        path = str(scope["path"])
        if hmac.compare_digest(path.encode(), self._path.encode()):
            return
        if path.rpartition("/")[0] == self._path.rpartition("/")[0]:
            raise _RejectedError(403, "invalid_token")
        raise _RejectedError(404, "no_service")


def _content_type(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return str(value.decode("latin-1")).partition(";")[0].strip().lower()
    return ""


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        part = await receive()
        if part["type"] == "http.disconnect":
            raise _RejectedError(400, "invalid_payload")
        body += part.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _RejectedError(413, "payload_too_large")
        if not part.get("more_body", False):
            return bytes(body)


def parse_message(body: bytes, content_type: str) -> SlackMessage:
    """Return the message of a request's body.

    Raises:
        _RejectedError: with the status and the text that Slack would answer.
    """
    payload = _payload(body, content_type)
    attachments = _objects(payload, "attachments")
    if len(attachments) > _MAX_ATTACHMENTS:
        raise _RejectedError(400, "too_many_attachments")
    blocks = _objects(payload, "blocks")
    text = _text(payload, "text") or ""
    if not text and not attachments and not blocks:
        raise _RejectedError(400, "no_text")
    fields = tuple(
        SlackField(title=str(field.get("title", "")), value=str(field.get("value", "")))
        for attachment in attachments
        for field in _objects(attachment, "fields")
    )
    return SlackMessage(
        channel=_text(payload, "channel"),
        username=_text(payload, "username"),
        icon=_text(payload, "icon_emoji") or _text(payload, "icon_url"),
        text=text,
        attachments=tuple(
            text for text in (*map(_attachment_text, attachments), *map(_block_text, blocks)) if text
        ),
        fields=fields,
    )


def _payload(body: bytes, content_type: str) -> Mapping[str, Any]:
    try:
        text = body.decode()
        if content_type == "application/x-www-form-urlencoded" or text.startswith("payload="):
            text = parse_qs(text, strict_parsing=True)["payload"][0]
        payload = json.loads(text)
    except (ValueError, KeyError, RecursionError):
        raise _RejectedError(400, "invalid_payload") from None
    if not isinstance(payload, dict):
        raise _RejectedError(400, "invalid_payload")
    return payload


def _text(part: Mapping[str, Any], name: str) -> str | None:
    value = part.get(name)
    if value is None or isinstance(value, str):
        return value or None
    raise _RejectedError(400, "invalid_payload")


def _objects(part: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = part.get(name)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        return value
    raise _RejectedError(400, "invalid_payload")


def _attachment_text(attachment: Mapping[str, Any]) -> str:
    texts = (_text(attachment, name) for name in ("pretext", "title", "text"))
    shown = "\n".join(text for text in texts if text)
    # Slack shows the fallback only where it cannot show the attachment itself.
    return shown or ("" if attachment.get("fields") else _text(attachment, "fallback") or "")


def _block_text(block: Mapping[str, Any]) -> str:
    text = block.get("text")
    return str(text.get("text", "")) if isinstance(text, dict) else ""
