"""How an error leaves the house: one table from class to status, three shapes, chosen by the path.

| path             | shape                                            | who reads it             |
| ---------------- | ------------------------------------------------ | ------------------------ |
| `/dbconnections` | `{name, code, description, statusCode}`          | auth0.js, the SDKs       |
| `/oauth`         | `{error, error_description}`                     | OAuth clients            |
| everything else  | `{statusCode, error, message, errorCode}`        | management clients, ours |

The path decides, not the route, because a request that no route takes needs a shape too. Every answer carries the
request id as ``X-Request-Id``. An error that no class of ours describes is a plain 500 with nothing inside; its
traceback is logged, its text is not: a library's message may quote what somebody sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tenterhook.api.validation import PATH_ERROR_CODE, QUERY_ERROR_CODE, describe_parameter_errors
from tenterhook.database import DatabaseUnavailableError
from tenterhook.directory import AccessDeniedError
from tenterhook.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    TenterhookError,
)
from tenterhook.sandbox import SandboxRefusedError, SandboxUnavailableError

REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Payload Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""The reason of each status we answer with; Python's own list changes between its versions."""


class UnauthorizedError(TenterhookError):
    """Invalid token."""

    code = "invalid_token"


class ForbiddenError(TenterhookError):
    """You may not do this."""

    code = "access_denied"


class InsufficientScopeError(ForbiddenError):
    """The token does not carry the scope that this endpoint asks for."""

    code = "insufficient_scope"


class PayloadTooLargeError(TenterhookError):
    """The request body is larger than this server reads."""

    code = "payload_too_large"


class PreconditionFailedError(TenterhookError):
    """What the request says it was based on is no longer the newest (If-Match)."""

    code = "precondition_failed"


STATUSES: dict[type[TenterhookError], int] = {
    InvalidInputError: 400,
    UnauthorizedError: 401,
    AccessDeniedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    PreconditionFailedError: 412,
    PayloadTooLargeError: 413,
    OverloadedError: 503,
    SandboxUnavailableError: 503,
    SandboxRefusedError: 503,
    DatabaseUnavailableError: 503,
}
"""Class to status; the nearest class in an error's ancestry counts. What is not here is a 500."""


def status_of(error: TenterhookError) -> int:
    """Return the status an error is answered with."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def error_response(request: Request, error: TenterhookError) -> Response:
    """Render one of our errors in the shape of the request's path."""
    status = status_of(error)
    if status == 500:
        return _render(request.url.path, 500, TenterhookError.code, REASONS[500], {})
    headers = {}
    if isinstance(error, OverloadedError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif status == 503 and not isinstance(
        error, SandboxRefusedError
    ):  # that one lasts until the operator acts
        headers["Retry-After"] = "1"
    elif isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    response = _render(request.url.path, status, error.code, error.message, error.details)
    response.headers.update(headers)
    return response


def unknown_error_response(path: str) -> Response:
    """Render the plain 500."""
    return _render(path, 500, TenterhookError.code, REASONS[500], {})


def bad_request_response(path: str) -> Response:
    """Render the refusal of an address that no part of us could use."""
    return _render(
        path, 400, PATH_ERROR_CODE, "Path validation error: 'The address holds the character U+0000'.", {}
    )


def install_error_handlers(app: FastAPI) -> None:
    """Make the app answer with our shapes, whatever is raised."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, TenterhookError)  # noqa: S101 - tells mypy what the registration below ensures
        return error_response(request, error)

    async def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
        code, message = describe_parameter_errors(error.errors())
        return _render(request.url.path, 400, code, message, {})

    async def frameworks(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - as above
        reason = REASONS.get(error.status_code, str(error.detail))
        response = _render(request.url.path, error.status_code, _code_of(reason), reason, {})
        response.headers.update(error.headers or {})
        return response

    app.add_exception_handler(TenterhookError, ours)
    app.add_exception_handler(RequestValidationError, parameters)
    app.add_exception_handler(HTTPException, frameworks)


def _code_of(reason: str) -> str:
    return reason.lower().replace(" ", "_")


def _render(path: str, status: int, code: str, message: str, details: Mapping[str, Any]) -> JSONResponse:
    if path.startswith("/dbconnections/"):
        return JSONResponse(_sign_up_shape(status, code, message, details), status)
    if path.startswith("/oauth/"):
        return JSONResponse(_oauth_shape(status, code, message), status)
    return JSONResponse(
        {"statusCode": status, "error": REASONS.get(status, "Error"), "message": message, "errorCode": code},
        status,
    )


def _sign_up_shape(status: int, code: str, message: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """Let an error bring its own ``auth0`` shape (weak password, denial); the rest are plain BadRequestErrors."""
    own = details.get("auth0")
    if isinstance(own, dict):
        return {**own, "statusCode": status}
    name = REASONS.get(status, "Error").replace(" ", "") + ("" if status == 500 else "Error")
    return {
        "name": "InternalServerError" if status == 500 else name,
        "code": code,
        "description": message,
        "statusCode": status,
    }


def _oauth_shape(status: int, code: str, message: str) -> dict[str, Any]:
    names = {
        "invalid_body": "invalid_request",
        QUERY_ERROR_CODE: "invalid_request",
        "internal_error": "server_error",
    }
    if status == 503:
        code = "temporarily_unavailable"
    return {"error": names.get(code, code), "error_description": message}
