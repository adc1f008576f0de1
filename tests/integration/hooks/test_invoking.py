"""Executing hooks: modules, storage, answers given before everything has settled, modules that come late."""

from __future__ import annotations

import asyncio
import json

import pytest

from tenterhook.hooks import POST_USER_REGISTRATION, HookInvoker, load
from tenterhook.hooks.healing import RETRY_SECONDS
from tenterhook.hooks.hook import LoadedHook
from tenterhook.sandbox import Execution, MemoryStorage, Outcome, SandboxPool, Verdict
from tenterhook.sandbox.modules import ModuleStore

EVENT = json.loads(POST_USER_REGISTRATION.runner_body)
USES_LODASH = "module.exports = (user, context, cb) => cb(null, require('lodash').chunk([1, 2, 3], 2));"


class HandClock:
    """Elapsed seconds are the test's."""

    def __init__(self, clock) -> None:
        self._clock = clock
        self.seconds = 0.0

    def now(self):
        return self._clock.now()

    def monotonic_seconds(self) -> float:
        return self.seconds


@pytest.fixture
def loaded_of(world):
    async def loaded(hook, version=None) -> LoadedHook:
        async with world.database.reader() as reader:
            return await load(reader, hook["id"], world.vault, version)

    return loaded


async def test_storage_outlives_the_run_and_a_drafts_does_not(create_hook, loaded_of, invoker):
    hook = await create_hook(
        script="""module.exports = (user, context, cb) => context.webtask.storage.get((error, data) => {
          const count = ((data && data.count) || 0) + 1;
          context.webtask.storage.set({ count }, (failed) => cb(failed, count));
        });"""
    )
    loaded = await loaded_of(hook)
    counts = [
        (await invoker.invoke(loaded, EVENT, run_id=f"run{number}", attempt=1)).verdict.result
        for number in range(2)
    ]
    assert counts == [1, 2]
    draft = LoadedHook(**{name: getattr(loaded, name) for name in loaded.__slots__} | {"version": 0})
    for _time in range(2):
        assert (await invoker.invoke(draft, EVENT, run_id="draft", attempt=1)).verdict.result == 3


async def test_unmodified_common_pattern_with_a_declared_module(create_hook, loaded_of, invoker):
    hook = await create_hook(script=USES_LODASH, dependencies={"lodash": "4.17.21"})
    execution = await invoker.invoke(await loaded_of(hook), EVENT, run_id="run", attempt=3)
    assert execution.outcome is Outcome.OK, execution.error
    assert execution.verdict.result == [[1, 2], [3]]
    assert execution.attempt == 3


async def test_machine_without_the_modules_installs_them_before_the_run(
    world, create_hook, loaded_of, npm_registry, modules_folder
):
    hook = await create_hook(script=USES_LODASH)
    elsewhere = modules_folder / "another machine"
    elsewhere.mkdir()
    async with SandboxPool.from_settings(world.settings, readable_dirs=(elsewhere,)) as pool:
        worker = HookInvoker(
            pool=pool,
            modules=ModuleStore(folder=elsewhere, registry=npm_registry.url),
            database=world.database,
            vault=world.vault,
            settings=world.settings,
        )
        execution = await worker.invoke(await loaded_of(hook), EVENT, run_id="run", attempt=1)
        await worker.close()
    assert execution.outcome is Outcome.OK, execution.error


async def test_ask_answers_at_cb_and_lets_the_rest_settle(create_hook, loaded_of, invoker):
    hook = await create_hook(
        script="module.exports = (user, context, cb) => { cb(null, 'said'); setTimeout(() => {}, 60000); };"
    )
    answer = await invoker.ask(await loaded_of(hook), EVENT, run_id="run")
    assert answer == Verdict(result="said")
    assert len(invoker._settling) == 1  # still going on; the fixture's close() ends it


async def test_ask_returns_the_execution_where_nothing_was_said(create_hook, loaded_of, invoker):
    answer = await invoker.ask(await loaded_of(await create_hook(script="syntax error")), EVENT, run_id="run")
    assert isinstance(answer, Execution)
    assert answer.outcome is Outcome.COULD_NOT_START


async def test_hook_saved_while_the_registry_was_away_heals_before_a_later_run(
    world, invoker, create_hook, loaded_of, npm_registry, modules_folder
):
    world.editor._modules = ModuleStore(folder=modules_folder / "away", registry="http://127.0.0.1:9/")
    hook = await create_hook(script=USES_LODASH)
    world.editor._modules = world.modules
    loaded = await loaded_of(hook)
    assert loaded.module_error is not None
    assert loaded.module_error.passing

    healer = invoker._healer
    healer._clock = clock = HandClock(healer._clock)
    healer._modules = ModuleStore(folder=modules_folder / "still away", registry="http://127.0.0.1:9/")
    failed = await asyncio.gather(
        *(invoker.invoke(loaded, EVENT, run_id=f"run{number}", attempt=1) for number in range(3))
    )
    assert {execution.outcome for execution in failed} == {Outcome.COULD_NOT_START}
    assert failed[0].error.message == loaded.module_error.message

    # The registry is back, but nobody asks it again so soon.
    healer._modules = world.modules
    again = await invoker.invoke(loaded, EVENT, run_id="soon", attempt=1)
    assert again.outcome is Outcome.COULD_NOT_START
    assert npm_registry.requests == []

    clock.seconds = RETRY_SECONDS + 1
    healed = await asyncio.gather(
        *(invoker.invoke(loaded, EVENT, run_id=f"run{number}", attempt=1) for number in range(3))
    )
    assert {execution.outcome for execution in healed} == {Outcome.OK}
    later = await loaded_of(hook)
    assert later.module_error is None
    assert [module.name for module in later.module_set.modules] == ["lodash"]


async def test_draft_keeps_its_document_in_memory(invoker, create_hook, loaded_of):
    loaded = await loaded_of(await create_hook())
    draft = LoadedHook(**{name: getattr(loaded, name) for name in loaded.__slots__} | {"version": 0})
    assert isinstance(await invoker._storage(draft), MemoryStorage)
