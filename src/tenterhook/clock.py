"""Time as a port: code that asks for the time takes a ``Clock``, so that tests own it.

Moments are timezone-aware UTC; durations are seconds. Leases and due times compare the *database's* clock, never
this one, because machines disagree.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Protocol


class Clock(Protocol):
    """Where moments and elapsed seconds come from."""

    def now(self) -> dt.datetime:
        """Return the present moment in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return seconds since an arbitrary start, never going back."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> dt.datetime:
        """Return the present moment in UTC."""
        return dt.datetime.now(dt.UTC)

    def monotonic_seconds(self) -> float:
        """Return seconds since an arbitrary start, never going back."""
        return time.monotonic()


def to_iso(moment: dt.datetime) -> str:
    """Render a moment as Auth0 does: ``2026-11-23T09:18:46.123Z`` (milliseconds, UTC)."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
