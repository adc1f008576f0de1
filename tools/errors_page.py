"""``docs/reference/errors.md``: the whole tree of errors, from the classes themselves."""

from __future__ import annotations

import importlib
import pkgutil

import tenterhook
from tenterhook.api.errors import STATUSES
from tenterhook.errors import TenterhookError

_INTRODUCTION = """\
# Errors

*Written by `make docs` from the classes.*

Every error that Tenterhook raises on purpose is below, beneath the one it is a kind of. The `code` is stable; the
sentence is what is said when nothing more exact is known; the status is the HTTP API's. Some codes are Auth0's, so two
classes may share one.
"""

# Alembic runs these itself; imported by anybody else they fail.
_NOT_IMPORTABLE = "tenterhook.database.migrations."


def render() -> str:
    """Return the page."""
    for module in pkgutil.walk_packages(tenterhook.__path__, "tenterhook."):
        if not module.name.startswith(_NOT_IMPORTABLE) and not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    rows = [
        "| error | code | meaning | defined in |",
        "| --- | --- | --- | --- |",
        *_rows(TenterhookError, 0),
    ]
    return "\n".join([_INTRODUCTION, *rows, ""])


def _rows(error: type[TenterhookError], depth: int) -> list[str]:
    others = [base.__name__ for base in error.__bases__[1:] if issubclass(base, TenterhookError)]
    also = f" (also {', '.join(others)})" if others else ""
    indent = "&emsp;" * depth
    meaning = " ".join((error.__doc__ or "").split())
    home = error.__module__.removeprefix("tenterhook.").replace(".", "/")
    rows = [
        f"| {indent}{error.__name__}{also} | `{error.code}` | {_status(error)} | {meaning} | `{home}.py` |"
    ]
    # Under its first base only, so that each stands on the page once.
    beneath = [sub for sub in error.__subclasses__() if sub.__bases__[0] is error]
    for sub in sorted(beneath, key=lambda one: (one.__module__, one.__name__)):
        rows += _rows(sub, depth + 1)
    return rows


def _status(error: type[TenterhookError]) -> str:
    if error.__module__.startswith("tenterhook.cli."):
        return "none"  # never leaves the command line
    return str(next((STATUSES[kind] for kind in error.__mro__ if kind in STATUSES), 500))
