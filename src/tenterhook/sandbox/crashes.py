"""Which hooks bring their processes down, and how long each has to wait for the next one.

    a process ends through a run's fault ─► its hook gets processes of its own, and waits: first, twice that, four times … maximum
    no crash for a good while ─► forgiven

Without it a hook that kills its process with every run would have the host start processes all day, at the cost of
everybody's. Nothing is stored: another worker, or this one started again, learns it anew.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

from tenterhook.clock import Clock

_MOST_REMEMBERED = 10_000
_FORGIVEN_AFTER = 10.0
"""Times the longest wait."""


@dataclasses.dataclass(kw_only=True)
class _History:
    crashes: int
    last_at: float


class Crashes:
    """The memory of one pool. Hooks are known by tenant and name."""

    def __init__(self, *, first_seconds: float, maximum_seconds: float, clock: Clock) -> None:
        self._first_seconds = first_seconds
        self._maximum_seconds = maximum_seconds
        self._clock = clock
        self._histories: OrderedDict[tuple[str, str], _History] = OrderedDict()

    def note(self, tenant_key: str, hook: str) -> None:
        """A process ended through this hook's fault."""
        now = self._clock.monotonic_seconds()
        history = self._current(tenant_key, hook)
        crashes = 0 if history is None else history.crashes
        self._histories[tenant_key, hook] = _History(crashes=crashes + 1, last_at=now)
        self._histories.move_to_end((tenant_key, hook))
        if len(self._histories) > _MOST_REMEMBERED:
            self._histories.popitem(last=False)

    def is_known(self, tenant_key: str, hook: str) -> bool:
        """Whether the hook has crashed lately: it gets no company."""
        return self._current(tenant_key, hook) is not None

    def seconds_to_wait(self, tenant_key: str, hook: str) -> float:
        """Return how long the hook must wait for its next process; 0 where it need not."""
        history = self._current(tenant_key, hook)
        if history is None:
            return 0.0
        # A float's exponent ends somewhere above 1000; the maximum is reached long before.
        wait = min(self._first_seconds * 2.0 ** min(history.crashes - 1, 60), self._maximum_seconds)
        return max(0.0, history.last_at + wait - self._clock.monotonic_seconds())

    def _current(self, tenant_key: str, hook: str) -> _History | None:
        history = self._histories.get((tenant_key, hook))
        if history is None:
            return None
        age = self._clock.monotonic_seconds() - history.last_at
        if age > self._maximum_seconds * _FORGIVEN_AFTER:
            del self._histories[tenant_key, hook]
            return None
        return history
