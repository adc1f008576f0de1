"""Runs scripts: the sandbox's front.

    run() ─► a place in a process (``places.py``) ─► its modules and policy ─► the process ─► Execution

A process that ends before it began a run costs that run nothing: it goes to another one, a few times. A hook that brings
its process down waits for the next (``crashes.py``).
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from tenterhook import egress
from tenterhook.clock import Clock, SystemClock
from tenterhook.errors import ConfigurationError
from tenterhook.sandbox import platform_database
from tenterhook.sandbox import status as sandbox_status
from tenterhook.sandbox.child import SandboxUnavailableError
from tenterhook.sandbox.crashes import Crashes
from tenterhook.sandbox.execution import Execution, Observer, Outcome
from tenterhook.sandbox.ground import Layout, find_ground, mode_of
from tenterhook.sandbox.jail.plan import Mode
from tenterhook.sandbox.jail.protections import NONE_REMOVED, Protection
from tenterhook.sandbox.limits import Confinement, Limits
from tenterhook.sandbox.node_binary import NodeBinary, find_node
from tenterhook.sandbox.open_run import OpenRun
from tenterhook.sandbox.places import Need, Places
from tenterhook.sandbox.process import NodeProcess, State
from tenterhook.sandbox.process_maker import ProcessMaker
from tenterhook.sandbox.protocol import FRAME_MARGIN_BYTES
from tenterhook.sandbox.script import Invocation, Script
from tenterhook.sandbox.status import SandboxRefusedError, SandboxStatus
from tenterhook.sandbox.storage import Storage
from tenterhook.sandbox.supervision import Supervision
from tenterhook.settings import Settings

_log = structlog.get_logger(__name__)

_MAX_STARTS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolStatus:
    """What an operator may want to know."""

    node_version: str
    sandbox: SandboxStatus
    supervisor_pid: int | None
    processes: int
    """Those of tenants."""
    warm_processes: int
    """Those that wait for a tenant."""
    pids: tuple[int, ...]
    """Of both."""
    open_runs: int
    waiting_runs: int


class SandboxPool:
    """Runs scripts. Use as an async context manager, on one event loop.

    ``removed`` takes protections away; it is for the tests that show what each protection is good for, and nothing but
    a caller in Python can pass it.
    """

    def __init__(
        self,
        *,
        readable_dirs: tuple[Path, ...] = (),
        confinement: Confinement | None = None,
        max_processes: int = 64,
        max_processes_per_tenant: int = 8,
        max_runs_per_process: int = 32,
        replace_process_after_runs: int = 100_000,
        warm_processes: int = 0,
        idle_seconds: float = 300.0,
        max_result_bytes: int = 1024 * 1024,
        drain_seconds: float = 30.0,
        crash_backoff_first_seconds: float = 1.0,
        crash_backoff_maximum_seconds: float = 60.0,
        grants: tuple[egress.Entry, ...] = (),
        forbidden: egress.Forbidden | None = None,
        ca_file: Path | None = None,
        node: NodeBinary | None = None,
        clock: Clock | None = None,
        unsafe: bool = False,
        mode: Mode | None = None,
        removed: frozenset[Protection] = NONE_REMOVED,
    ) -> None:
        """Take what the operator set; nothing is started. ``mode`` asks for less than the host allows."""
        self._readable_dirs = tuple(folder.absolute() for folder in readable_dirs)
        self._confinement = confinement or Confinement()
        self._max_result_bytes = max_result_bytes
        self._drain_seconds = drain_seconds
        self._ca_file = None if ca_file is None else ca_file.absolute()
        self._node = node or find_node()
        self._clock = clock or SystemClock()
        self._grants = grants
        self._forbidden = forbidden or egress.Forbidden()
        self._machine: frozenset[egress.Address] = frozenset()
        self._settings: Settings | None = None
        self._unsafe = unsafe
        self._mode = mode
        self._removed = removed
        self._crashes = Crashes(
            first_seconds=crash_backoff_first_seconds,
            maximum_seconds=crash_backoff_maximum_seconds,
            clock=self._clock,
        )
        self._bounds = {
            "max_processes": max_processes,
            "max_processes_per_tenant": max_processes_per_tenant,
            "max_runs_per_process": max_runs_per_process,
            "replace_process_after_runs": replace_process_after_runs,
            "warm_processes": warm_processes,
        }
        self._idle_seconds = idle_seconds
        self._sandbox: SandboxStatus | None = None
        self._supervision: Supervision | None = None
        self._places: Places | None = None

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        readable_dirs: tuple[Path, ...] = (),
        clock: Clock | None = None,
    ) -> Self:
        """Make a pool as the operator set it; ``readable_dirs`` are where module sets are kept."""
        pool = cls(
            readable_dirs=readable_dirs,
            confinement=Confinement.from_settings(settings),
            max_processes=settings.max_processes,
            max_processes_per_tenant=settings.max_processes_per_tenant,
            max_runs_per_process=settings.max_runs_per_process,
            replace_process_after_runs=settings.replace_process_after_runs,
            warm_processes=settings.warm_processes,
            idle_seconds=settings.idle_process_seconds,
            max_result_bytes=settings.result_maximum_bytes,
            drain_seconds=settings.drain_timeout_seconds,
            crash_backoff_first_seconds=settings.crash_backoff_first_seconds,
            crash_backoff_maximum_seconds=settings.crash_backoff_maximum_seconds,
            grants=egress.parse_grants(settings.egress_allow),
            ca_file=settings.extra_ca_file,
            clock=clock,
            unsafe=settings.unsafe_run_hooks_without_sandbox,
        )
        pool._settings = settings
        return pool

    async def __aenter__(self) -> Self:
        """Find out what this host allows, and start the supervisor and the first warm processes."""
        self._sandbox = await asyncio.to_thread(sandbox_status.status_of_this_host, unsafe=self._unsafe)
        mode = self._mode or mode_of(self._sandbox)
        if mode is None:
            return self  # whoever asks for a run is told why not
        self._machine = await asyncio.to_thread(platform_database.machine_addresses)
        if self._settings is not None:
            self._forbidden = await asyncio.to_thread(platform_database.forbidden_of, self._settings)
        ground = await asyncio.to_thread(
            find_ground,
            self._node,
            mode,
            module_dirs=self._readable_dirs,
            ca_file=self._ca_file,
            cgroups=self._sandbox.tier == 1,
            removed=self._removed,
        )
        self._layout = Layout(ground)
        self._supervision = Supervision(ground)
        try:
            await self._supervision.started()
        except (SandboxUnavailableError, TimeoutError) as error:
            await self._supervision.close()
            raise ConfigurationError(
                f"Hooks cannot be run here, although the sandbox's layers hold. {error}"
            ) from error
        maker = ProcessMaker(
            ground,
            self._layout,
            self._supervision,
            clock=self._clock,
            max_frame_bytes=max(self._max_result_bytes, Limits().storage_bytes) + FRAME_MARGIN_BYTES,
        )
        self._places = Places(
            maker,
            standard=self._confinement,
            idle_seconds=self._idle_seconds,
            clock=self._clock,
            on_crash=self._on_crash,
            **self._bounds,
        )
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
        if self._sandbox is None:
            raise RuntimeError("The pool was not entered.")
        places = self._places
        return PoolStatus(
            node_version=self._node.version,
            sandbox=self._sandbox,
            supervisor_pid=None if self._supervision is None else self._supervision.pid,
            processes=0 if places is None else places.processes,
            warm_processes=0 if places is None else places.warm,
            pids=() if places is None else places.pids,
            open_runs=0 if places is None else places.open_runs,
            waiting_runs=0 if places is None else places.waiting,
        )

    def seconds_to_wait(self, tenant_key: str, script_key: str) -> float:
        """Return how long a hook that keeps bringing its process down must wait for another; mostly 0."""
        return self._crashes.seconds_to_wait(tenant_key, _hook_of(script_key))

    async def run(
        self,
        tenant_key: str,
        script: Script,
        invocation: Invocation,
        *,
        limits: Limits | None = None,
        confinement: Confinement | None = None,
        storage: Storage | None = None,
        observer: Observer | None = None,
        alone: bool = False,
    ) -> Execution:
        """Run a script once, to its settling; whatever the script does, the answer is an ``Execution``.

        With ``alone`` it gets a process that no other run shares. A cancelled caller ends the run's work.

        Raises:
            SandboxRefusedError: this host has no sandbox, and the operator does not allow to go without.
            SandboxUnavailableError: no process could be started, several times over.
            OverloadedError: the pool is being closed.
            ValueError: a module's folder is outside the readable folders.
            TypeError: an argument is not JSON.
        """
        if self._places is None or self._sandbox is None:
            raise SandboxRefusedError(None if self._sandbox is None else self._sandbox.refusal)
        limits = limits or Limits()
        if limits.result_bytes > self._max_result_bytes:
            limits = dataclasses.replace(limits, result_bytes=self._max_result_bytes)
        need = self._need(tenant_key, script, confinement or self._confinement, alone=alone)
        for last in (False,) * (_MAX_STARTS - 1) + (True,):
            open_run = OpenRun(
                script,
                invocation,
                limits=limits,
                storage=storage,
                observer=observer,
                clock=self._clock,
                confinement=need.confinement,
            )
            try:
                begun = await self._begin(self._places, need, open_run)
            except SandboxUnavailableError:
                if last:
                    raise
                continue
            if begun is None:
                continue
            process, number = begun
            try:
                execution = await open_run.result
            except asyncio.CancelledError:
                process.abandon(number)
                raise
            if execution.outcome is Outcome.INTERRUPTED and execution.started_at is None and not last:
                if self._places.closing:
                    return execution
                continue
            return self._marked(execution)
        raise SandboxUnavailableError("Processes for hooks keep ending before they begin a run.")

    @staticmethod
    async def _begin(places: Places, need: Need, run: OpenRun) -> tuple[NodeProcess, int] | None:
        """Send a run to a process; return that, and the run's number there. None: the process ended before."""
        process = await places.claim(need)
        try:
            if process.state is not State.READY:
                await asyncio.shield(process.ready)
            await process.belongings.grant(need.modules)
            if process.state is not State.READY:
                return None
            return process, process.start(run)
        finally:
            places.give_back(process)

    def _on_crash(self, tenant_key: str, scripts: frozenset[str]) -> None:
        for hook in sorted({_hook_of(script) for script in scripts}):
            self._crashes.note(tenant_key, hook)
            _log.info(
                "hook_crashes",
                tenant=tenant_key,
                hook=hook,
                next_process_in_seconds=round(self._crashes.seconds_to_wait(tenant_key, hook), 1),
            )

    def _marked(self, execution: Execution) -> Execution:
        unsandboxed = self._sandbox is not None and self._sandbox.unsandboxed
        return dataclasses.replace(execution, unsandboxed=True) if unsandboxed else execution

    def _need(self, tenant_key: str, script: Script, confinement: Confinement, *, alone: bool) -> Need:
        hook = _hook_of(script.key)
        if self._crashes.is_known(tenant_key, hook):
            confinement = dataclasses.replace(confinement, only_for=hook)
        return Need(
            tenant_key=tenant_key,
            confinement=confinement,
            modules=frozenset(self._layout.module_set(path) for path in script.require_map.values()),
            policy=egress.Policy(
                grants=self._grants,
                own=confinement.grants,
                rules=confinement.egress,
                forbidden=self._forbidden,
                machine=self._machine,
            ),
            alone=alone,
            not_before=self._clock.monotonic_seconds() + self._crashes.seconds_to_wait(tenant_key, hook),
        )

    async def close(self, *, drain_seconds: float | None = None) -> None:
        """Take no more runs, let open ones finish for ``drain_seconds`` (default: the pool's), then end every process."""
        if self._places is not None:
            await self._places.close(self._drain_seconds if drain_seconds is None else drain_seconds)
        if self._supervision is not None:
            await self._supervision.close()


def _hook_of(script_key: str) -> str:
    """Return what stays the same over a script's versions; see ``Script.key``."""
    return script_key.partition(":")[0]
