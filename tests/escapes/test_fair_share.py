"""A hostile tenant takes its share of places and no more. Counted, not timed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tenterhook.sandbox import Execution, Invocation, Limits, Outcome, SandboxPool, Script

_HOGS = 12
_SHARE = 2
_PLACES = 4
_BLOCK = "module.exports = (user, context, cb) => { for (;;) {} }"
_WAIT = "module.exports = (user, context, cb) => { setInterval(() => {}, 1000) }"
_ANSWER = "module.exports = (user, context, cb) => cb(null, 'ran')"


def _run(
    pool: SandboxPool, tenant: str, source: str, number: int, *, alone: bool = False
) -> asyncio.Task[Execution]:
    return asyncio.create_task(
        pool.run(
            tenant,
            Script(key=f"{tenant}:{source}", source=source),
            Invocation(run_id=f"{tenant}-{number}", arguments=({}, {})),
            limits=Limits(wall_seconds=60, grace_seconds=1),
            alone=alone,
        )
    )


@contextlib.asynccontextmanager
async def _pool_with_hogs(
    source: str, *, share: int
) -> AsyncIterator[tuple[SandboxPool, list[asyncio.Task[Execution]]]]:
    async with SandboxPool(drain_seconds=0, max_processes=_PLACES, max_processes_per_tenant=share) as pool:
        hogs = [_run(pool, "hostile", source, number, alone=True) for number in range(_HOGS)]
        while pool.status.processes < min(share, _PLACES) or pool.status.waiting_runs < _HOGS - share:
            await asyncio.sleep(0.01)
        yield pool, hogs
        for hog in hogs:
            hog.cancel()
        await asyncio.gather(*hogs, return_exceptions=True)


@pytest.mark.parametrize("source", [_WAIT, _BLOCK], ids=["waiting", "blocking"])
async def test_others_run_while_a_hostile_tenant_has_all_it_may_have(source: str) -> None:
    async with _pool_with_hogs(source, share=_SHARE) as (pool, hogs):
        executions = await asyncio.gather(*(_run(pool, "other", _ANSWER, number) for number in range(5)))
        assert {execution.outcome for execution in executions} == {Outcome.OK}
        assert [hog for hog in hogs if hog.done()] == []
        assert pool.status.waiting_runs == _HOGS - _SHARE


async def test_without_a_share_others_would_wait() -> None:
    async with _pool_with_hogs(_WAIT, share=_PLACES) as (pool, hogs):
        other = _run(pool, "other", _ANSWER, 0)
        while pool.status.waiting_runs <= _HOGS - _PLACES:
            await asyncio.sleep(0.01)
        assert not other.done()
        for hog in hogs:
            hog.cancel()
        assert (await other).outcome is Outcome.OK


async def test_a_tenant_whose_processes_crash_does_not_stop_others() -> None:
    async with SandboxPool(drain_seconds=0, max_processes=_PLACES, max_processes_per_tenant=_SHARE) as pool:
        crash = "module.exports = (user, context, cb) => process.binding('fs') && require('vm').runInThisContext('for (const all = [];;) all.push(new Array(1e6).fill(1.5))')"
        hogs = [_run(pool, "hostile", crash, number) for number in range(_HOGS)]
        executions = await asyncio.gather(*(_run(pool, "other", _ANSWER, number) for number in range(5)))
        assert {execution.outcome for execution in executions} == {Outcome.OK}
        for hog in hogs:
            hog.cancel()
        await asyncio.gather(*hogs, return_exceptions=True)
