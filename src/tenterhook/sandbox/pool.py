"""Which process a run goes to.

Processes belong to one tenant for life, are started when a run needs one, stay warm, and end after some idle time. A
tenant gets a second process when the first is full. When the number of processes is at its maximum, the longest idle
one of any tenant makes room; where none is idle, runs wait in line, first come first served among those that could go.

    run() ─► a place in a process of the tenant ─► the process ─► Execution
       └─► waiting line, looked through whenever a run finishes or a process ends

A process that ends before it began a run costs that run nothing: it goes to another one, a few times.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from tenterhook import uids
from tenterhook.clock import Clock, SystemClock
from tenterhook.errors import OverloadedError
from tenterhook.sandbox import spawn
from tenterhook.sandbox.execution import Execution, Observer, Outcome
from tenterhook.sandbox.limits import Limits
from tenterhook.sandbox.node_binary import NodeBinary, find_node
from tenterhook.sandbox.open_run import OpenRun
from tenterhook.sandbox.process import CLOSING, NodeProcess, State
from tenterhook.sandbox.protocol import FRAME_MARGIN_BYTES
from tenterhook.sandbox.script import Invocation, Script
from tenterhook.sandbox.storage import Storage
from tenterhook.settings import Settings

_MAX_STARTS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolStatus:
    """What an operator may want to know."""

    node_version: str
    surroundings: str
    """See ``spawn.Surroundings``."""
    processes: int
    pids: tuple[int, ...]
    open_runs: int
    waiting_runs: int


@dataclasses.dataclass(eq=False, kw_only=True)
class _Waiting:
    """A run in line for a place."""

    tenant_key: str
    alone: bool
    place: asyncio.Future[NodeProcess]


class SandboxPool:
    """Runs scripts. Use as an async context manager, on one event loop."""

    def __init__(
        self,
        *,
        readable_dirs: tuple[Path, ...] = (),
        memory_bytes: int = 256 * 1024 * 1024,
        max_processes: int = 64,
        max_runs_per_process: int = 32,
        idle_seconds: float = 300.0,
        max_result_bytes: int = 1024 * 1024,
        drain_seconds: float = 30.0,
        ca_file: Path | None = None,
        node: NodeBinary | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._readable_dirs = tuple(folder.absolute() for folder in readable_dirs)
        self._memory_bytes = memory_bytes
        self._max_processes = max_processes
        self._max_runs_per_process = max_runs_per_process
        self._idle_seconds = idle_seconds
        self._max_result_bytes = max_result_bytes
        self._max_frame_bytes = max(max_result_bytes, Limits().storage_bytes) + FRAME_MARGIN_BYTES
        self._drain_seconds = drain_seconds
        self._ca_file = None if ca_file is None else ca_file.absolute()
        self._node = node or find_node()
        self._clock = clock or SystemClock()
        self._processes: set[NodeProcess] = set()
        self._claims: dict[NodeProcess, int] = {}
        self._line: deque[_Waiting] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Future[None]] = set()
        self._idle_timers: dict[NodeProcess, asyncio.TimerHandle] = {}
        self._closing = False
        self._changed = asyncio.Event()

    @classmethod
    def from_settings(
        cls, settings: Settings, *, readable_dirs: tuple[Path, ...] = (), clock: Clock | None = None
    ) -> Self:
        """Make a pool as the operator set it; ``readable_dirs`` are where module sets are kept."""
        return cls(
            readable_dirs=readable_dirs,
            memory_bytes=settings.memory_limit_bytes,
            max_processes=settings.max_processes,
            max_runs_per_process=settings.max_runs_per_process,
            idle_seconds=settings.idle_process_seconds,
            max_result_bytes=settings.max_result_bytes,
            drain_seconds=settings.drain_timeout_seconds,
            ca_file=settings.extra_ca_file,
            clock=clock,
        )

    async def __aenter__(self) -> Self:
        """Find out what this host allows; no process is started yet."""
        here = await asyncio.to_thread(spawn.surroundings)
        await asyncio.to_thread(spawn.check_readable, self._readable_dirs, here)
        files = (self._node.path.resolve(), *(() if self._ca_file is None else (self._ca_file,)))
        self._node = dataclasses.replace(self._node, path=files[0])
        self._surroundings = here
        self._paths = spawn.PathMap(self._readable_dirs, files, here)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let open runs finish for a while, then end every process and wait for it."""
        del kind, error, trace
        await self.close()

    @property
    def status(self) -> PoolStatus:
        """How things stand now."""
        return PoolStatus(
            node_version=self._node.version,
            surroundings=self._surroundings,
            processes=len(self._processes),
            pids=tuple(sorted(process.pid for process in self._processes)),
            open_runs=sum(len(process.runs) for process in self._processes),
            waiting_runs=len(self._line),
        )

    async def run(
        self,
        tenant_key: str,
        script: Script,
        invocation: Invocation,
        *,
        limits: Limits | None = None,
        storage: Storage | None = None,
        observer: Observer | None = None,
        alone: bool = False,
    ) -> Execution:
        """Run a script once, to its settling; whatever the script does, the answer is an ``Execution``.

        With ``alone`` it gets a process that no other run shares. A cancelled caller ends the run's work.

        Raises:
            SandboxUnavailableError: no process could be started, several times over.
            OverloadedError: the pool is being closed.
            ValueError: a module's folder is outside the readable folders.
            TypeError: an argument is not JSON.
        """
        limits = limits or Limits()
        limits = dataclasses.replace(limits, result_bytes=min(limits.result_bytes, self._max_result_bytes))
        for last in (False,) * (_MAX_STARTS - 1) + (True,):
            open_run = OpenRun(
                script,
                invocation,
                limits=limits,
                storage=storage,
                observer=observer,
                clock=self._clock,
            )
            process = await self._claim(tenant_key, alone=alone)
            try:
                await asyncio.shield(process.ready)
                if process.state is not State.READY:
                    continue
                number = process.start(open_run)
            except spawn.SandboxUnavailableError:
                if last:
                    raise
                continue
            finally:
                self._unclaim(process)
            try:
                execution = await asyncio.shield(open_run.result)
            except asyncio.CancelledError:
                process.abandon(number)
                raise
            if execution.outcome is Outcome.INTERRUPTED and execution.started_at is None and not last:
                if self._closing:
                    return execution
                continue
            return execution
        raise spawn.SandboxUnavailableError("Processes for hooks keep ending before they begin a run.")

    async def close(self, *, drain_seconds: float | None = None) -> None:
        """Take no more runs, let open ones finish for ``drain_seconds`` (default: the pool's), then end every process."""
        self._closing = True
        for waiting in self._line:
            if not waiting.place.done():
                waiting.place.set_exception(OverloadedError("The sandbox is being closed."))
        self._line.clear()
        loop = asyncio.get_running_loop()
        until = loop.time() + (self._drain_seconds if drain_seconds is None else drain_seconds)
        while any(self._load(process) for process in self._processes):
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                break
        processes = list(self._processes)
        for process in processes:
            process.kill(CLOSING)
        await asyncio.gather(*(process.ended for process in processes), *self._opening)
        await asyncio.gather(*self._ending)

    # -- Places

    def _load(self, process: NodeProcess) -> int:
        return len(process.runs) + self._claims.get(process, 0)

    async def _claim(self, tenant_key: str, *, alone: bool) -> NodeProcess:
        """Return a process with a place kept for the caller, who must give it back with ``_unclaim``."""
        if self._closing:
            raise OverloadedError("The sandbox is being closed.")
        process = None if self._line else self._find(tenant_key, alone=alone)
        if process is not None:
            return process
        waiting = _Waiting(
            tenant_key=tenant_key, alone=alone, place=asyncio.get_running_loop().create_future()
        )
        self._line.append(waiting)
        self._serve_line()
        try:
            return await waiting.place
        except asyncio.CancelledError:
            if waiting.place.done() and not waiting.place.cancelled() and waiting.place.exception() is None:
                self._unclaim(waiting.place.result())
            elif waiting in self._line:
                self._line.remove(waiting)
            raise

    def _unclaim(self, process: NodeProcess) -> None:
        self._claims[process] -= 1
        if self._claims[process] == 0:
            del self._claims[process]
        self._on_change(process)

    def _find(self, tenant_key: str, *, alone: bool) -> NodeProcess | None:
        """Return a claimed process for the tenant, started if need be; None if there is no room."""
        if not alone:
            fitting = [
                process
                for process in self._processes
                if process.tenant_key == tenant_key
                and process.accepts
                and not process.alone
                and self._load(process) < self._max_runs_per_process
            ]
            if fitting:
                return self._claimed(min(fitting, key=self._load))
        if len(self._processes) < self._max_processes:
            return self._claimed(self._start(tenant_key, alone=alone))
        empty = [process for process in self._processes if not self._load(process)]
        idle = [process for process in empty if process.accepts]
        # Those that are ending already make room; one for each run in line is enough.
        if idle and len(empty) - len(idle) < max(1, len(self._line)):
            min(idle, key=lambda process: process.idle_since).kill("it made room for another")
        return None

    def _claimed(self, process: NodeProcess) -> NodeProcess:
        self._claims[process] = self._claims.get(process, 0) + 1
        timer = self._idle_timers.pop(process, None)
        if timer is not None:
            timer.cancel()
        return process

    def _start(self, tenant_key: str, *, alone: bool) -> NodeProcess:
        uid = None
        if self._surroundings is not spawn.Surroundings.SAME_UID:
            taken = frozenset(process.uid for process in self._processes if process.uid is not None)
            uid = uids.pick_unused(besides=taken)
        command = spawn.node_command(
            self._node,
            self._paths,
            self._surroundings,
            memory_bytes=self._memory_bytes,
            ca_file=self._ca_file,
            uid=uid,
        )
        process = NodeProcess(
            spawn.spawn(command),
            self._paths,
            tenant_key=tenant_key,
            alone=alone,
            memory_bytes=self._memory_bytes,
            max_frame_bytes=self._max_frame_bytes,
            clock=self._clock,
            on_change=self._on_change,
        )
        self._processes.add(process)
        task = asyncio.get_running_loop().create_task(process.open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return process

    def _on_change(self, process: NodeProcess) -> None:
        """A place became free, or a process ended: serve the line, and see to idle processes."""
        self._changed.set()
        if process.state is State.ENDED:
            self._processes.discard(process)
            if not process.ended.done():  # what it left behind is being ended
                self._ending.add(process.ended)
                process.ended.add_done_callback(self._ending.discard)
            timer = self._idle_timers.pop(process, None)
            if timer is not None:
                timer.cancel()
        elif not self._load(process):
            if process.alone:
                process.drain()
            elif process not in self._idle_timers and process.accepts:
                loop = asyncio.get_running_loop()
                self._idle_timers[process] = loop.call_later(self._idle_seconds, self._end_idle, process)
        self._serve_line()

    def _end_idle(self, process: NodeProcess) -> None:
        self._idle_timers.pop(process, None)
        if not self._load(process):
            process.kill("it was idle")

    def _serve_line(self) -> None:
        for waiting in list(self._line):
            if waiting.place.done():  # cancelled; it leaves the line by itself
                continue
            try:
                process = self._find(waiting.tenant_key, alone=waiting.alone)
            except spawn.SandboxUnavailableError as error:
                self._line.remove(waiting)
                waiting.place.set_exception(error)
                continue
            if process is not None:
                self._line.remove(waiting)
                waiting.place.set_result(process)
