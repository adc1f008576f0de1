"""Time and memory: what is limited ends, says which limit it was, and takes nobody along for good."""

from __future__ import annotations

import asyncio

import pytest

from tenterhook.sandbox import Confinement, ErrorCode, Limits, Outcome, SandboxPool

from .conftest import Runner, Sink

HEAD = "module.exports = function (user, context, cb) {"
SHORT = Limits(wall_seconds=0.4, grace_seconds=0.4)


async def test_no_cb_within_the_wall_time_is_timed_out(run: Runner) -> None:
    execution = await run(f"{HEAD} console.log('waiting'); setTimeout(cb, 60000) }}", limits=SHORT)
    assert execution.outcome is Outcome.TIMED_OUT
    assert execution.error is not None
    assert execution.error.code == ErrorCode.TIMED_OUT
    assert execution.error.message.startswith("Request to Webtask exceeded allowed execution time")
    assert execution.limit is not None
    assert (execution.limit.name, execution.limit.value) == ("wall_time", 0.4)
    assert "TENTERHOOK_WALL_TIME_LIMIT_SECONDS" in str(execution.limit)
    assert [line.text for line in execution.console] == ["waiting"]
    assert execution.verdict is None


async def test_call_still_open_at_the_limit_is_shown(run: Runner, sink: Sink) -> None:
    execution = await run(f"{HEAD} require('https'); fetch('{sink.url}/never?secret=1') }}", limits=SHORT)
    assert execution.outcome is Outcome.TIMED_OUT
    assert [(call.path, call.status) for call in execution.calls] == [("/never", None)]


async def test_time_starts_with_the_run_not_with_the_process(run: Runner) -> None:
    # A cold start takes longer than this limit.
    execution = await run(f"{HEAD} cb() }}", limits=Limits(wall_seconds=0.03))
    assert execution.outcome is Outcome.OK


async def test_endless_loop_is_killed_and_timed_out(run: Runner, pool: SandboxPool) -> None:
    execution = await run(f"{HEAD} console.log('in'); for (;;); }}", limits=SHORT)
    assert execution.outcome is Outcome.TIMED_OUT
    assert execution.limit is not None
    assert execution.limit.name == "wall_time"
    assert [line.text for line in execution.console] == ["in"]
    assert (await run(f"{HEAD} cb() }}")).outcome is Outcome.OK
    assert pool.status.processes == 1


async def test_endless_loop_after_cb_is_killed(run: Runner) -> None:
    execution = await run(f"{HEAD} cb(null, 1); setImmediate(() => {{ for (;;); }}) }}", limits=SHORT)
    assert execution.outcome is Outcome.TIMED_OUT
    assert execution.limit is not None
    assert execution.limit.name == "grace"
    assert execution.verdict is not None


async def test_endless_microtasks_are_killed(run: Runner) -> None:
    execution = await run("module.exports = async () => { for (;;) await null }", limits=SHORT)
    assert execution.outcome is Outcome.TIMED_OUT


async def test_loop_beside_others_makes_suspects_and_is_found_guilty_alone(run: Runner) -> None:
    beside = asyncio.create_task(run(f"{HEAD} console.log('here'); setTimeout(cb, 30000) }}"))
    await run(f"{HEAD} cb() }}")
    loop = f"{HEAD} for (;;); }}"
    executions = [await run(loop, limits=SHORT), await beside]
    assert [(each.outcome, each.suspect) for each in executions] == [(Outcome.INTERRUPTED, True)] * 2
    assert [line.text for line in executions[1].console] == ["here"]
    again = await run(loop, limits=SHORT, alone=True)
    assert (again.outcome, again.suspect) == (Outcome.TIMED_OUT, False)


async def test_run_that_was_blocked_before_it_began_goes_to_another_process(run: Runner) -> None:
    await run(f"{HEAD} cb() }}")
    loop = asyncio.create_task(run(f"{HEAD} for (;;); }}", limits=SHORT))
    await asyncio.sleep(0)
    waiting = await run(f"{HEAD} cb(null, 'ran') }}")
    assert waiting.outcome is Outcome.OK
    assert (await loop).outcome is Outcome.TIMED_OUT


async def test_run_alone_shares_its_process_with_nobody(run: Runner, pool: SandboxPool, sink: Sink) -> None:
    source = f"{HEAD} fetch('{sink.url}/slow/300').then(() => cb(null, (globalThis.which ??= crypto.randomUUID()))) }}"
    alone = asyncio.create_task(run(source, alone=True))
    await sink.arrived.wait()
    beside = await run(f"{HEAD} cb(null, (globalThis.which ??= crypto.randomUUID())) }}")
    verdict = (await alone).verdict
    assert beside.verdict is not None
    assert verdict is not None
    assert beside.verdict.result != verdict.result
    again = await run(f"{HEAD} cb(null, (globalThis.which ??= crypto.randomUUID())) }}")
    assert again.verdict == beside.verdict


@pytest.mark.parametrize(
    "bomb",
    [
        "const a = []; for (;;) a.push(new Array(1000).fill(0).map((_, i) => ({i})))",
        "let s = 'x'; for (;;) s = [s, s]",
    ],
)
async def test_heap_bomb_is_killed_by_the_memory_limit(bomb: str) -> None:
    async with SandboxPool(confinement=Confinement(memory_bytes=64 * 1024 * 1024), drain_seconds=0) as pool:
        run = Runner(pool)
        execution = await run(f"{HEAD} {bomb} }}")
        assert execution.outcome is Outcome.KILLED
        assert execution.limit is not None
        assert execution.limit.name == "memory"
        assert execution.limit.setting == "TENTERHOOK_MEMORY_LIMIT_BYTES"
        assert (await run(f"{HEAD} cb() }}")).outcome is Outcome.OK


async def test_heap_bomb_beside_others_makes_suspects() -> None:
    async with SandboxPool(confinement=Confinement(memory_bytes=64 * 1024 * 1024), drain_seconds=0) as pool:
        run = Runner(pool)
        bomb = f"{HEAD} setTimeout(() => {{ const a = []; for (;;) a.push(new Array(1000).fill({{}}).map(x => ({{}}))) }}, 100) }}"
        executions = await asyncio.gather(run(bomb), run(f"{HEAD} setTimeout(cb, 30000) }}"))
        assert [(each.outcome, each.suspect) for each in executions] == [(Outcome.INTERRUPTED, True)] * 2
        again = await run(bomb, alone=True)
        assert (again.outcome, again.suspect) == (Outcome.KILLED, False)


async def test_buffers_are_bounded_too() -> None:
    async with SandboxPool(confinement=Confinement(memory_bytes=64 * 1024 * 1024), drain_seconds=0) as pool:
        source = f"{HEAD} const a = []; try {{ for (let n = 0; n < 400; n++) a.push(Buffer.alloc(1 << 20, 1)); cb(null, 'all') }} catch (e) {{ cb(null, a.length) }} }}"
        execution = await Runner(pool)(source)
        if execution.verdict is not None:
            assert isinstance(execution.verdict.result, int)
        else:
            assert execution.outcome is Outcome.KILLED


async def test_open_files_are_limited(run: Runner) -> None:
    source = f"{HEAD} const fs = require('fs'); try {{ for (;;) fs.openSync('/dev/null') }} catch (e) {{ cb(null, e.code) }} }}"
    execution = await run(source)
    assert execution.verdict is not None
    assert execution.verdict.result == "EMFILE"


async def test_written_files_are_limited(run: Runner) -> None:
    source = f"{HEAD} const fs = require('fs'); try {{ for (;;) fs.appendFileSync('big', Buffer.alloc(1 << 20)) }} catch (e) {{ cb(null, [e.code, fs.statSync('big').size]) }} }}"
    execution = await run(source)
    assert execution.verdict is not None
    code, size = execution.verdict.result
    assert code in {"EFBIG", "ENOSPC"}
    assert size <= 16 * 1024 * 1024
