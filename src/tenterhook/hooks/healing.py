"""Healing: a version that was saved while the registry could not be reached gets its modules before a later run.

Several runs that need the same version wait for one attempt, and after a failed one nobody asks the registry again
for ``RETRY_SECONDS``; meanwhile the runs fail at once with the reason. Only passing reasons are tried again
(``module_sets``); the code of a version never changes, so what it asks for does not either.
"""

from __future__ import annotations

import asyncio
import dataclasses

from tenterhook.clock import Clock
from tenterhook.database import Database
from tenterhook.hooks import module_sets
from tenterhook.hooks.errors import InvalidHookError
from tenterhook.hooks.hook import LoadedHook
from tenterhook.hooks.module_sets import ModuleFailure, PreparedModules
from tenterhook.ids import HookId
from tenterhook.sandbox.modules import ModuleStore

RETRY_SECONDS = 30.0

_Key = tuple[HookId, int]


class ModuleHealer:
    """Tries again, once for all runs of a version at a time."""

    def __init__(self, database: Database, modules: ModuleStore, clock: Clock) -> None:
        """Take where versions are kept, where modules come from, and the time."""
        self._database = database
        self._modules = modules
        self._clock = clock
        self._attempts: dict[_Key, asyncio.Task[PreparedModules]] = {}
        self._not_before: dict[_Key, float] = {}

    async def heal(self, loaded: LoadedHook, *, wait: bool) -> LoadedHook:
        """Return the hook with its modules if they can be had now, else unchanged or with the newer reason.

        Without ``wait`` the attempt goes on by itself and helps a later run: somebody waits for this one's answer.
        """
        failure = loaded.module_error
        if failure is None or not failure.passing or loaded.version == 0:
            return loaded
        key = (loaded.id, loaded.version)
        attempt = self._attempts.get(key)
        if attempt is None:
            now = self._clock.monotonic_seconds()
            self._not_before = {each: until for each, until in self._not_before.items() if until > now}
            if key in self._not_before:
                return loaded
            attempt = asyncio.create_task(self._attempt(loaded))
            self._attempts[key] = attempt
            attempt.add_done_callback(lambda _done: self._attempts.pop(key, None))
        if not wait:
            return loaded
        # Shielded: one run's end must not take the modules away from the others that wait.
        return with_modules(loaded, await asyncio.shield(attempt))

    async def close(self) -> None:
        """End what is still being tried."""
        attempts = list(self._attempts.values())
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)

    async def _attempt(self, loaded: LoadedHook) -> PreparedModules:
        try:
            prepared = await module_sets.prepare(
                self._modules, script=loaded.script, dependencies=loaded.dependencies
            )
        except InvalidHookError as error:
            # A save would be refused; this one was accepted when nobody could tell.
            prepared = PreparedModules(
                failure=ModuleFailure(code=error.code, message=error.reason, passing=False)
            )
        if prepared.failure is not None and prepared.failure.passing:
            self._not_before[loaded.id, loaded.version] = self._clock.monotonic_seconds() + RETRY_SECONDS
        else:
            async with self._database.transaction() as transaction:
                await module_sets.heal(
                    transaction, hook_id=loaded.id, version=loaded.version, prepared=prepared
                )
        return prepared


def with_modules(loaded: LoadedHook, prepared: PreparedModules) -> LoadedHook:
    """Return the hook with the modules that were prepared for its code."""
    return dataclasses.replace(
        loaded,
        module_set=prepared.module_set,
        module_set_key=prepared.module_set.key if prepared.module_set.modules else None,
        module_error=prepared.failure,
    )
