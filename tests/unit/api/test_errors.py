"""Every error of ours leaves with a status that somebody chose, and its code is its own."""

from __future__ import annotations

import importlib
import pkgutil

import tenterhook
from tenterhook.api.errors import REASONS, STATUSES, status_of
from tenterhook.errors import TenterhookError


def every_error() -> set[type[TenterhookError]]:
    for module in pkgutil.walk_packages(tenterhook.__path__, "tenterhook."):
        if "__main__" not in module.name and ".migrations" not in module.name and ".cli" not in module.name:
            importlib.import_module(module.name)
    found, pending = set(), [TenterhookError]
    while pending:
        kind = pending.pop()
        found.add(kind)
        pending.extend(kind.__subclasses__())
    return {kind for kind in found if kind.__module__.startswith("tenterhook.")}


def test_every_error_has_a_docstring_and_a_code() -> None:
    for kind in every_error():
        assert kind.__doc__, kind
        assert kind.code == kind.code.strip(), kind


def test_the_nearest_class_decides_and_each_status_has_a_reason() -> None:
    assert set(STATUSES.values()) <= set(REASONS)
    for kind in every_error() - {TenterhookError}:
        error = kind.__new__(kind)
        nearest = next((base for base in kind.__mro__ if base in STATUSES), None)
        assert status_of(error) == (500 if nearest is None else STATUSES[nearest])
