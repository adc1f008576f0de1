"""Invoking: one execution of one hook, for whoever asks: the worker, the Runner, a flow that waits.

    loaded hook + event ─► modules onto this machine ─► sandbox ─► Execution
                               └─ cannot be had ─► Execution "could not start", with the reason

A failing script is a result; what raises is the platform. No connection to the database is held while user code runs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import structlog

from tenterhook.clock import Clock, SystemClock
from tenterhook.database import Database, Vault
from tenterhook.directory import Tenants
from tenterhook.egress import Entry
from tenterhook.errors import OverloadedError
from tenterhook.hooks import loading
from tenterhook.hooks.bodies import arguments_of
from tenterhook.hooks.catalogue import point_of
from tenterhook.hooks.healing import ModuleHealer
from tenterhook.hooks.hook import LoadedHook
from tenterhook.hooks.module_sets import ModuleFailure
from tenterhook.hooks.storage import HookStorage
from tenterhook.ids import HookId
from tenterhook.sandbox import (
    Call,
    Confinement,
    ConsoleLine,
    ErrorCode,
    Execution,
    HookError,
    Invocation,
    Limits,
    MemoryStorage,
    Observer,
    Outcome,
    SandboxPool,
    Script,
    Storage,
    Verdict,
    Webtask,
)
from tenterhook.sandbox.modules import InstalledSet, ModuleError, ModuleStore
from tenterhook.settings import Settings

_log = structlog.get_logger(__name__)

ROOM_SECONDS = 5.0
"""How long somebody who waits for a hook's answer waits for a place in the sandbox, besides the hook's own time."""

_NOT_FOUND_CODES = frozenset({"module_not_found", "module_version_not_found"})


class HookInvoker:
    """Executes hooks in the sandbox."""

    def __init__(
        self,
        *,
        pool: SandboxPool,
        modules: ModuleStore,
        database: Database,
        vault: Vault,
        settings: Settings,
        clock: Clock | None = None,
    ) -> None:
        """Take the parts; nothing is started."""
        self._pool = pool
        self._modules = modules
        self._database = database
        self._vault = vault
        self._clock = clock or SystemClock()
        self._settings = settings
        self._tenants = Tenants(database, self._clock)
        self._healer = ModuleHealer(database, modules, self._clock)
        self._settling: set[asyncio.Task[Execution]] = set()

    async def close(self) -> None:
        """End what is still settling, and what is still being installed."""
        settling = list(self._settling)
        for task in settling:
            task.cancel()
        await asyncio.gather(*settling, return_exceptions=True)
        await self._healer.close()

    async def load(self, hook_id: HookId, version: int | None = None) -> LoadedHook:
        """Return what an execution needs; see ``loading.load``."""
        async with self._database.reader() as reader:
            return await loading.load(reader, hook_id, self._vault, version)

    def seconds_to_wait(self, loaded: LoadedHook) -> float:
        """Return how long the hook must wait for a process, because it keeps ending its own; mostly 0."""
        return self._pool.seconds_to_wait(loaded.tenant_id, loaded.id)

    async def invoke(
        self,
        loaded: LoadedHook,
        event: Mapping[str, Any],
        *,
        run_id: str,
        attempt: int,
        observer: Observer | None = None,
        wait_for_modules: bool = True,
        alone: bool = False,
    ) -> Execution:
        """Execute the hook once and return when everything that it started has settled.

        With version 0 the code is a draft: what it stores is gone afterwards. ``wait_for_modules`` is about modules
        that could not be had when the hook was saved (``healing``). ``alone`` keeps others' runs out of its process:
        for one that may have brought its last process down.
        """
        loaded = await self._healer.heal(loaded, wait=wait_for_modules)
        installed: InstalledSet | None = None
        failure = loaded.module_error
        if failure is None and loaded.module_set.modules:
            try:
                installed = await self._modules.ensure(loaded.module_set)
            except ModuleError as error:
                failure = ModuleFailure.of(error)
        if failure is not None:
            return self._could_not_start(run_id, attempt, failure)
        return await self._pool.run(
            loaded.tenant_id,
            _script(loaded, installed),
            _invocation(loaded, event, run_id, attempt),
            limits=self._limits(loaded),
            confinement=await self._confinement(loaded),
            storage=await self._storage(loaded),
            observer=observer,
            alone=alone,
        )

    async def ask(self, loaded: LoadedHook, event: Mapping[str, Any], *, run_id: str) -> Verdict | Execution:
        """Execute the hook and return as soon as it has called back: the verdict is the answer.

        What it goes on with after ``cb`` settles by itself. An ``Execution`` is returned where there was no verdict.

        Raises:
            OverloadedError: there was no place in the sandbox for ``ROOM_SECONDS``, or its process ended twice
                through no proven fault of the hook.
        """
        for alone in (False, True):
            answer = await self._ask_once(loaded, event, run_id=run_id, alone=alone)
            # Whose process ended because of another, or of us, has not answered: that is no refusal.
            if isinstance(answer, Verdict) or answer.outcome is not Outcome.INTERRUPTED:
                return answer
        raise OverloadedError("The sandbox was interrupted; try again shortly.", retry_after_seconds=5)

    async def _ask_once(
        self, loaded: LoadedHook, event: Mapping[str, Any], *, run_id: str, alone: bool
    ) -> Verdict | Execution:
        first_word = _FirstWord()
        task = asyncio.create_task(
            self.invoke(
                loaded,
                event,
                run_id=run_id,
                attempt=1,
                observer=first_word,
                wait_for_modules=False,
                alone=alone,
            )
        )
        self._settling.add(task)
        task.add_done_callback(self._settled)
        either: set[asyncio.Future[Any]] = {task, first_word.verdict}
        answered, _ = await asyncio.wait(
            either,
            timeout=self._limits(loaded).wall_seconds + ROOM_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not answered:
            # Its own time has not run out: it never began, or it would have been ended.
            task.cancel()
            raise OverloadedError(
                "The sandbox has no room for this now; try again shortly.", retry_after_seconds=5
            )
        if first_word.verdict.done():
            return first_word.verdict.result()
        execution = task.result()
        return execution if execution.verdict is None else execution.verdict

    def _settled(self, task: asyncio.Task[Execution]) -> None:
        self._settling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("hook_invocation_failed", error=type(error).__name__, cause=str(error))

    def _limits(self, loaded: LoadedHook) -> Limits:
        return Limits.from_settings(self._settings, loaded.settings.limits)

    async def _confinement(self, loaded: LoadedHook) -> Confinement:
        """Return what its process is started with; hooks of a tenant for which it is the same share processes."""
        tenant = await self._tenants.get(loaded.tenant_id)
        # Whoever is waited for shares a process with nobody: what runs after the answer must not delay or change one.
        waited_for = point_of(loaded.trigger_id).blocking
        own_process = waited_for or loaded.settings.own_process or self._settings.one_process_per_hook
        return Confinement.from_settings(
            self._settings,
            loaded.settings.limits,
            egress=loaded.settings.rules,
            # Hooks fetch their tokens there. The operator chose the address, so it may be a private one.
            grants=(Entry.of_url(tenant.public_url),),
            only_for=loaded.id if own_process else None,
        )

    async def _storage(self, loaded: LoadedHook) -> Storage:
        stored = HookStorage(self._database, loaded.id, max_bytes=self._limits(loaded).storage_bytes)
        if loaded.version:
            return stored
        document, _etag = await stored.get()
        return MemoryStorage(document)

    def _could_not_start(self, run_id: str, attempt: int, failure: ModuleFailure) -> Execution:
        missing = failure.code in _NOT_FOUND_CODES
        code = ErrorCode.MODULE_NOT_FOUND if missing else ErrorCode.MODULE_FAILED
        return Execution(
            run_id=run_id,
            attempt=attempt,
            outcome=Outcome.COULD_NOT_START,
            verdict=None,
            error=HookError(
                name="Error", message=failure.message, code=code, properties={"reason": failure.code}
            ),
            console=(),
            calls=(),
            connections=(),
            notes=(),
            limit=None,
            started_at=None,
            called_back_at=None,
            settled_at=self._clock.now(),
            milliseconds_to_start=None,
            milliseconds_to_callback=None,
            milliseconds_to_settled=0.0,
        )


class _FirstWord:
    """An observer that waits for the verdict."""

    def __init__(self) -> None:
        self.verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def on_started(self, at: object) -> None:
        """Nothing to do."""

    def on_console(self, line: ConsoleLine) -> None:
        """Nothing to do."""

    def on_answer(self, answer: Verdict) -> None:
        """Hand the answer to who waits: as the hook gave it, for it is acted on, not shown."""
        if not self.verdict.done():
            self.verdict.set_result(answer)

    def on_called_back(self, verdict: Verdict) -> None:
        """Nothing to do."""

    def on_call(self, call: Call) -> None:
        """Nothing to do."""


def _script(loaded: LoadedHook, installed: InstalledSet | None) -> Script:
    # The modules belong to the identity: a version that was healed is compiled anew.
    code = str(loaded.version) if loaded.version else hashlib.sha256(loaded.script.encode()).hexdigest()
    return Script(
        key=f"{loaded.id}:{code}:{loaded.module_set_key or ''}",
        source=loaded.script,
        error_classes=point_of(loaded.trigger_id).error_classes,
        require_map={} if installed is None else installed.require_map,
    )


def _invocation(loaded: LoadedHook, event: Mapping[str, Any], run_id: str, attempt: int) -> Invocation:
    return Invocation(
        run_id=run_id,
        attempt=attempt,
        arguments=arguments_of(point_of(loaded.trigger_id), event),
        # ``data`` is left to the sandbox, which lays params, secrets and body over each other as the original did;
        # query, headers and meta are empty: no HTTP request reaches a hook, and nobody's credentials do.
        webtask=Webtask(
            secrets={name: value.get_secret_value() for name, value in loaded.secrets.items()}, body=event
        ),
    )
