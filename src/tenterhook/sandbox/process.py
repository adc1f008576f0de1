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
import contextlib
import enum
import os
import signal
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, cast

from tenterhook import egress
from tenterhook.clock import Clock
from tenterhook.sandbox import limits as limit_hits
from tenterhook.sandbox.connections import WAIT_SECONDS, ConnectionLedger, GateRecord
from tenterhook.sandbox.execution import ErrorCode, HookError, Outcome
from tenterhook.sandbox.ground import Layout
from tenterhook.sandbox.intake import Intake
from tenterhook.sandbox.limits import LimitHit
from tenterhook.sandbox.open_run import OpenRun
from tenterhook.sandbox.protocol import Fields, FrameDecoder, ProtocolViolation, encode
from tenterhook.sandbox.storage_questions import ask
from tenterhook.sandbox.supervision import Child, Exit, SandboxUnavailableError

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
_MAX_QUESTIONS = 64
_MAX_UNREAD_BYTES = 64 * 1024 * 1024
"""What we hold for a process that does not read; an honest one is busy for a while and then reads all of it."""
_STDERR_BYTES = 16 * 1024
_CHUNK_BYTES = 64 * 1024
_OUT_OF_MEMORY = (b"heap out of memory", b"Reached heap limit", b"out of memory", b"OOM error")
# How abort() ends: by SIGABRT, which the first process of a pid namespace does not take from itself, so there by what the
# processor says to the instruction that glibc and V8 have after it.
_ABORTED = frozenset({-signal.SIGABRT, -signal.SIGTRAP, -signal.SIGSEGV, -signal.SIGILL})


class State(enum.Enum):
    """Where a process is in its life."""

    STARTING = enum.auto()
    READY = enum.auto()
    DRAINING = enum.auto()
    ENDED = enum.auto()


class NodeProcess(asyncio.Protocol):
    """Talks with one process. Made on the event loop; ``ended`` is done when the process has been waited for."""

    def __init__(
        self,
        child: Child,
        layout: Layout,
        *,
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
            violated=lambda why: self.kill(f"it broke the protocol: {why}"),
            stuck=self.drain,
        )
        self._transport: asyncio.Transport | None = None
        self._last_number = 0
        self._scripts: OrderedDict[str, None] = OrderedDict()
        self._useless_frames = 0
        self._useless_bytes = 0
        self._stderr = bytearray()
        self._ready_timer = loop.call_later(READY_SECONDS, self._on_not_ready)
        self._why: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._modules: set[str] = set()
        self._policy: egress.Policy | None = None
        self._preparing: set[asyncio.Task[None]] = set()
        self._settled: dict[int, asyncio.TimerHandle] = {}
        self._failure: str | None = None
        self.fault = False
        """Whether it ended through the fault of a run."""
        loop.add_reader(child.errors, self._read_stderr)
        child.on_event = self._on_gate
        child.exited.add_done_callback(lambda exited: self._on_exit(exited.result()))

    async def open(self) -> None:
        """Connect the channel; ``ready`` is done when the runtime inside says so, or failed with the process's end."""
        await self._loop.create_connection(lambda: self, sock=self._child.channel)

    def _on_not_ready(self) -> None:
        if not self.ready.done():
            self.kill("it did not become ready in time")

    @property
    def pid(self) -> int | None:
        """Its number on the host; None until it is there."""
        return self._child.pid

    @property
    def accepts(self) -> bool:
        """Whether it takes runs."""
        return self.state in {State.STARTING, State.READY}

    # -- Its tenant

    def begin_with(self, modules: frozenset[str]) -> None:
        """Note the module sets that it was started with."""
        self._modules |= modules

    def set_policy(self, policy: egress.Policy) -> None:
        """Note what it may connect to, from its next run on; so far it was nobody's and might connect to nothing."""
        self._policy = policy

    def offers(self, modules: frozenset[str]) -> bool:
        """Whether it can come to read these module sets."""
        return self._layout.mounts_later or modules <= self._modules

    async def prepare(self, modules: frozenset[str]) -> None:
        """Make the module sets readable and the policy effective.

        Raises:
            SandboxUnavailableError: it ended meanwhile, or a module set has gone.
        """
        missing = modules - self._modules
        if missing or self._policy is not None:
            policy, self._policy = self._policy, None
            self._modules |= missing
            task = self._loop.create_task(self._child.assign(policy, sorted(missing)))
            self._preparing.add(task)
            task.add_done_callback(self._on_prepared)
        for task in list(self._preparing):
            await asyncio.shield(task)

    def _on_prepared(self, task: asyncio.Task[None]) -> None:
        self._preparing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.drain()  # half prepared, it is of no use to anybody

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
        run = self.runs.pop(number, None)
        if run is None:
            return
        if run.timer is not None:
            run.timer.cancel()
        self.ledger.take(number)
        self._send({"type": "abandon", "run": number})
        self.drain()
        self._on_change(self)

    def drain(self) -> None:
        """Take no more runs; end when the last open one is over."""
        if self.state in {State.STARTING, State.READY}:
            self.state = State.DRAINING
        if not self.runs:
            self.kill("it was drained")

    def kill(self, why: str) -> None:
        """End it now; its runs are finished when its end has been seen."""
        if self.state is State.ENDED:
            return
        self.state = State.DRAINING
        self._why = self._why or why
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
            self.kill("its event loop was blocked")

    def _finish_overdue(self, run: OpenRun, limit: LimitHit) -> None:
        if limit.name == "grace":
            run.note(
                "Settled by force: what it had started was still going on when the grace period was over."
            )
        run.finish(
            Outcome.TIMED_OUT,
            error=HookError(
                name="Error",
                message=f"Request to Webtask exceeded allowed execution time ({limit})",
                code=ErrorCode.TIMED_OUT,
            ),
            limit=limit,
        )

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

    def _send(self, message: dict[str, Any]) -> None:
        self._write(encode(message))

    def _write(self, frame: bytes) -> None:
        if self._transport is None:
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
        if run is None or not self._deliver(kind, number, run, fields):
            # Too late, or beyond a bound: harmless now and then, a flood is not.
            self._useless_frames += 1
            self._useless_bytes += frame_bytes
            if self._useless_frames > _MAX_USELESS_FRAMES or self._useless_bytes > _MAX_USELESS_BYTES:
                raise ProtocolViolation("a flood of frames without use")

    def _deliver(self, kind: str, number: int, run: OpenRun, fields: Fields) -> bool:
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
                if run.is_complete:
                    self._finish(number)
                else:  # what the gate saw of it is still on its way
                    self._settled[number] = self._loop.call_later(WAIT_SECONDS, self._finish, number)
            case "storage_get" | "storage_set":
                return self._answer(kind, run, fields)
            case _:
                return run.receive(kind, fields)
        return True

    def _finish(self, number: int) -> None:
        run = self.runs.get(number)
        if run is None:
            return
        if run.overdue is not None:
            self._finish_overdue(run, run.overdue)
        else:
            run.finish_settled()
        self._remove(number)

    def _rearm(self, number: int, run: OpenRun, seconds: float, limit: LimitHit) -> None:
        if run.overdue is not None:
            return
        if run.timer is not None:
            run.timer.cancel()
        run.timer = self._loop.call_later(seconds, self._on_limit, number, limit)

    # -- Storage

    def _answer(self, kind: str, run: OpenRun, fields: Fields) -> bool:
        question = fields.integer("question")
        if run.questions >= _MAX_QUESTIONS:
            self._send({"type": "answer", "question": question, "error": "Too many questions at once."})
            return False
        run.questions += 1
        task = self._loop.create_task(self._ask_storage(kind, run, fields, question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _ask_storage(self, kind: str, run: OpenRun, fields: Fields, question: int) -> None:
        try:
            answer = await ask(run.storage, kind, fields)
        except ProtocolViolation as violation:
            self.kill(f"it broke the protocol: {violation}")
            return
        finally:
            run.questions -= 1
        self._send({"type": "answer", "question": question, **answer})

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
        for number in [each for each in self._settled if self.runs[each].is_complete]:
            self._finish(number)

    # -- The end

    def _read_stderr(self) -> None:
        """Keep the last words for the diagnosis; whatever a flood writes, only the tail stays."""
        try:
            data = os.read(self._child.errors, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._child.errors)
            return
        self._stderr += data
        del self._stderr[:-_STDERR_BYTES]

    def _on_exit(self, end: Exit) -> None:
        """The process has ended: finish its runs, and let go of what was held for it."""
        # What it sent before its end may still be in the channel; a violation in it changes nothing any more.
        self._read_stderr()
        self._intake.drain()
        self._intake.close()
        self._loop.remove_reader(self._child.errors)
        os.close(self._child.errors)
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        else:
            self._child.channel.close()
        self.state = State.ENDED
        self._ready_timer.cancel()
        for task in self._tasks:
            task.cancel()
        for waiting in self._settled.values():
            waiting.cancel()
        self._settled.clear()
        self._finish_all(end)
        if not self.ready.done():
            last = self._failure or bytes(self._stderr[-1000:]).decode(errors="replace").strip()
            self.ready.set_exception(
                SandboxUnavailableError(
                    f"A process for hooks could not start: {last or describe_exit(end, None)}"
                )
            )
            self.ready.exception()  # whoever waits gets it; nobody waiting is no fault
        self._on_change(self)

    def _finish_all(self, end: Exit) -> None:
        runs, self.runs = list(self.runs.values()), {}
        started = [run for run in runs if run.started]
        # A hook can write V8's words to its stderr; V8 itself ends with them, by one of these signals.
        by_itself = self._why is None and end.status in _ABORTED
        memory = end.oom_kills > 0 or (by_itself and any(sign in self._stderr for sign in _OUT_OF_MEMORY))
        limit = limit_hits.memory(self._memory_bytes) if memory else None
        if end.too_many_threads:
            limit = limit_hits.threads(self._threads)
        why = self._why or describe_exit(end, limit)
        for run in runs:
            if run.overdue is not None and len(started) == 1:
                self.fault = True
                self._finish_overdue(run, run.overdue)
                continue
            by_fault = run.started and self._why != CLOSING
            # SIGKILL that is not ours: an operator's, or the kernel's for want of memory. The second time it is the run.
            killed = end.status in {None, -signal.SIGKILL} and limit is None
            from_outside = self._why is None and killed and not (self.alone and end.status is not None)
            guilty = by_fault and len(started) == 1 and not from_outside
            self.fault = self.fault or guilty
            run.finish(
                Outcome.KILLED if guilty else Outcome.INTERRUPTED,
                error=HookError(
                    name="Error",
                    message=f"The process of the hook ended: {why}",
                    code=ErrorCode.PROCESS_ENDED,
                ),
                limit=limit if guilty else None,
                suspect=by_fault and not guilty,
            )


def describe_exit(end: Exit, limit: LimitHit | None) -> str:
    """Say in a few words how a process ended."""
    if limit is not None:
        return f"it hit the {limit}"
    if end.status is None:
        return "its supervisor was lost"
    if end.status < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-end.status).name}"
    return f"status {end.status}"
