"""Bodies: the JSON objects that a hook's arguments are taken from, checked as the original's wrapper checked them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenterhook.errors import InvalidInputError
from tenterhook.hooks.extensibility_point import ExtensibilityPoint, Requirement


class InvalidBodyError(InvalidInputError):
    """The body does not have what the extensibility point requires."""

    code = "invalid_body"

    def __init__(self, *, path: str, expected: str) -> None:
        """Take the part that is wrong and what it must be."""
        super().__init__(f"'{path}' of the Runner's body must be {expected}.", path=path, expected=expected)
        self.path = path


def check_body(point: ExtensibilityPoint, body: Mapping[str, Any]) -> None:
    """Refuse a body that the point's hooks could not be called with.

    Raises:
        InvalidBodyError: naming the first part, in the original's order, that is wrong.
    """
    absent: list[str] = []
    for requirement in point.requirements:
        if any(requirement.path.startswith(f"{path}.") for path in absent):
            continue
        value = _value_at(body, requirement.path)
        if value is None and requirement.optional:
            absent.append(requirement.path)
        elif not _accepts(requirement, value):
            raise InvalidBodyError(path=requirement.path, expected=_expected(requirement))


def arguments_of(point: ExtensibilityPoint, body: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what the hook's function is called with before ``cb``; an absent context is an empty one."""
    values = [body.get(name) for name in point.arguments]
    if values[-1] is None:
        values[-1] = {}
    return tuple(values)


def _value_at(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for name in path.split("."):
        # An array passes for an object and has no named members.
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _accepts(requirement: Requirement, value: Any) -> bool:
    match requirement.type:
        case "object":
            return isinstance(value, dict | list)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, str) and (not requirement.choices or value in requirement.choices)


def _expected(requirement: Requirement) -> str:
    if requirement.choices:
        return "one of: " + ", ".join(requirement.choices)
    article = "an" if requirement.type in {"object", "array"} else "a"
    return f"{article} {requirement.type}" + (", null or absent" if requirement.optional else "")
