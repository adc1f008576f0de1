"""One Node process, and the runs that are open in it.

    starting ─► ready ─► draining (takes no more runs) ─► ended
                  └──────────────┴─── killed ────────────┘

It starts as nobody's (a warm one) or as a tenant's; once it has been given to a tenant it is never another's. What the
tenant's runs need (module sets, the policy for connections) is asked for before the first of them starts. It is drained when a run in it outlived a limit, because that run's code
may still be there, and killed when it is idle then, does not answer, breaks the protocol or is no longer wanted. Its end
is told by the supervisor, so nothing here waits in a system call.

Who is to blame when the process ends or blocks: the only started run is; among several nobody can tell, so they are
*suspects* (``INTERRUPTED``, ``suspect``), to be run again alone. So is a single run whose process was killed from
outside; alone in its process, it is to blame.
"""

from __future__ import annotations

import asyncio
import enum
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, cast

import structlog

from tenterhook.clock import Clock
from tenterhook.sandbox import limits as limit_hits
from tenterhook.sandbox.belongings import Belongings
from tenterhook.sandbox.child import Child, Exit, SandboxUnavailableError
from tenterhook.sandbox.connections import WAIT_SECONDS, ConnectionLedger, GateRecord
from tenterhook.sandbox.ending import Death, LastWords, blamed_scripts, finish_overdue, finish_runs
from tenterhook.sandbox.ground import Layout
from tenterhook.sandbox.intake import Intake
from tenterhook.sandbox.limits import LimitHit
from tenterhook.sandbox.open_run import OpenRun
from tenterhook.sandbox.protocol import Fields, FrameDecoder, ProtocolViolation, encode
from tenterhook.sandbox.storage_questions import StorageQuestions

_log = structlog.get_logger(__name__)

CLOSING = "the sandbox was closed"
"""Why processes end with their pool; no run is to blame."""
READY_SECONDS = 30.0
"""Longest cold start: a quarter of a second on a quiet machine."""
ANSWER_SECONDS = 1.0
"""A process that does not answer for so long after a limit was hit is blocked."""
_STATUS_SECONDS = 0.2
_MAX_SCRIPTS = 128
_MAX_USELESS_FRAMES = 10_000
_MAX_USELESS_BYTES = 4 * 1024 * 1024
_TURN_SECONDS = 0.002
_MAX_UNREAD_BYTES = 64 * 1024 * 1024
"""What we hold for a process that does not read; an honest one is busy for a while and then reads all of it."""


class State(enum.Enum):
    """Where a process is in its life."""

    STARTING = enum.auto()
    READY = enum.auto()
    DRAINING = enum.auto()
    ENDED = enum.auto()


class NodeProcess(asyncio.Protocol):
    """Talks with one process. Made on the event loop; ``modules`` are the sets that it was started with."""

    def __init__(
        self,
        child: Child,
        layout: Layout,
        *,
        modules: frozenset[str],
        alone: bool,
        gated: bool,
        memory_bytes: int,
        threads: int,
        max_frame_bytes: int,
        clock: Clock,
        on_change: Callable[[NodeProcess], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.state = State.STARTING
        self.alone = alone
        self.idle_since = clock.monotonic_seconds()
        self.runs: dict[int, OpenRun] = {}
        self.ready: asyncio.Future[str] = loop.create_future()
        self.ledger = ConnectionLedger(gated=gated)
        self.belongings = Belongings(child, layout, modules, on_failure=self.drain)
        self._loop = loop
        self._child = child
        self._layout = layout
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._clock = clock
        self._on_change = on_change
        self._intake = Intake(
            FrameDecoder(max_frame_bytes=max_frame_bytes),
            receive=self._receive,
            violated=self._on_violation,
            stuck=self.drain,
        )
        self._transport: asyncio.Transport | None = None
        self._is_open = False
        self._last_number = 0
        self._scripts: OrderedDict[str, None] = OrderedDict()
        self._useless_frames = 0
        self._useless_bytes = 0
        self._last_words = LastWords(child.errors)
        self._ready_timer = loop.call_later(READY_SECONDS, self._on_not_ready)
        self._why: str | None = None
        self._storage_questions = StorageQuestions(
            send=self._send, unread_bytes=self._unread_bytes, violated=self._on_violation
        )
        self._settled: dict[int, asyncio.TimerHandle] = {}
        self._failure: str | None = None
        self._excused = False
        self._broke_rules = False
        self.blamed: frozenset[str] = frozenset()
        """When it has ended: the scripts of which one brought it down."""
        child.on_event = self._on_gate
        child.exited.add_done_callback(lambda exited: self._on_exit(exited.result()))

    async def open(self) -> None:
        """Connect the channel; ``ready`` is done when the runtime inside says so, or failed with the process's end."""
        if self.state is State.ENDED:
            self._child.channel.close()
            return
        # From here on the socket is the transport's alone: uvloop aborts the whole program when it is closed under it, and
        # forgets it when the transport ends before this has returned.
        await self._loop.create_connection(lambda: self, sock=self._child.channel)
        self._is_open = True
        if self._child.exited.done():
            self._abort_transport()

    def _on_violation(self, why: str) -> None:
        self.kill(f"it broke the protocol: {why}", broke_rules=True)

    def _abort_transport(self) -> None:
        if self._is_open and self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _on_not_ready(self) -> None:
        if not self.ready.done():
            self.kill("it did not become ready in time")

    @property
    def pid(self) -> int | None:
        """Its number on the host; None until it is there."""
        return self._child.pid

    @property
    def runs_begun(self) -> int:
        """How many runs it was sent so far."""
        return self._last_number

    @property
    def accepts(self) -> bool:
        """Whether it takes runs."""
        return self.state in {State.STARTING, State.READY}

    # -- Runs

    def start(self, run: OpenRun) -> int:
        """Send a run; the process must be ready. Returns its number here."""
        script = run.script
        require_map = {name: self._layout.inside(path) for name, path in script.require_map.items()}
        number = self._last_number + 1
        message = run.to_message(number)
        known = script.key in self._scripts
        if not known:
            message["script"] = {
                "source": script.source,
                "file_name": script.file_name,
                "error_classes": list(script.error_classes),
                "require_map": require_map,
            }
        frame = encode(message)  # may refuse an argument; nothing has changed so far
        self._last_number = number
        self.runs[number] = run
        self._scripts[script.key] = None
        self._scripts.move_to_end(script.key)
        if len(self._scripts) > _MAX_SCRIPTS:
            forgotten, _ = self._scripts.popitem(last=False)
            self._send({"type": "forget", "key": forgotten})
        run.joins(self.ledger, number)
        # Until it has started, what runs beside it may block it; that one meets its own limit first.
        run.timer = self._loop.call_later(
            run.limits.wall_seconds + ANSWER_SECONDS * 5,
            self._on_limit,
            number,
            limit_hits.wall_time(run.limits),
        )
        self._write(frame)
        return number

    def abandon(self, number: int) -> None:
        """The caller wants no answer any more: end the run's work and take no more runs."""
        run = self.runs.get(number)
        if run is None:
            return
        if run.timer is not None:
            run.timer.cancel()
        self.ledger.take(number)
        self._send({"type": "abandon", "run": number})
        self.state = State.DRAINING
        self._remove(number)

    def drain(self) -> None:
        """Take no more runs; end when the last open one is over."""
        if self.state in {State.STARTING, State.READY}:
            self.state = State.DRAINING
        if not self.runs:
            self.kill("it was drained")

    def kill(self, why: str, *, broke_rules: bool = False, excused: bool = False) -> None:
        """End it now; its runs are finished when its end has been seen. See ``ending.Death`` for the two kinds."""
        if self.state is State.ENDED:
            return
        self.state = State.DRAINING
        if self._why is None:
            self._why, self._broke_rules, self._excused = why, broke_rules, excused
        self._child.kill()

    def _remove(self, number: int) -> None:
        del self.runs[number]
        waiting = self._settled.pop(number, None)
        if waiting is not None:
            waiting.cancel()
        if not self.runs:
            self.idle_since = self._clock.monotonic_seconds()
            if self.state is State.DRAINING:
                self.kill("it was drained")
        self._on_change(self)

    # -- Limits

    def _on_limit(self, number: int, limit: LimitHit) -> None:
        """A time limit passed: give the run up, and see whether the process still answers."""
        run = self.runs.get(number)
        if run is None:
            return
        self.state = State.DRAINING
        run.timer = self._loop.call_later(ANSWER_SECONDS, self._on_no_answer, number)
        run.overdue = limit
        self._send({"type": "abandon", "run": number})
        self._on_change(self)

    def _on_no_answer(self, number: int) -> None:
        if number in self.runs:
            self.kill("its event loop was blocked", broke_rules=True)

    # -- The channel

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        # A cast, no check: uvloop's transports have the methods but not the class.
        self._transport = cast("asyncio.Transport", transport)
        self._intake.attach(self._transport)

    def data_received(self, data: bytes) -> None:
        """Take what the process sent (asyncio calls this)."""
        if self._why is None:
            self._intake.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a process that closed its channel (asyncio calls this)."""
        del exc
        self._transport = None
        if self.state is not State.ENDED:
            # Mostly because it ended; its status, which comes at once, says more than this.
            self.state = State.DRAINING
            self._loop.call_later(_STATUS_SECONDS, self.kill, "it closed its channel")

    def _send(self, message: dict[str, Any]) -> int:
        frame = encode(message)
        self._write(frame)
        return len(frame)

    def _unread_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _write(self, frame: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(frame)
        if self._transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            self.kill("it does not read what it is sent")

    def _receive(self, message: dict[str, Any], frame_bytes: int) -> None:
        fields = Fields(message)
        kind = fields.message["type"]
        if kind == "ready":
            if self.ready.done():
                raise ProtocolViolation("ready twice")
            if self.state is State.STARTING:
                self.state = State.READY
            self._ready_timer.cancel()
            self.ready.set_result(fields.text("node", longest=32))
            return
        number = fields.integer("run")
        if not 1 <= number <= self._last_number:
            raise ProtocolViolation("a run that was never sent")
        run = self.runs.get(number)
        if run is None or not self._deliver(kind, number, run, fields, frame_bytes):
            # Too late, or beyond a bound: harmless now and then, a flood is not.
            self._useless_frames += 1
            self._useless_bytes += frame_bytes
            if self._useless_frames > _MAX_USELESS_FRAMES or self._useless_bytes > _MAX_USELESS_BYTES:
                raise ProtocolViolation("a flood of frames without use")

    def _deliver(self, kind: str, number: int, run: OpenRun, fields: Fields, frame_bytes: int) -> bool:
        """Hand a message to its run; False if it was of no use."""
        match kind:
            case "started":
                if run.started:
                    return False
                run.on_started()
                self._rearm(number, run, run.limits.wall_seconds, limit_hits.wall_time(run.limits))
            case "called_back":
                if not run.on_called_back(fields):
                    return False
                self._rearm(number, run, run.limits.grace_seconds, limit_hits.grace(run.limits))
            case "settled":
                if number in self._settled:
                    return False
                if run.is_complete and not self.ledger.went_out(number):
                    self._finish(number)
                elif run.is_complete:
                    # A refused name is told by the supervisor alone, over a socket that is read in its turn.
                    self._settled[number] = self._loop.call_later(_TURN_SECONDS, self._finish, number)
                else:  # what the gate saw of it is still on its way
                    self._settled[number] = self._loop.call_later(WAIT_SECONDS, self._finish, number)
            case "storage_get" | "storage_set":
                return self._storage_questions.take(kind, run, fields, frame_bytes)
            case _:
                return run.receive(kind, fields)
        return True

    def _finish(self, number: int) -> None:
        run = self.runs.get(number)
        if run is None:
            return
        if run.overdue is not None:
            finish_overdue(run, run.overdue)
        else:
            run.finish_settled()
        if run.exhausted:
            self.state = (
                State.DRAINING
            )  # a hook may leave open what it opened: the next must not be its victim
        self._remove(number)

    def _rearm(self, number: int, run: OpenRun, seconds: float, limit: LimitHit) -> None:
        if run.overdue is not None:
            return
        if run.timer is not None:
            run.timer.cancel()
        run.timer = self._loop.call_later(seconds, self._on_limit, number, limit)

    # -- The gate

    def _on_gate(self, message: Mapping[str, Any]) -> None:
        """Take what the supervisor says that the process tried."""
        fields = {name: value for name, value in message.items() if name not in {"event", "id"}}
        match message["event"]:
            case "connection" | "name":
                self.ledger.record(GateRecord.from_json(fields), at=self._clock.monotonic_seconds())
            case "outcome":
                self.ledger.outcome(**fields)
            case "unreported":
                self.ledger.unreported(fields["refused"])
            case "failure":
                self._failure = fields["error"]
            case "broken":
                _log.error("sandbox_gate_failed", pid=self.pid, error=fields["error"])
                self.kill("its connect gate failed", excused=True)
        for number in [each for each in self._settled if self.runs[each].is_complete]:
            self._finish(number)

    # -- The end

    def _on_exit(self, end: Exit) -> None:
        """The process has ended: finish its runs, and let go of what was held for it."""
        # What it sent before its end may still be in the channel; a violation in it changes nothing any more.
        self._last_words.close()
        self._intake.drain()
        self._intake.close()
        self._abort_transport()
        self.state = State.ENDED
        self._ready_timer.cancel()
        self._storage_questions.close()
        for waiting in self._settled.values():
            waiting.cancel()
        self._settled.clear()
        death = Death(
            end=end,
            why=self._why,
            excused=self._excused or self._why == CLOSING,
            broke_rules=self._broke_rules,
            alone=self.alone,
            last_words=self._last_words.text,
            memory_bytes=self._memory_bytes,
            threads=self._threads,
        )
        runs, self.runs = list(self.runs.values()), {}
        self.blamed = blamed_scripts(runs, death, next(reversed(self._scripts), None))
        finish_runs(runs, death)
        if self._why is None or self._broke_rules or self._excused:
            _log.info(
                "sandbox_process_ended",
                pid=self.pid,
                why=death.description,
                open_runs=len(runs),
                scripts=sorted(self.blamed),
            )
        if not self.ready.done():
            last = self._failure or death.last_line or death.description
            self.ready.set_exception(SandboxUnavailableError(f"A process for hooks could not start: {last}"))
            self.ready.exception()  # whoever waits gets it; nobody waiting is no fault
        self._on_change(self)
