"""What is wrong with an input, in the words management clients know: ``Payload validation error: '…' on property x``.

No message quotes what was sent, but for the name of an unknown property and the value of an enumeration: the rest may
be a password or a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

BODY_ERROR_CODE = "invalid_body"
QUERY_ERROR_CODE = "invalid_query_string"
PATH_ERROR_CODE = "invalid_uri"

_PARTS = {
    "path": ("Path", PATH_ERROR_CODE),
    "query": ("Query", QUERY_ERROR_CODE),
    "header": ("Header", "invalid_header"),
    "body": ("Payload", BODY_ERROR_CODE),
}
_JSON_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
    (type(None), "null"),
)
_EXPECTED = {
    "string_type": "string",
    "bool_type": "boolean",
    "int_type": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "list_type": "array",
    "dict_type": "object",
    "mapping_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
    "bool_parsing": "boolean",
    "int_parsing": "integer",
    "float_parsing": "number",
}
_REASONS = {
    "string_pattern_mismatch": "String does not match pattern: {pattern}",
    "string_too_short": "String is too short, minimum {min_length}",
    "string_too_long": "String is too long, maximum {max_length}",
    "too_short": "Too few properties or items, minimum {min_length}",
    "too_long": "Too many properties or items, maximum {max_length}",
}
_LONGEST_QUOTE = 100


def describe_body_error(error: ErrorDetails, model: Any) -> str:
    """Say what is wrong with a body; ``model`` gives the properties' descriptions."""
    return "Payload validation error: " + _describe(error, error["loc"], model)


def describe_parameter_errors(errors: Sequence[Any]) -> tuple[str, str]:
    """Return error code and message for what FastAPI found wrong with path, query or headers."""
    error = errors[0]
    where, *location = error["loc"]
    word, code = _PARTS.get(str(where), _PARTS["body"])
    return code, f"{word} validation error: " + _describe(error, location, None)


def _describe(error: Mapping[str, Any] | ErrorDetails, location: Sequence[int | str], model: Any) -> str:
    kind, name = error["type"], ".".join(str(part) for part in location)
    if kind == "missing":
        parent = ".".join(str(part) for part in location[:-1])
        return f"'Missing required property: {location[-1]}'" + (f" on property {parent}." if parent else ".")
    if kind == "extra_forbidden":
        parent = ".".join(str(part) for part in location[:-1])
        unknown = str(location[-1])[:_LONGEST_QUOTE]
        return f"'Additional properties not allowed: {unknown}'" + (
            f" on property {parent}." if parent else "."
        )
    reason = _reason(kind, error)
    if not name:
        return f"'{reason}'."
    described = _description(model, location)
    return f"'{reason}' on property {name}" + (f" ({described})." if described else ".")


def _reason(kind: str, error: Mapping[str, Any] | ErrorDetails) -> str:
    found = error.get("input")
    if kind in _EXPECTED:
        return f"Expected type {_EXPECTED[kind]} but found type {_json_type(found)}"
    if kind in {"literal_error", "enum"}:
        quoted = found if isinstance(found, str) and len(found) <= _LONGEST_QUOTE else _json_type(found)
        return f"No enum match for: {quoted}"
    template = _REASONS.get(kind)
    if template is not None:
        return template.format_map(error.get("ctx") or {})
    return str(error["msg"]).removeprefix("Value error, ")


def _json_type(value: Any) -> str:
    return next((name for kind, name in _JSON_TYPES if isinstance(value, kind)), "unknown")


def _description(model: Any, location: Sequence[int | str]) -> str | None:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    for name, field in model.model_fields.items():
        if location[0] in {name, field.alias}:
            return field.description.rstrip(".") if field.description else None
    return None
