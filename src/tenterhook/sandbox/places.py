"""Which process a run goes to.

A process belongs to one tenant for life, and to one confinement (limits, policy, whose runs alone): both together are what
runs must share to share it. It is started when a run needs one, or taken from the *warm* ones, which are started
ahead and belong to nobody; it stays as long as it is used, and ends after some idle time.

    claim() ─► a place in a fitting process ─► or a warm process ─► or a new one ─► or the waiting line

The line is looked through whenever something changes, first come first served among those that could go: a tenant that has
all the processes it may have waits for its own, and is passed by. When all processes there may be are there, the
longest idle one of any tenant makes room.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import deque
from collections.abc import Callable

import structlog

from tenterhook import egress
from tenterhook.clock import Clock
from tenterhook.errors import OverloadedError
from tenterhook.sandbox.child import SandboxUnavailableError
from tenterhook.sandbox.ground import shape_of
from tenterhook.sandbox.limits import Confinement
from tenterhook.sandbox.process import CLOSING, NodeProcess, State
from tenterhook.sandbox.process_maker import ProcessMaker

_log = structlog.get_logger(__name__)

_NOTHING = egress.Policy(rules=egress.Rules(mode=egress.Mode.ENFORCE))
"""What a process may connect to that belongs to nobody yet."""
_STARTING_PER_CPU = 4
"""Processes that may be starting at a time: more of them would only all take longer."""
_REFILL_SECONDS = 0.1
"""When the next warm process is begun after one was taken: at once, it would hold up the run that took it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Need:
    """What a run needs of a process."""

    tenant_key: str
    confinement: Confinement
    modules: frozenset[str]
    """Module sets, as paths of the host."""
    policy: egress.Policy
    alone: bool
    not_before: float
    """No process is started for it before this moment (monotonic seconds)."""


@dataclasses.dataclass(eq=False, kw_only=True)
class _Waiting:
    """A run in line for a place."""

    need: Need
    place: asyncio.Future[NodeProcess]


@dataclasses.dataclass(eq=False, kw_only=True)
class _Slot:
    """What is known of a process that has an owner."""

    tenant_key: str
    confinement: Confinement
    claims: int = 0
    """Places kept for runs that have not started yet."""
    idle_timer: asyncio.TimerHandle | None = None


class Places:
    """Hands out places in processes. On one event loop."""

    def __init__(
        self,
        maker: ProcessMaker,
        *,
        standard: Confinement,
        max_processes: int,
        max_processes_per_tenant: int,
        max_runs_per_process: int,
        replace_process_after_runs: int,
        warm_processes: int,
        idle_seconds: float,
        clock: Clock,
        on_crash: Callable[[str, frozenset[str]], None],
    ) -> None:
        """``standard`` is how warm processes are confined; ``on_crash`` hears of a tenant's scripts that may have ended one."""
        self._on_crash = on_crash
        self._maker = maker
        self._standard = standard
        self._max_processes = max_processes
        self._max_per_tenant = max_processes_per_tenant
        self._max_runs = max_runs_per_process
        self._replace_after = replace_process_after_runs
        # Where nothing can be mounted into a running process, only one made for its tenant has the tenant's modules.
        self._max_warm = warm_processes if maker.layout.mounts_later else 0
        self._max_starting = _STARTING_PER_CPU * (os.cpu_count() or 1)
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._slots: dict[NodeProcess, _Slot] = {}
        self._warm: list[NodeProcess] = []
        self._starting = 0
        self._line: deque[_Waiting] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._warm_failures = 0
        self._gave_up_warming = False
        self.closing = False
        self._warm_up()

    @property
    def processes(self) -> int:
        """How many tenants' processes there are."""
        return len(self._slots)

    @property
    def warm(self) -> int:
        """How many wait for a tenant, ready or about to be."""
        return len(self._warm)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of all processes."""
        return tuple(sorted(each.pid for each in (*self._slots, *self._warm) if each.pid is not None))

    @property
    def open_runs(self) -> int:
        """How many runs are in processes."""
        return sum(len(process.runs) for process in self._slots)

    @property
    def waiting(self) -> int:
        """How many runs are in line."""
        return len(self._line)

    async def claim(self, need: Need) -> NodeProcess:
        """Return a process with a place kept for the caller, who must ``give_back`` it."""
        if self.closing:
            raise OverloadedError("The sandbox is being closed.")
        process = None if self._line else self._find(need)
        if process is not None:
            return process
        waiting = _Waiting(need=need, place=asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        self._serve_line()
        try:
            return await waiting.place
        except asyncio.CancelledError:
            if waiting.place.done() and not waiting.place.cancelled() and waiting.place.exception() is None:
                self.give_back(waiting.place.result())
            elif waiting in self._line:
                self._line.remove(waiting)
            raise

    def give_back(self, process: NodeProcess) -> None:
        """The run has started, or will not."""
        slot = self._slots.get(process)
        if slot is not None:
            slot.claims -= 1
            self._on_change(process)

    async def close(self, drain_seconds: float) -> None:
        """Take no more runs, let open ones finish for a while, then end every process."""
        self.closing = True
        for waiting in self._line:
            if not waiting.place.done():
                waiting.place.set_exception(OverloadedError("The sandbox is being closed."))
        self._line.clear()
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        until = loop.time() + drain_seconds
        while any(self._load(process) for process in self._slots):
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                break
        for process in (*self._slots, *self._warm):
            process.kill(CLOSING)
        while self._slots or self._warm:
            self._changed.clear()
            await self._changed.wait()
        await asyncio.gather(*self._opening, return_exceptions=True)

    # -- Finding

    def _load(self, process: NodeProcess) -> int:
        return len(process.runs) + self._slots[process].claims

    def _find(self, need: Need) -> NodeProcess | None:
        """Return a claimed process, started if need be; None if there is no room."""
        own = [each for each, slot in self._slots.items() if slot.tenant_key == need.tenant_key]
        if not need.alone:
            fitting = [
                process
                for process in own
                if process.accepts
                and not process.alone
                and self._slots[process].confinement == need.confinement
                and process.belongings.can_have(need.modules)
                and self._load(process) < self._max_runs
            ]
            if fitting:
                return self._claimed(min(fitting, key=self._load))
        wait = need.not_before - self._clock.monotonic_seconds()
        if wait > 0:
            self._serve_line_in(wait)
            return None
        # One tenant's crashes and bursts must leave others a place among those that start.
        starting = sum(process.state is State.STARTING for process in own)
        if starting and starting >= self._max_starting // 2:
            return None
        if len(self._slots) < self._max_processes and len(own) < self._max_per_tenant:
            return self._obtain(need)
        # The tenant's own idle process where the tenant has all it may have, else the longest idle of anybody.
        candidates = own if len(own) >= self._max_per_tenant else list(self._slots)
        empty = [process for process in candidates if not self._load(process)]
        idle = [process for process in empty if process.accepts]
        # Those that are ending already make room; one for each run in line is enough.
        if idle and len(empty) - len(idle) < max(1, len(self._line)):
            min(idle, key=lambda process: process.idle_since).kill("it made room for another")
        return None

    def _obtain(self, need: Need) -> NodeProcess | None:
        process = self._take_warm(need)
        if process is None:
            if self._starting >= self._max_starting:
                return None
            process = self._start(need.confinement, need.policy, need.modules, alone=need.alone)
        self._slots[process] = _Slot(tenant_key=need.tenant_key, confinement=need.confinement)
        return self._claimed(process)

    def _take_warm(self, need: Need) -> NodeProcess | None:
        if shape_of(need.confinement) != shape_of(self._standard):
            return None
        for process in self._warm:
            if process.accepts:
                self._warm.remove(process)
                process.alone = need.alone
                process.belongings.set_policy(need.policy)
                if not self.closing:
                    asyncio.get_running_loop().call_later(_REFILL_SECONDS, self._warm_up)
                return process
        return None

    def _claimed(self, process: NodeProcess) -> NodeProcess:
        slot = self._slots[process]
        slot.claims += 1
        if slot.idle_timer is not None:
            slot.idle_timer.cancel()
            slot.idle_timer = None
        return process

    # -- Starting

    def _start(
        self, confinement: Confinement, policy: egress.Policy, modules: frozenset[str], *, alone: bool
    ) -> NodeProcess:
        process = self._maker.make(confinement, policy, modules, alone=alone, on_change=self._on_change)
        self._starting += 1
        process.ready.add_done_callback(self._on_started)
        task = asyncio.get_running_loop().create_task(process.open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return process

    def _on_started(self, ready: asyncio.Future[str]) -> None:
        self._starting -= 1
        if not ready.cancelled() and ready.exception() is None:
            self._warm_failures = 0
            self._gave_up_warming = False
        self._serve_line()
        self._warm_up_soon()

    def _warm_up_soon(self) -> None:
        # In the next turn: whoever needs one now goes first.
        if not self.closing:
            asyncio.get_running_loop().call_soon(self._warm_up)

    def _warm_up(self) -> None:
        """Start one more warm process, if there are too few and nothing else is starting."""
        if self.closing or self._starting or self._line or len(self._warm) >= self._max_warm:
            return
        if self._warm_failures > self._max_warm:
            if not self._gave_up_warming:
                self._gave_up_warming = True
                _log.error("warm_processes_given_up", until="a process for a tenant starts")
            return
        try:
            self._warm.append(self._start(self._standard, _NOTHING, frozenset(), alone=False))
        except SandboxUnavailableError:
            self._warm_failures += 1

    # -- Changes

    def _on_change(self, process: NodeProcess) -> None:
        """A place became free, or a process ended: serve the line, and see to idle processes."""
        self._changed.set()
        slot = self._slots.get(process)
        if process.state is State.ENDED:
            if process in self._warm:
                self._warm.remove(process)
                self._warm_failures += 1
            if slot is not None:
                del self._slots[process]
                if process.blamed:
                    self._on_crash(slot.tenant_key, process.blamed)
                if slot.idle_timer is not None:
                    slot.idle_timer.cancel()
        elif slot is not None and process.runs_begun >= self._replace_after:
            process.drain()
        elif slot is not None and not self._load(process):
            if process.alone:
                process.drain()
            elif slot.idle_timer is None and process.accepts:
                loop = asyncio.get_running_loop()
                slot.idle_timer = loop.call_later(self._idle_seconds, self._end_idle, process)
        self._serve_line()

    def _end_idle(self, process: NodeProcess) -> None:
        slot = self._slots.get(process)
        if slot is None:
            return
        slot.idle_timer = None
        if not self._load(process):
            process.kill("it was idle")

    def _serve_line_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        moment = loop.time() + seconds
        if self._timer is None or self._timer.cancelled() or self._timer.when() > moment:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(moment, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._serve_line()

    def _serve_line(self) -> None:
        for waiting in list(self._line):
            if waiting.place.done():  # cancelled; it leaves the line by itself
                continue
            try:
                process = self._find(waiting.need)
            except SandboxUnavailableError as error:
                self._line.remove(waiting)
                waiting.place.set_exception(error)
                continue
            if process is not None:
                self._line.remove(waiting)
                waiting.place.set_result(process)
