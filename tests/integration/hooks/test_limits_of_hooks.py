"""What a hook has of its own reaches the sandbox: its limits in its runs, and its confinement in its processes."""

from __future__ import annotations

import asyncio
import json

import pytest

from tenterhook.egress import Entry, Rules, parse_grants
from tenterhook.hooks import (
    POST_USER_REGISTRATION,
    PRE_USER_REGISTRATION,
    HookInvoker,
    ask_before_registration,
    load,
)
from tenterhook.sandbox import KINDS, Confinement, Execution, Outcome, SandboxPool
from tenterhook.settings import Settings

EVENT = json.loads(POST_USER_REGISTRATION.runner_body)
NEVER = "module.exports = (user, context, cb) => setTimeout(() => cb(), 60000);"


@pytest.fixture
def settle(api):
    async def settle(hook, **settings) -> None:
        answer = await api.patch(f"/api/extensions/hooks/{hook['id']}/settings", json=settings)
        assert answer.status_code == 200, answer.text

    return settle


@pytest.fixture
def invoke(world, invoker):
    async def invoke(hook, run_id="run") -> Execution:
        async with world.database.reader() as reader:
            loaded = await load(reader, hook["id"], world.vault)
        return await invoker.invoke(loaded, EVENT, run_id=run_id, attempt=1)

    return invoke


@pytest.fixture
def confinements(monkeypatch) -> list[Confinement]:
    """What the pool is asked to confine runs with, in order."""
    asked = []
    run = SandboxPool.run

    async def recording(pool, *arguments, confinement=None, **options):
        asked.append(confinement)
        return await run(pool, *arguments, confinement=confinement, **options)

    monkeypatch.setattr(SandboxPool, "run", recording)
    return asked


async def test_time_limit_of_its_own_ends_a_run_and_is_named(create_hook, settle, invoke):
    hook = await create_hook(script=NEVER)
    await settle(hook, limits={"wall_time_seconds": 0.2})
    execution = await invoke(hook)
    assert execution.outcome is Outcome.TIMED_OUT
    assert execution.limit.value == 0.2
    assert "--wall-time" in str(execution.limit)


async def test_hook_that_is_waited_for_has_its_own_time(create_hook, settle, world, invoker):
    hook = await create_hook(script=NEVER, triggerId="pre-user-registration")
    await settle(hook, limits={"wall_time_seconds": 0.2})
    async with world.database.reader() as reader:
        loaded = await load(reader, hook["id"], world.vault)
    answer = await invoker.ask(loaded, json.loads(PRE_USER_REGISTRATION.runner_body), run_id="run")
    assert isinstance(answer, Execution)
    assert answer.outcome is Outcome.TIMED_OUT


async def test_settings_make_the_confinement(create_hook, settle, invoke, confinements, world):
    hook = await create_hook()
    await invoke(hook)
    await settle(
        hook,
        limits={"threads": 100, "scratch_bytes": 2**20},
        egress={"mode": "report", "allow": ["a.example.com"]},
        own_process=True,
    )
    await invoke(hook)
    own_url = (Entry.of_url(world.acme.public_url),)
    assert confinements == [
        Confinement(grants=own_url),
        Confinement(
            threads=100,
            scratch_bytes=2**20,
            egress=Rules.of("report", ["a.example.com"]),
            grants=own_url,
            only_for=hook["id"],
        ),
    ]


async def test_hooks_share_a_process_only_where_they_are_confined_the_same(
    create_hook, settle, invoke, invoker, confinements
):
    script = "globalThis.seen = (globalThis.seen || 0) + 1; module.exports = (user, context, cb) => cb(null, globalThis.seen);"
    first, second, third, fourth = [
        await create_hook(name=name, script=script) for name in ("first", "second", "third", "fourth")
    ]
    await settle(second, limits={"wall_time_seconds": 10})  # of the run, not of the process
    await settle(third, egress={"mode": "enforce", "allow": ["a.example.com"]})
    await settle(fourth, own_process=True)
    results = {}
    for hook in (first, second, third, fourth):
        results[hook["name"]] = (await invoke(hook, run_id=hook["name"])).verdict.result
    assert results == {"first": 1, "second": 2, "third": 1, "fourth": 1}


async def test_hook_that_is_waited_for_shares_no_process_with_what_runs_afterwards(
    create_hook, invoke, world, invoker
):
    after = await create_hook(
        name="after", script="module.exports = (u, c, cb) => { globalThis.seen = 1; cb(); };", enabled=True
    )
    assert (await invoke(after)).outcome is Outcome.OK
    before = await create_hook(
        name="before",
        triggerId="pre-user-registration",
        script="module.exports = (u, c, cb) => cb(null, { user: { user_metadata: { seen: globalThis.seen ?? 0 } } });",
        enabled=True,
    )
    event = json.loads(PRE_USER_REGISTRATION.runner_body)
    added = await ask_before_registration(invoker, before["id"], event)
    assert added.user_metadata == {"seen": 0}


@pytest.mark.parametrize("name", [*(kind.name for kind in KINDS if kind.of_process), "all"])
async def test_hook_runs_with_the_least_of_a_processs_limits(create_hook, settle, invoke, name):
    hook = await create_hook(
        script="""module.exports = (user, context, cb) => {
          const { promisify } = require('util');
          const hashed = promisify(require('crypto').scrypt)('password', 'salt', 64); // a thread of the pool
          hashed.then((hash) => cb(null, hash.length), cb);
        };"""
    )
    least = {kind.name: kind.minimum for kind in KINDS if kind.of_process and name in {kind.name, "all"}}
    await settle(hook, limits=least)
    execution = await invoke(hook)
    assert (execution.outcome, execution.error) == (Outcome.OK, None)
    assert execution.verdict.result == 64


async def test_hook_runs_with_the_most_of_every_limit(create_hook, settle, invoke):
    hook = await create_hook(script="module.exports = (user, context, cb) => cb(null, 'x'.repeat(4000000));")
    await settle(hook, limits={kind.name: kind.maximum(Settings()) for kind in KINDS})
    execution = await invoke(hook)
    assert (execution.outcome, execution.error) == (Outcome.OK, None)
    assert len(execution.verdict.result) == 4_000_000


@pytest.fixture
async def sink():
    """A receiver on loopback; the port it listens on."""

    def receive(_reader, writer) -> None:
        writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_list_of_a_hook_is_in_force_from_its_next_run_on(
    create_hook, settle, world, modules_folder, sink
):
    hook = await create_hook(
        script=f"""module.exports = (user, context, cb) => require('net').connect({sink}, '127.0.0.1')
          .on('connect', () => cb(null, 'connected')).on('error', (error) => cb(null, error.code)).resume();"""
    )
    grants = parse_grants(f"127.0.0.1:{sink}")
    outcomes = []
    async with SandboxPool(readable_dirs=(modules_folder,), grants=grants, drain_seconds=0) as pool:
        invoker = HookInvoker(
            pool=pool,
            modules=world.modules,
            database=world.database,
            vault=world.vault,
            settings=world.settings,
        )
        for rules in (
            {"mode": "open"},
            {"mode": "report"},
            {"mode": "enforce"},
            {"allow": [f"127.0.0.1:{sink + 1}"]},
            {"allow": [f"127.0.0.1:{sink}"]},
        ):
            await settle(hook, egress=rules)
            loaded = await invoker.load(hook["id"])
            execution = await invoker.invoke(loaded, EVENT, run_id="run", attempt=1)
            [made] = execution.connections
            outcomes.append((execution.verdict.result, made.allowed, made.reason, made.reported))
        await invoker.close()
    assert outcomes == [
        ("connected", True, "granted", False),
        ("connected", True, "granted", True),
        ("EPERM", False, "not_listed", False),
        ("EPERM", False, "not_listed", False),
        ("connected", True, "granted", False),
    ]
