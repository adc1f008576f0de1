"""``context.webtask``: secrets and request parts as the original gave them, storage answered by the host."""

from __future__ import annotations

from tenterhook.sandbox import Invocation, MemoryStorage, Outcome, SandboxPool, Script, Webtask

from .conftest import Runner

HEAD = "module.exports = function (user, context, cb) {"


async def test_webtask_has_its_parts_and_no_credentials(pool: SandboxPool) -> None:
    webtask = Webtask(
        secrets={"KEY": "s"},
        params={"p": 1},
        body={"b": 2},
        meta={"m": "3"},
        query={"q": "4"},
        headers={"h": "5"},
    )
    source = f"{HEAD} const {{storage, ...rest}} = context.webtask; cb(null, {{keys: Object.keys(storage), rest, kept: context.kept}}) }}"
    script = Script(key="k", source=source)
    execution = await pool.run(
        "t", script, Invocation(run_id="01RUN", attempt=3, arguments=({}, {"kept": True}), webtask=webtask)
    )
    assert execution.verdict is not None
    assert execution.verdict.result == {
        "keys": ["get", "set"],
        "kept": True,
        "rest": {
            "id": "01RUN",
            "attempt": 3,
            "secrets": {"KEY": "s"},
            "params": {"p": 1},
            "data": {"q": "4", "p": 1, "KEY": "s", "b": 2},
            "body": {"b": 2},
            "meta": {"m": "3"},
            "query": {"q": "4"},
            "headers": {"h": "5"},
        },
    }
    assert "KEY" not in repr(webtask)


async def test_context_may_be_any_argument(pool: SandboxPool) -> None:
    script = Script(
        key="k",
        source="module.exports = (context, scope, cb) => cb(null, [context.webtask.id, scope.webtask])",
    )
    invocation = Invocation(run_id="r", arguments=({}, {}), context_index=0)
    execution = await pool.run("t", script, invocation)
    assert execution.verdict is not None
    assert execution.verdict.result == ["r", None]


async def test_storage_counts_over_runs(run: Runner) -> None:
    storage = MemoryStorage()
    source = f"{HEAD} const s = context.webtask.storage; s.get((e, d) => {{ d = d || {{n: 0}}; d.n++; s.set(d, (e) => cb(e, d)) }}) }}"
    results = [(await run(source, storage=storage)).verdict for _ in range(3)]
    assert [verdict and verdict.result for verdict in results] == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_storage_conflict_is_409_with_the_document_that_is_there(run: Runner) -> None:
    storage = MemoryStorage({"n": 1})
    await storage.set({"n": 5}, etag=None, force=False)
    source = f"{HEAD} context.webtask.storage.set({{n: 2}}, (e) => cb(null, [e.code, e.conflict])) }}"
    execution = await run(source, storage=storage)
    assert execution.verdict is not None
    assert execution.verdict.result == [409, {"n": 5}]
    source = f"{HEAD} const s = context.webtask.storage; s.set({{n: 2}}, () => s.set({{n: 3}}, cb)) }}"
    assert (await run(source, storage=storage)).outcome is Outcome.OK
    assert (await storage.get())[0] == {"n": 3}


async def test_storage_set_by_force_always_writes(run: Runner) -> None:
    storage = MemoryStorage()
    await storage.set(1, etag=None, force=False)
    source = f"{HEAD} context.webtask.storage.set(2, {{force: 1}}, cb) }}"
    assert (await run(source, storage=storage)).outcome is Outcome.OK
    assert (await storage.get())[0] == 2


async def test_storage_refuses_more_than_500_kb(run: Runner) -> None:
    storage = MemoryStorage()
    for length, code in ((500 * 1024 - 2, None), (500 * 1024 - 1, 413)):
        source = f"{HEAD} context.webtask.storage.set('x'.repeat({length}), {{force: 1}}, (e) => cb(null, [e && e.code])) }}"
        execution = await run(source, storage=storage)
        assert execution.verdict is not None
        assert execution.verdict.result == [code]


async def test_storage_without_callback_is_a_promise_and_failures_reach_it(run: Runner) -> None:
    class Broken(MemoryStorage):
        async def get(self) -> tuple[object, str | None]:
            raise OSError("the database is away")

    source = "module.exports = async (u, c, cb) => cb(null, await c.webtask.storage.get().catch((e) => [e.code, e.message]))"
    execution = await run(source, storage=Broken())
    assert execution.verdict is not None
    assert execution.verdict.result == [500, "The storage cannot be reached."]
    execution = await run(source)
    assert execution.verdict is not None
    assert execution.verdict.result == [500, "Storage is not available here."]
