"""What came of an attempt, as a value that knows nothing of processes.

    started ─► called back (the verdict) ─► settled: nothing it started is open any more
        │                                      └ or its grace period is over: timed out
        └ never: could not start (compile error, missing module)

Moments are UTC; ``offset_ms`` and milliseconds count from ``started_at``. Text from the hook is cleaned of lone
surrogates and NUL (PostgreSQL takes neither) and of the values of secrets; everything here is the hook's word except outcome, limit and times.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping
from typing import Protocol

from tenterhook.sandbox.limits import LimitHit
from tenterhook.sandbox.script import Json


class Outcome(enum.StrEnum):
    """How an attempt ended."""

    OK = "ok"
    """``cb`` without an error, and everything came to its end."""
    OK_WITH_FAILED_CALLS = "ok_with_failed_calls"
    """``cb`` without an error, but HTTP calls open at that moment failed afterwards, and nobody threw."""
    ERROR = "error"
    """``cb(error)``, a throw or a rejection, also late and unhandled; or it ended and can never call ``cb``."""
    TIMED_OUT = "timed_out"
    """No ``cb`` within the wall time, or work still open when the grace period was over; see ``limit``."""
    KILLED = "killed"
    """Its process was ended because of this run; ``limit`` says which limit, if it was one."""
    COULD_NOT_START = "could_not_start"
    """The script does not compile, exports no function, or a module cannot be loaded: no user function ran."""
    INTERRUPTED = "interrupted"
    """Its process ended through no proven fault of this run, or the pool was closed; see ``suspect``."""


class ErrorCode(enum.StrEnum):
    """Errors that the sandbox itself finds; a hook's own errors carry whatever ``code`` they like."""

    COMPILE_FAILED = "COMPILE_FAILED"
    """Syntax error, or a throw while the module loaded."""
    NOT_A_FUNCTION = "NOT_A_FUNCTION"
    """``module.exports`` is something else."""
    MODULE_NOT_FOUND = "MODULE_NOT_FOUND"
    """``require`` of a module that is neither built in nor declared."""
    MODULE_FAILED = "MODULE_FAILED"
    """A declared module is there but cannot be loaded."""
    CALLBACK_MISSING = "CALLBACK_MISSING"
    """Nothing is open any more and ``cb`` was never called."""
    NOT_SERIALIZABLE = "NOT_SERIALIZABLE"
    """The answer cannot be written as JSON (circular, BigInt)."""
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    """The answer is beyond ``Limits.result_bytes``."""
    NOT_AVAILABLE = "NOT_AVAILABLE"
    """``process.exit`` and its like."""
    TIMED_OUT = "TIMED_OUT"
    """A time limit."""
    PROCESS_ENDED = "PROCESS_ENDED"
    """The process that the run lived in ended."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HookError:
    """An error as the hook (or the sandbox) reported it."""

    name: str
    """``Error``, ``TypeError``, ``PreUserRegistrationError``, …"""
    message: str
    stack: str | None = None
    """With the author's line numbers; None where there is none."""
    code: str | None = None
    """An ``ErrorCode``, or the error's own ``code``."""
    properties: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    """Own enumerable properties besides those above: ``friendlyMessage``, ``statusCode``, ``error_description``, …"""

    def to_wire(self) -> dict[str, Json]:
        """Return it as the original put it on the wire: ``{stack, message, …own properties}``; a name if not Error."""
        wire: dict[str, Json] = dict(self.properties)
        if self.stack is not None:
            wire["stack"] = self.stack
        wire["message"] = self.message
        if self.name != "Error":
            wire["name"] = self.name
        if self.code is not None:
            wire["code"] = self.code
        return wire


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the first ``cb`` said (or the throw that came before it)."""

    error: HookError | None = None
    result: Json = None
    """The second argument of ``cb``; ``{}`` where that was empty. None when there is an error."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConsoleLine:
    """One console call, or one write to stdout or stderr."""

    offset_ms: float
    level: str
    """``log``, ``info``, ``warn``, ``error``, ``debug``, ``trace``, ``dir``, ``table``, ``stdout``, ``stderr``."""
    text: str
    truncated: bool = False
    """Something of this line, or after it, was cut."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """One outgoing HTTP request, from Node's diagnostics channels."""

    offset_ms: float
    method: str
    host: str
    """With its port, when that is not the scheme's own."""
    path: str
    """Without query and fragment, which may carry secrets."""
    status: int | None = None
    """None when no answer came."""
    milliseconds: float | None = None
    """To the end of the answer, or to the failure; None when it never ended."""
    error: str | None = None
    """Why it failed, for example ``ECONNREFUSED``."""
    open_at_callback: bool = False
    """It was still going on when ``cb`` was called."""
    bytes_sent: int | None = None
    """Of the request's body; None where that is not known."""
    bytes_received: int | None = None
    """Of the answer's body, before it is decompressed; None where that is not known."""

    @property
    def failed(self) -> bool:
        """Whether no usable answer came: no answer at all, or a status of 400 and up."""
        return self.error is not None or self.status is None or self.status >= 400


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConnectionAttempt:
    """One outgoing connection that it tried to open, or one name that DNS refused; see ``sandbox.connections``."""

    offset_ms: float
    address: str | None
    """None where it is a name that was refused."""
    port: int | None
    """None where it is a name that was refused."""
    names: tuple[str, ...] = ()
    """The host names that had led to the address, newest first."""
    allowed: bool
    """Whether the egress policy let it pass; the verdict is the gate's, not the hook's word."""
    reason: str
    """The policy's word for it: ``public``, ``private``, ``not_listed``, …; ``unjudged`` without a gate."""
    explanation: str = ""
    """The reason as a sentence."""
    setting: str | None = None
    """The setting that would allow it, where it was refused and can be allowed."""
    entry_to_add: str | None = None
    """What to add to that setting."""
    reported: bool = False
    """Allowed only because the hook's list is in report mode."""
    error: str | None = None
    """The errno's name that the hook saw at once, for example ``EACCES``."""
    established: bool | None = None
    """Whether it came about; None where that is not known."""
    shared: bool = False
    """Made by native code or another thread while several runs were open: it may be another's of these."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
    """One attempt, settled."""

    run_id: str
    attempt: int
    outcome: Outcome
    verdict: Verdict | None
    """None when neither ``cb`` nor an error came before the end. Secrets are masked here as everywhere."""
    error: HookError | None
    """Why the outcome is not ok; also the first late error after a good verdict."""
    console: tuple[ConsoleLine, ...]
    calls: tuple[Call, ...]
    """In the order of their ends; calls that never ended come last."""
    connections: tuple[ConnectionAttempt, ...]
    """Outgoing connections it tried to open, whatever the protocol, and names that DNS refused; oldest first."""
    notes: tuple[str, ...]
    """Remarks for the reader: ``cb`` called twice, settled by force, a limit of its process that it met, …"""
    limit: LimitHit | None
    """The limit that ended it, if one did."""
    started_at: dt.datetime | None
    """Just before the module's first line; None when it never came so far."""
    called_back_at: dt.datetime | None
    settled_at: dt.datetime
    milliseconds_to_start: float | None
    """From ``run()`` to the start: waiting line and cold start included."""
    milliseconds_to_callback: float | None
    """From the start."""
    milliseconds_to_settled: float
    """From the start, or from ``run()`` when it never started."""
    suspect: bool = False
    """With ``INTERRUPTED``: it may be the one that brought its process down; run it again ``alone``."""
    unsandboxed: bool = False
    """It ran without a sandbox, because the operator allows that; see ``sandbox.status``."""

    @property
    def refused(self) -> tuple[ConnectionAttempt, ...]:
        """What the egress policy refused."""
        return tuple(attempt for attempt in self.connections if not attempt.allowed)


class Observer(Protocol):
    """Who wants to see a run while it happens; called on the event loop, must not block or raise.

    Secrets are masked in all but ``on_answer``, which is for who acts on the answer and shows it to nobody.
    """

    def on_started(self, at: dt.datetime) -> None:
        """The module's first line is about to run."""
        ...

    def on_console(self, line: ConsoleLine) -> None:
        """A console line was written."""
        ...

    def on_answer(self, answer: Verdict) -> None:
        """``cb`` was called: the verdict word for word."""
        ...

    def on_called_back(self, verdict: Verdict) -> None:
        """``cb`` was called, or an error came in its place."""
        ...

    def on_call(self, call: Call) -> None:
        """An outgoing HTTP request ended."""
        ...
