"""A run while it is open: what the process told about it so far, and in the end its ``Execution``.

    sent ─► started ─► called back ─► finished
      └────────┴────────────┴──► finished by the host: a limit, or the end of the process

Everything is bounded here too, whatever the runtime inside promises: console bytes, calls, notes. The values of
secrets are masked as things come in (``sandbox.masking``): what is kept and what observers are shown never holds one.
The one exception is ``Observer.on_answer``. ``finish`` is idempotent; the first end stands.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from typing import Any

import structlog

from tenterhook.clock import Clock
from tenterhook.sandbox.connections import LONGEST_NAME, ConnectionLedger
from tenterhook.sandbox.execution import (
    Call,
    ConnectionAttempt,
    ConsoleLine,
    ErrorCode,
    Execution,
    HookError,
    Observer,
    Outcome,
    Verdict,
)
from tenterhook.sandbox.explaining import explained, limit_met
from tenterhook.sandbox.limits import Confinement, LimitHit, Limits, result_size
from tenterhook.sandbox.masking import masker_of
from tenterhook.sandbox.protocol import Fields, ProtocolViolation
from tenterhook.sandbox.script import Invocation, Script
from tenterhook.sandbox.storage import Storage

_log = structlog.get_logger(__name__)

_MAX_CALLS = 512
_MAX_NOTES = 32
_LINE_OVERHEAD_BYTES = 32
_LONGEST_LINE = 65_536


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
        confinement: Confinement | None = None,
    ) -> None:
        """Open a run. With its process's ``confinement`` its notes say which of those limits it met."""
        self.script = script
        self.invocation = invocation
        self.limits = limits
        self.storage = storage
        self.result: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        self.questions = 0
        self.exhausted = False
        """When it is finished: it met a limit of its process, of which others may now have too little left."""
        self.asked_bytes = 0
        """What it sent to its storage."""
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
        self._connections: tuple[ConnectionAttempt, ...] = ()
        self._masker = masker_of(invocation.webtask.secrets)
        self._ledger: tuple[ConnectionLedger, int] | None = None
        self._notes: list[str] = []
        self._limit: LimitHit | None = None
        self._confinement = confinement

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

    def joins(self, ledger: ConnectionLedger, number: int) -> None:
        """It is sent to the process whose connections the ledger keeps."""
        ledger.opened(number, at=self._clock.monotonic_seconds())
        self._ledger = (ledger, number)

    @property
    def is_complete(self) -> bool:
        """Whether all its connections are known; if not, records are still on their way from the gate."""
        return self._ledger is None or self._ledger[0].is_complete(self._ledger[1])

    def receive(self, kind: str, fields: Fields) -> bool:  # noqa: PLR0911 - one for each kind of message
        """Take a message that only adds to what is known; False if it was of no use (too late, beyond a bound)."""
        match kind:
            case "console":
                return self.on_console(fields)
            case "call":
                return self.on_call(fields)
            case "connection":
                return self._on_connection(fields)
            case "lookup":
                return self._on_lookup(fields)
            case "late_error":
                return self.on_late_error(fields)
            case "failed":
                return self.on_failed(fields)
            case "note":
                return self.note(fields.text("text", longest=1000))
            case _:
                raise ProtocolViolation("an unknown type")

    def on_started(self) -> None:
        """The module's first line is about to run."""
        now = self._clock.now()
        self._started = (now, self._clock.monotonic_seconds())
        if self._ledger is not None:
            self._ledger[0].started(self._ledger[1], at=self._started[1])
        if self._observer is not None:
            self._observer.on_started(now)

    def on_console(self, fields: Fields) -> bool:
        """Keep a console line; False where there is no room (the runtime would not have sent it)."""
        if self._console_room <= -_LINE_OVERHEAD_BYTES:
            return False
        room = max(0, self._console_room)
        cut = fields.boolean("truncated")
        whole = fields.text("text", longest=_LONGEST_LINE)
        # Masked before it is cut here; inside it may have been cut through a secret.
        shown = self._masker.cut_text(whole) if cut else self._masker.text(whole)
        text = shown.encode()[:room].decode(errors="ignore")
        self._console_room -= len(text.encode()) + _LINE_OVERHEAD_BYTES
        line = ConsoleLine(
            offset_ms=fields.number("offset_ms"),
            level=fields.text("level", longest=16),
            text=text,
            truncated=cut or len(text) < len(shown) or self._console_room <= -_LINE_OVERHEAD_BYTES,
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
            answer = Verdict(error=fields.error())
            verdict = Verdict(error=None if answer.error is None else self._masker.error(answer.error))
        else:
            answer = Verdict(result=fields.message.get("result"))
            verdict = Verdict(result=self._masker.json(answer.result))
        self._called_back = (self._clock.now(), self._clock.monotonic_seconds())
        self._verdict = verdict
        if answer.error is not None and answer.error.code == ErrorCode.RESULT_TOO_LARGE:
            self._limit = result_size(self.limits)
        if self._observer is not None:
            self._observer.on_answer(answer)
            self._observer.on_called_back(verdict)
        return True

    def on_late_error(self, fields: Fields) -> bool:
        """Keep the first late error, note the others."""
        error = self._masker.error(fields.error())
        if self._late_error is None:
            self._late_error = error
            return True
        return self.note(f"Another late error: {error.message[:500]}")

    def on_failed(self, fields: Fields) -> bool:
        """Keep why the script could not be loaded; False where that is known."""
        if self._could_not_start is not None:
            return False
        self._could_not_start = self._masker.error(fields.error())
        return True

    def on_call(self, fields: Fields) -> bool:
        """Keep an outgoing call."""
        if len(self._calls) >= _MAX_CALLS:
            return False
        call = Call(
            offset_ms=fields.number("offset_ms"),
            method=self._masker.text(fields.text("method", longest=32)),
            host=self._masker.cut_text(fields.text("host", longest=256)),
            path=self._masker.cut_text(fields.text("path", longest=1024)),
            status=fields.integer_or_none("status"),
            milliseconds=fields.number_or_none("milliseconds"),
            error=self._masker.text_or_none(fields.text_or_none("error", longest=256)),
            open_at_callback=fields.boolean("open_at_callback"),
            bytes_sent=fields.integer_or_none("bytes_sent"),
            bytes_received=fields.integer_or_none("bytes_received"),
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
        self._notes.append(self._masker.text(text))
        return True

    def _on_connection(self, fields: Fields) -> bool:
        if self._ledger is None:
            return False
        ledger, number = self._ledger
        return ledger.claim(
            number,
            fields.text("address", longest=64),
            fields.integer("port"),
            offset_ms=fields.number("offset_ms"),
        )

    def _on_lookup(self, fields: Fields) -> bool:
        if self._ledger is None:
            return False
        ledger, number = self._ledger
        return ledger.asks_name(
            number, fields.text("name", longest=256), offset_ms=fields.number("offset_ms")
        )

    def _take_connections(self) -> tuple[ConnectionAttempt, ...]:
        if self._ledger is None:
            return ()
        ledger, number = self._ledger
        taken, unlisted = ledger.take(number)
        if unlisted:
            self.note(f"{unlisted} more connections were tried than are listed.")
        return tuple(self._masked(attempt) for attempt in taken)

    def _masked(self, attempt: ConnectionAttempt) -> ConnectionAttempt:
        """Mask what a hook can put a secret into: the names it asks for, and with them what is said of them."""
        return dataclasses.replace(
            attempt,
            address=self._masker.text_or_none(attempt.address),
            names=tuple(map(self._masked_name, attempt.names)),
            explanation=self._masker.text(attempt.explanation),
            entry_to_add=self._masker.text_or_none(attempt.entry_to_add),
        )

    def _masked_name(self, name: str) -> str:
        return self._masker.text(name) if len(name) < LONGEST_NAME else self._masker.cut_text(name)

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
        try:
            execution = self._execution(outcome, error=error, limit=limit, suspect=suspect)
        except Exception:  # noqa: BLE001 - a run without an end would keep its caller, and its place, for ever
            _log.exception("sandbox_run_not_described", run_id=self.invocation.run_id)
            execution = self._bare_execution()
        self.result.set_result(execution)

    def _bare_execution(self) -> Execution:
        """Return the little that cannot fail to be said."""
        return Execution(
            run_id=self.invocation.run_id,
            attempt=self.invocation.attempt,
            outcome=Outcome.INTERRUPTED,
            verdict=None,
            error=HookError(
                name="Error",
                message="What came of the hook could not be described; the server's log says why.",
                code=ErrorCode.PROCESS_ENDED,
            ),
            console=(),
            calls=(),
            connections=(),
            notes=(),
            limit=None,
            started_at=None if self._started is None else self._started[0],
            called_back_at=None,
            settled_at=self._clock.now(),
            milliseconds_to_start=None,
            milliseconds_to_callback=None,
            milliseconds_to_settled=0.0,
        )

    def _execution(
        self, outcome: Outcome, *, error: HookError | None, limit: LimitHit | None, suspect: bool
    ) -> Execution:
        self._connections = self._take_connections()
        met = None if self._confinement is None else limit_met(self._confinement, error, self._connections)
        self.exhausted = met is not None
        if met is not None:
            self.note(f"Met the {met}.")
        error = None if error is None else explained(error, self._connections)
        now, moment = self._clock.now(), self._clock.monotonic_seconds()
        origin = self._started[1] if self._started is not None else self._asked_at
        return Execution(
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
