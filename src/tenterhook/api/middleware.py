"""The two things that happen around every request, as plain ASGI (Starlette's ready-made base class costs more).

``RequestScope`` gives each request an id, turns an unknown error into a plain 500, and refuses what PostgreSQL cannot
hold in a path or query. ``CrossOrigin`` lets browsers of any origin call the authentication API: it takes no cookies,
so an origin gains nothing by it. It is the outer one, for a browser shows the page an error only with its headers.
"""

from __future__ import annotations

import re
import secrets
import traceback

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenterhook.api.errors import bad_request_response, unknown_error_response

REQUEST_ID_HEADER = "X-Request-Id"
CROSS_ORIGIN_PATHS = ("/dbconnections/", "/oauth/token", "/.well-known/")
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~\-, ]{1,1000}")
_PREFLIGHT_SECONDS = "600"

_log = structlog.get_logger(__name__)


class RequestScope:
    """Request id, unknown errors, unusable addresses."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(12)
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        if "\x00" in scope["path"] or b"%00" in scope.get("query_string", b""):
            await bad_request_response(scope["path"])(scope, receive, send_with_id)
            return
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            # Type and place, not text: a library's message may quote what somebody sent.
            _log.error(
                "request_failed",
                request_id=request_id,
                method=scope["method"],
                path=scope["path"],
                error_type=_chain(error),
                where="".join(traceback.format_tb(error.__traceback__)),
            )
            if started:
                raise  # too late for an answer: the server must cut the connection
            await unknown_error_response(scope["path"])(scope, receive, send_with_id)


def _chain(error: BaseException) -> str:
    names, current = [], error
    while True:
        names.append(type(current).__qualname__)
        following = current.__cause__ or current.__context__
        if following is None or len(names) > 5:
            return " from ".join(names)
        current = following


class CrossOrigin:
    """CORS for the authentication API: preflights answered, the origin echoed, on errors too."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        origin = _origin_of(scope)
        if origin is None:
            await self._app(scope, receive, send)
            return

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = f"Retry-After, {REQUEST_ID_HEADER}"
                headers.add_vary_header("Origin")
            await send(message)

        asked = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in asked:
            wanted = asked.get("access-control-request-headers", "")
            answer = [
                (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
                (b"access-control-max-age", _PREFLIGHT_SECONDS.encode()),
                (b"content-length", b"0"),
            ]
            if _HEADER_NAMES.fullmatch(wanted):
                answer.append((b"access-control-allow-headers", wanted.encode()))
            await send_with_origin({"type": "http.response.start", "status": 200, "headers": answer})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send_with_origin)


def _origin_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or not scope["path"].startswith(CROSS_ORIGIN_PATHS):
        return None
    return Headers(scope=scope).get("origin")
