"""``docs/reference/settings.md``, from the descriptions in ``tenterhook.settings``."""

from __future__ import annotations

import json
import types
import typing
from pathlib import Path

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tenterhook.settings import CONFIG_FILE_VARIABLE, Settings, environment_name

_INTRODUCTION = f"""\
# Settings

*Written by `make docs` from `src/tenterhook/settings.py`.*

A setting is an environment variable, or a line `name = value` in the TOML file that `{CONFIG_FILE_VARIABLE}` names;
the environment wins. An unknown `TENTERHOOK_…` variable and an unknown name in the file are refused.
`tenterhook check-config` reads everything and starts nothing.
"""

_OTHER_VARIABLES = f"""\
Two variables are no settings: they say where to look. `{CONFIG_FILE_VARIABLE}` names the settings file,
`TENTERHOOK_PROFILE` the command line's profile."""

_KINDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    SecretStr: "secret text",
}


def render() -> str:
    """Return the page."""
    rows = ["| variable | default | value | meaning |", "| --- | --- | --- | --- |"]
    sample = ["```toml"]
    for name, field in Settings.model_fields.items():
        default = "none" if field.default in {None, ""} else f"`{_plain(field.default)}`"
        rows.append(f"| `{environment_name(name)}` | {default} | {_value(field)} | {field.description} |")
        sample += [f"# {field.description}", f"# {name} = {_toml(field.default)}"]
    sample.append("```")
    return "\n".join(
        [
            _INTRODUCTION,
            *rows,
            "",
            _OTHER_VARIABLES,
            "",
            "## A settings file with every default",
            "",
            *sample,
            "",
        ]
    )


def _value(field: FieldInfo) -> str:
    annotation = field.annotation
    if isinstance(annotation, types.UnionType):  # Path | None: what it is where it is something
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(f"`{choice}`" for choice in typing.get_args(annotation))
    assert isinstance(annotation, type)
    bounds = ", ".join(text for constraint in field.metadata if (text := _bound(constraint)))
    return f"{_KINDS[annotation]}, {bounds}" if bounds else _KINDS[annotation]


def _bound(constraint: object) -> str | None:
    match constraint:
        case Gt(gt=limit):
            return f"above {limit}"
        case Ge(ge=limit):
            return f"{limit} or more"
        case Lt(lt=limit):
            return f"below {limit}"
        case Le(le=limit):
            return f"at most {limit}"
    return None


def _plain(value: object) -> str:
    """Return a default as one writes it into an environment variable."""
    return value if isinstance(value, str) else _toml(value).strip('"')


def _toml(value: object) -> str:
    """Return a default as TOML; what is none by default is to be filled in."""
    if value is None:
        return '"…"'
    return json.dumps(str(value) if isinstance(value, Path) else value)
