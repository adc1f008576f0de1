"""Telling of what was judged: each connection with its number, and a flood of refusals as a count."""

from __future__ import annotations

import itertools

from tenterhook.egress import Judgement
from tenterhook.sandbox.gate.connections import Connection, Refusal, RefusedName, Report
from tenterhook.sandbox.gate.token_bucket import TokenBucket

REFUSED_BURST, REFUSED_PER_SECOND = 256, 10.0
"""Refusals of a process that are told singly. Allowed connections always are; the gate's rate bounds them."""


class Reporter:
    """Reports one kind of things of one process. Used by one thread alone."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._numbers = itertools.count(1)
        self._singly = TokenBucket(burst=REFUSED_BURST, per_second=REFUSED_PER_SECOND)
        self._unreported = 0

    def connection(
        self,
        judged: Judgement | Refusal,
        *,
        main_thread: bool,
        address: str,
        port: int,
        names: frozenset[str],
        errno: int,
        established: bool | None,
    ) -> int:
        """Tell of a connection; return its number."""
        number = next(self._numbers)
        allowed = isinstance(judged, Judgement)
        if allowed or self._take_single():
            self._report.connection(
                Connection(
                    sequence=number,
                    main_thread=main_thread,
                    address=address,
                    port=port,
                    names=tuple(sorted(names)),
                    allowed=allowed,
                    reported=isinstance(judged, Judgement) and judged.reported,
                    reason=str(judged.reason),
                    explanation=judged.explanation,
                    setting=judged.setting,
                    entry_to_add=judged.entry_to_add,
                    errno=errno,
                    established=established,
                )
            )
        return number

    def outcome(self, number: int, *, established: bool | None) -> None:
        """Tell what became of a connection."""
        self._report.outcome(number, established=established)

    def name(self, refused: RefusedName) -> None:
        """Tell of a name that was refused."""
        if self._take_single():
            self._report.refused_name(refused)

    def _take_single(self) -> bool:
        if not self._singly.take():
            self._unreported += 1
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Tell how many were not told singly."""
        if self._unreported:
            self._report.unreported(self._unreported)
            self._unreported = 0
