"""How often something may happen: a burst at once, then a steady rate."""

from __future__ import annotations

import time


class TokenBucket:
    """A bucket of ``burst`` tokens that gains ``per_second`` of them; each event takes one."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst = float(burst)
        self._per_second = per_second
        self._tokens = float(burst)
        self._filled_at = time.monotonic()

    def _fill(self) -> None:
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now

    def take(self) -> bool:
        """Take a token if there is one."""
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def seconds_until_next(self) -> float:
        """Return how long until ``take`` succeeds."""
        self._fill()
        return max(0.0, (1 - self._tokens) / self._per_second)

    def reserve(self) -> float:
        """Take a token that may not be there yet; return in how many seconds it is."""
        self._fill()
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)
