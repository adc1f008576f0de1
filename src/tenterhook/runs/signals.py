"""Signals: what happens to runs in this process, for those who watch it happen.

In production nobody listens. ``tenterhook start`` prints them, tests wait for them. They promise nothing: the record is
in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tenterhook.ids import RunId


@dataclass(frozen=True, kw_only=True)
class RunSignal:
    """One thing that happened to one run."""

    kind: str
    """``registered``, ``started``, ``console``, ``call``, ``called_back``, ``finished``, ``not_executed``, ``rescued`` or
    ``waits``."""
    run_id: RunId
    attempt: int
    """0 before the first."""
    data: Mapping[str, Any] = field(default_factory=dict)


class RunSignals:
    """Passes signals on to whoever has subscribed, in the order they happen."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[RunSignal], None]] = []

    def emit(self, signal: RunSignal) -> None:
        """Tell every subscriber."""
        for subscriber in self._subscribers:
            subscriber(signal)

    @contextmanager
    def subscribed(self, subscriber: Callable[[RunSignal], None]) -> Iterator[None]:
        """Have ``subscriber`` called inside the block; it must neither block nor raise."""
        self._subscribers.append(subscriber)
        try:
            yield
        finally:
            self._subscribers.remove(subscriber)
