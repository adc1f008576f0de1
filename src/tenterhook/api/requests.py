"""Reading a request body: bounded, JSON or form, whatever its Content-Type claims, into a typed value.

    router = APIRouter(route_class=DocumentedRoute)

    @router.post("/things")
    async def create_thing(
        token: ManagementToken = requires_scope("create:things"), body: ThingIn = payload(ThingIn)
    ) -> ThingOut: ...

Clients send JSON without saying so, and forms where JSON is documented (CLIENTS.md), so the only thing the
Content-Type decides is whether the body is read as a form. JSON is checked strictly (``"1"`` is no number); a form
knows only strings, so there ``true`` may be a boolean. What PostgreSQL cannot store is refused here for everybody:
U+0000 (JSON's escape for it), lone surrogates, NaN and infinities.
"""

from __future__ import annotations

import inspect
import math
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from tenterhook.api.errors import PayloadTooLargeError
from tenterhook.api.validation import BODY_ERROR_CODE, describe_body_error
from tenterhook.errors import InvalidInputError

FORM = "application/x-www-form-urlencoded"
_PERHAPS_TOO_LARGE = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{300}")
_MOST_FORM_FIELDS = 1000
_MEMBER = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]")
"""``user_metadata[plan]=free``: how a form writes a member of an object."""


class InvalidBodyError(InvalidInputError):
    """The request body cannot be used."""

    code = BODY_ERROR_CODE


def payload(model: Any) -> Any:
    """Return a dependency that reads the body as ``model`` (a pydantic model, or any type pydantic can check).

    An empty body counts as ``{}``. The dependency raises ``InvalidBodyError`` or ``PayloadTooLargeError``.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(model)

    async def read(request: Request) -> Any:
        body = await _read_bounded(request, request.app.state.settings.max_body_bytes)
        is_form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM
        value = _parse_form(body) if is_form else _parse_json(body)
        try:
            return adapter.validate_python(value, strict=not is_form)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise InvalidBodyError(describe_body_error(first, model)) from None  # the cause quotes the input

    return Depends(_Payload(read, adapter))


class _Payload:
    """A dependency that remembers the schema of the body it reads, for the API's description."""

    def __init__(self, read: Callable[[Request], Any], adapter: TypeAdapter[Any]) -> None:
        self._read = read
        self.adapter = adapter

    async def __call__(self, request: Request) -> Any:
        return await self._read(request)


async def _read_bounded(request: Request, limit_bytes: int) -> bytes:
    too_large = PayloadTooLargeError(f"The request body is larger than {limit_bytes} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise too_large
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def _parse_json(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        value = from_json(body, allow_inf_nan=False)
    except (ValueError, RecursionError):
        raise InvalidBodyError("Invalid request payload JSON format") from None
    # In valid JSON the character can only be written as an escape, which is rare: only then look closely.
    if b"\\u0000" in body:
        _refuse_nul(value)
    if _PERHAPS_TOO_LARGE.search(body):
        _refuse_infinity(value)
    return value


def _parse_form(body: bytes) -> dict[str, Any]:
    try:
        fields = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FORM_FIELDS
        )
    except ValueError:
        raise InvalidBodyError("Invalid request payload form format") from None
    values: dict[str, Any] = {}
    for name, value in fields:
        member = _MEMBER.fullmatch(name)
        if member is None:
            values[name] = value
        else:
            owner = values.setdefault(member[1], {})
            if not isinstance(owner, dict):
                raise InvalidBodyError("Invalid request payload form format")
            owner[member[2]] = value
    _refuse_nul(values)
    return values


def _refuse_infinity(value: Any) -> None:
    """Refuse numbers that became infinite in reading (``1e999``): they cannot be stored."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise InvalidBodyError("Payload validation error: 'Numbers must be finite'.")
        if isinstance(item, dict | list):
            pending.extend(item.values() if isinstance(item, dict) else item)


def _refuse_nul(value: Any) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\x00" in item:
                raise InvalidBodyError(
                    "Payload validation error: 'Strings must not contain the character U+0000'."
                )
        elif isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


class DocumentedRoute(APIRoute):
    """A route whose body (``payload``) and scopes (``requires_scope``) appear in the API's description."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Find both among the endpoint's parameters."""
        extra: dict[str, Any] = dict(options.pop("openapi_extra", None) or {})
        for parameter in inspect.signature(endpoint).parameters.values():
            dependency = getattr(parameter.default, "dependency", None)
            if isinstance(dependency, _Payload):
                schema = _inlined(dependency.adapter.json_schema(ref_template="{model}"))
                content = {"application/json": {"schema": schema}, FORM: {"schema": schema}}
                extra.setdefault("requestBody", {"required": True, "content": content})
            scopes = getattr(dependency, "any_of_scopes", None)
            if scopes is not None:
                extra.setdefault("security", [{"bearer": [scope]} for scope in scopes] or [{"bearer": []}])
        super().__init__(path, endpoint, openapi_extra=extra or None, **options)


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put definitions where they are used: the description has no place for ours. They are not recursive."""
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[node["$ref"]])
            return {key: resolve(value) for key, value in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    resolved: dict[str, Any] = resolve(schema)
    return resolved
