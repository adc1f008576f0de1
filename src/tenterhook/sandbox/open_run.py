"""A run while it is open: what the process told about it so far, and in the end its ``Execution``.

    sent ─► started ─► called back ─► finished
      └────────┴────────────┴──► finished by the host: a limit, or the end of the process

Everything is bounded here too, whatever the runtime inside promises: console bytes, calls, notes. ``finish`` is
idempotent; the first end stands.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from tenterhook.clock import Clock
from tenterhook.sandbox.execution import (
    Call,
    ConsoleLine,
    ErrorCode,
    Execution,
    HookError,
    Observer,
    Outcome,
    Verdict,
)
from tenterhook.sandbox.limits import LimitHit, Limits, result_size
from tenterhook.sandbox.protocol import Fields
from tenterhook.sandbox.script import Invocation, Script
from tenterhook.sandbox.storage import Storage

_MAX_CALLS = 512
_MAX_NOTES = 32
_LINE_OVERHEAD_BYTES = 32


class OpenRun:
    """One run in a process; owned by its process until ``result`` is done."""

    def __init__(
        self,
        script: Script,
        invocation: Invocation,
        *,
        limits: Limits,
        storage: Storage | None,
        observer: Observer | None,
        clock: Clock,
    ) -> None:
        self.script = script
        self.invocation = invocation
        self.limits = limits
        self.storage = storage
        self.result: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        self.questions = 0
        self.timer: asyncio.TimerHandle | None = None
        self.overdue: LimitHit | None = None
        """The time limit that passed; the process has been told to give the run up."""
        self._observer = observer
        self._clock = clock
        self._asked_at = clock.monotonic_seconds()
        self._started: tuple[dt.datetime, float] | None = None
        self._called_back: tuple[dt.datetime, float] | None = None
        self._verdict: Verdict | None = None
        self._late_error: HookError | None = None
        self._could_not_start: HookError | None = None
        self._console: list[ConsoleLine] = []
        self._console_room = limits.console_bytes
        self._calls: list[Call] = []
        self._connections = 0
        self._notes: list[str] = []
        self._limit: LimitHit | None = None

    def to_message(self, number: int) -> dict[str, Any]:
        """Return what the process is told to run it under that number; its script is added where it is not known."""
        invocation, limits = self.invocation, self.limits
        context_index, webtask = invocation.context_index, invocation.webtask
        return {
            "type": "run",
            "run": number,
            "key": self.script.key,
            "id": invocation.run_id,
            "attempt": invocation.attempt,
            "arguments": invocation.arguments,
            "context_index": len(invocation.arguments) - 1 if context_index is None else context_index,
            "webtask": {
                "secrets": dict(webtask.secrets),
                "params": dict(webtask.params),
                "data": None if webtask.data is None else dict(webtask.data),
                "body": webtask.body,
                "meta": dict(webtask.meta),
                "query": dict(webtask.query),
                "headers": dict(webtask.headers),
            },
            "console_bytes": limits.console_bytes,
            "result_bytes": limits.result_bytes,
            "storage_bytes": limits.storage_bytes,
        }

    @property
    def started(self) -> bool:
        """Whether the process said that it begins."""
        return self._started is not None

    @property
    def called_back(self) -> bool:
        """Whether the verdict is there."""
        return self._called_back is not None

    def on_started(self) -> None:
        """The module's first line is about to run."""
        now = self._clock.now()
        self._started = (now, self._clock.monotonic_seconds())
        if self._observer is not None:
            self._observer.on_started(now)

    def on_console(self, fields: Fields) -> bool:
        """Keep a console line; False where there is no room (the runtime would not have sent it)."""
        if self._console_room <= -_LINE_OVERHEAD_BYTES:
            return False
        room = max(0, self._console_room)
        text = fields.text("text", longest=room).encode()[:room].decode(errors="ignore")
        self._console_room -= len(text.encode()) + _LINE_OVERHEAD_BYTES
        line = ConsoleLine(
            offset_ms=fields.number("offset_ms"),
            level=fields.text("level", longest=16),
            text=text,
            truncated=fields.boolean("truncated") or self._console_room <= -_LINE_OVERHEAD_BYTES,
        )
        self._console.append(line)
        if self._observer is not None:
            self._observer.on_console(line)
        return True

    def on_called_back(self, fields: Fields) -> bool:
        """Keep the verdict; False where there is one."""
        if self._called_back is not None:
            return False
        if "error" in fields.message:
            verdict = Verdict(error=fields.error())
        else:
            verdict = Verdict(result=fields.message.get("result"))
        self._call_back(verdict)
        return True

    def _call_back(self, verdict: Verdict) -> None:
        self._called_back = (self._clock.now(), self._clock.monotonic_seconds())
        self._verdict = verdict
        if verdict.error is not None and verdict.error.code == ErrorCode.RESULT_TOO_LARGE:
            self._limit = result_size(self.limits)
        if self._observer is not None:
            self._observer.on_called_back(verdict)

    def on_late_error(self, fields: Fields) -> bool:
        """Keep the first late error, note the others."""
        error = fields.error()
        if self._late_error is None:
            self._late_error = error
            return True
        return self.note(f"Another late error: {error.message[:500]}")

    def on_failed(self, fields: Fields) -> None:
        """The script could not be loaded."""
        self._could_not_start = fields.error()

    def on_call(self, fields: Fields) -> bool:
        """Keep an outgoing call."""
        if len(self._calls) >= _MAX_CALLS:
            return False
        call = Call(
            offset_ms=fields.number("offset_ms"),
            method=fields.text("method", longest=32),
            host=fields.text("host", longest=256),
            path=fields.text("path", longest=1024),
            status=None if fields.message.get("status") is None else fields.integer("status"),
            milliseconds=fields.number_or_none("milliseconds"),
            error=fields.text_or_none("error", longest=256),
            open_at_callback=fields.boolean("open_at_callback"),
        )
        self._calls.append(call)
        if len(self._calls) == _MAX_CALLS:
            self.note(f"Only the first {_MAX_CALLS} outgoing calls are kept.")
        if self._observer is not None:
            self._observer.on_call(call)
        return True

    def note(self, text: str) -> bool:
        """Keep a remark for the reader."""
        if len(self._notes) >= _MAX_NOTES:
            return False
        self._notes.append(text)
        return True

    def on_settled(self, fields: Fields) -> None:
        """Nothing is open any more: the process's own last word."""
        self._connections = fields.integer("connections")

    def finish_settled(self) -> None:
        """End as the verdict and what came after it say."""
        if self._could_not_start is not None:
            self.finish(Outcome.COULD_NOT_START, error=self._could_not_start)
            return
        error = (self._verdict.error if self._verdict is not None else None) or self._late_error
        if self._verdict is None and error is None:
            # Our runtime never says so; a hook that forges its own end gets the explanation that fits.
            error = HookError(
                name="Error", message="The hook ended without calling cb.", code=ErrorCode.CALLBACK_MISSING
            )
        if error is not None:
            self.finish(Outcome.ERROR, error=error)
        elif any(call.failed and call.open_at_callback for call in self._calls):
            self.finish(Outcome.OK_WITH_FAILED_CALLS)
        else:
            self.finish(Outcome.OK)

    def finish(
        self,
        outcome: Outcome,
        *,
        error: HookError | None = None,
        limit: LimitHit | None = None,
        suspect: bool = False,
    ) -> None:
        """Make the ``Execution``, unless it is there."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.result.done():
            return
        now, moment = self._clock.now(), self._clock.monotonic_seconds()
        origin = self._started[1] if self._started is not None else self._asked_at
        self.result.set_result(
            Execution(
                run_id=self.invocation.run_id,
                attempt=self.invocation.attempt,
                outcome=outcome,
                verdict=self._verdict,
                error=error,
                console=tuple(self._console),
                calls=tuple(self._calls),
                connections=self._connections,
                notes=tuple(self._notes),
                limit=limit or self._limit,
                started_at=None if self._started is None else self._started[0],
                called_back_at=None if self._called_back is None else self._called_back[0],
                settled_at=now,
                milliseconds_to_start=(
                    None if self._started is None else (self._started[1] - self._asked_at) * 1000
                ),
                milliseconds_to_callback=(
                    None if self._called_back is None else (self._called_back[1] - origin) * 1000
                ),
                milliseconds_to_settled=(moment - origin) * 1000,
                suspect=suspect,
            )
        )
