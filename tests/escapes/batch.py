"""Executes attempts in one mode, in a process of its own, and prints what was observed as JSON.

    python -m tests.escapes.batch MODE FOLDER < names

A process of its own, because a mode may need another user and system calls that stay refused. With everything on, all
attempts share one pool; with protections taken away, those that take away the same ones do. Attempts that leave their
process whole share a process, one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from tenterhook.egress import parse_grants
from tenterhook.sandbox import (
    Confinement,
    ConsoleLine,
    Execution,
    Invocation,
    Limits,
    Outcome,
    SandboxPool,
    SandboxUnavailableError,
    Script,
    Verdict,
    Webtask,
)
from tenterhook.sandbox.jail.filter import reachable_syscalls
from tenterhook.sandbox.jail.protections import NONE_REMOVED
from tenterhook.sandbox.jail.rules import ERROR_OF_CALL
from tenterhook.sandbox.jail.syscalls import current_architecture
from tenterhook.sandbox.status import status_of_this_host
from tests.escapes import addon
from tests.escapes.attempt import NAMESPACES, Attempt, Mode, Observed
from tests.escapes.catalogue import ATTEMPTS
from tests.escapes.host import Granted, Host

NO_ANSWER = "the pool gave no answer"
MARK = "of-the-other-tenant-"
"""In everything of another tenant's: secret, hook text, module, arguments."""
OTHER_SET = "of-another-tenant"
_MEMORY_MIB = 256
_AT_ONCE = 4
_POOLS_AT_ONCE = 2
_READY = "the other tenant is ready: "
_HOOK = """\
module.exports = async function (host, _context, cb) {
  const attack = require('attack');
  const { native, sys, word, considered, inet, inet6, local, pointers, message, rights, connected, pending, attempt, later } = attack;
  const told = (escaped, words) => cb(null, { told: Boolean(escaped), words: String(words).slice(0, 2000) });
  const ready = (value) => console.log('the other tenant is ready: ' + JSON.stringify(value));
  /** A system call that nobody may make: the number it answers would be a success. */
  const call = (...values) => { const result = sys(...values); told(result >= 0, word(result)); };
  try {
%s
  } catch (error) {
    told(false, error.code ?? error.message);
  }
};
"""


class _Other:
    """The other tenant's run: ready when it says so."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def on_started(self, at: object) -> None:
        """Nothing to see."""

    def on_console(self, line: ConsoleLine) -> None:
        """Wait for its word."""
        if line.text.startswith(_READY) and not self.ready.done():
            self.ready.set_result(json.loads(line.text.removeprefix(_READY)))

    def on_called_back(self, verdict: Verdict) -> None:
        """It should have stayed."""
        if not self.ready.done():
            self.ready.set_exception(RuntimeError(f"the other tenant did not stay: {verdict}"))

    def on_call(self, call: object) -> None:
        """Nothing to see."""


class Batch:
    """Executes attempts in the circumstances that this process is in."""

    def __init__(self, mode: Mode, folder: Path, granted: Granted) -> None:
        table = current_architecture().table
        named = reachable_syscalls(current_architecture(), gate_mode=mode is Mode.GATE)
        # Those that are refused with other words cannot be told from permitted ones by what they answer.
        self._reachable = [table[name] for name in {*named, *ERROR_OF_CALL} if name in table]
        self._folder = folder
        self._granted = granted
        self._modules = folder / "modules"
        self._package = self._modules / "attack-set" / "node_modules" / "attack"
        shutil.copytree(addon.build(), self._package)
        theirs = self._modules / OTHER_SET / "node_modules" / "theirs"
        theirs.mkdir(parents=True)
        (theirs / "package.json").write_text('{"name": "theirs", "version": "1.0.0"}')
        (theirs.parents[1] / "secret.js").write_text(f"// a module of another tenant: {MARK}module")

    @contextlib.asynccontextmanager
    async def _pool(self, attempt: Attempt, *, removed: bool) -> AsyncIterator[SandboxPool]:
        memory = attempt.memory_mib or _MEMORY_MIB
        async with SandboxPool(
            readable_dirs=(self._modules,),
            confinement=Confinement(memory_bytes=memory << 20),
            grants=parse_grants(f"127.0.0.1:{self._granted.port}"),
            drain_seconds=0,
            crash_backoff_first_seconds=0.01,
            removed=attempt.removed if removed else NONE_REMOVED,
        ) as pool:
            yield pool

    def _script(self, name: str, code: str, **modules: Path) -> Script:
        require_map = {"attack": self._package, **modules}
        return Script(
            key=name, source=_HOOK.replace("%s", code), file_name="hook.js", require_map=require_map
        )

    async def _execute(self, pool: SandboxPool, attempt: Attempt, tenant: str) -> Observed:
        host = Host(self._folder, self._granted, attempt.code + attempt.other)
        async with host as told_to_it, contextlib.AsyncExitStack() as stack:
            told_to_it["reachable"] = self._reachable
            link = self._modules / "attack-set" / f"link-{host.name}"
            link.symlink_to(told_to_it["secret"])
            stack.callback(link.unlink)
            other = None
            if attempt.other:
                other = await stack.enter_async_context(self._other(pool, attempt, told_to_it))
            try:
                async with asyncio.timeout(attempt.wall_seconds + 10):
                    execution = await pool.run(
                        tenant,
                        self._script(attempt.name, attempt.code),
                        Invocation(run_id=f"run-{attempt.name}", arguments=(told_to_it, {})),
                        limits=Limits(wall_seconds=attempt.wall_seconds, grace_seconds=1),
                    )
            except (TimeoutError, SandboxUnavailableError) as error:
                return Observed(told=False, words=f"{NO_ANSWER}: {error!r}", ended=True, outside=host.seen())
            await host.settle()
            seen = host.seen()
            seen["other_alive"] = other is None or not other.done()
            return _observed(execution, seen)

    @contextlib.asynccontextmanager
    async def _other(
        self, pool: SandboxPool, attempt: Attempt, told_to_it: dict[str, Any]
    ) -> AsyncIterator[asyncio.Task[Execution]]:
        observer = _Other()
        tenant = f"other of {attempt.name}"
        theirs = self._modules / OTHER_SET / "node_modules" / "theirs"
        webtask = Webtask(secrets={"KEY": f"{MARK}secret"})
        staying = asyncio.create_task(
            pool.run(
                tenant,
                self._script(f"other:{attempt.name}", f"// {MARK}text\n{attempt.other}", theirs=theirs),
                Invocation(run_id=f"other-{attempt.name}", arguments=(told_to_it, {}), webtask=webtask),
                limits=Limits(wall_seconds=60, grace_seconds=1),
                observer=observer,
            )
        )
        try:
            await asyncio.wait({staying, observer.ready}, return_when=asyncio.FIRST_COMPLETED)
            if not observer.ready.done():
                raise RuntimeError(f"the other tenant did not stay: {staying.result()}")
            slots = pool._places._slots.items()
            told_to_it |= {
                "other": observer.ready.result(),
                "other_pid": next(process.pid for process, slot in slots if slot.tenant_key == tenant),
                "other_set": OTHER_SET,
                "other_modules": str(self._modules / OTHER_SET),
            }
            yield staying
        finally:
            staying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await staying

    async def run(self, attempts: Iterable[Attempt], *, removed: bool) -> dict[str, Observed]:
        """Execute them all, those of one pool in a few processes."""
        observed: dict[str, Observed] = {}

        def pool_of(attempt: Attempt) -> tuple[Any, ...]:
            return (sorted(attempt.removed) if removed else [], attempt.memory_mib or 0)

        async def one_after_the_other(pool: SandboxPool, number: int, row: list[Attempt]) -> None:
            for attempt in row:
                observed[attempt.name] = await self._execute(pool, attempt, f"attacker-{number}")

        async def in_one_pool(group: list[Attempt]) -> None:
            async with self._pool(group[0], removed=removed) as pool:
                tame = [attempt for attempt in group if not attempt.alone]
                rows = [[attempt] for attempt in group if attempt.alone]
                rows += [row for row in (tame[index::_AT_ONCE] for index in range(_AT_ONCE)) if row]
                await _bounded(
                    (one_after_the_other(pool, number, row) for number, row in enumerate(rows)), _AT_ONCE
                )

        groups = [list(group) for _, group in itertools.groupby(sorted(attempts, key=pool_of), pool_of)]
        await _bounded((in_one_pool(group) for group in groups), _POOLS_AT_ONCE)
        return observed


async def _bounded(work: Iterable[Any], most: int) -> None:
    """Await everything, so many at a time."""
    places = asyncio.Semaphore(most)

    async def one(each: Any) -> None:
        async with places:
            await each

    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(one(each))


def _observed(execution: Execution, outside: dict[str, Any]) -> Observed:
    result = execution.verdict.result if execution.verdict is not None else None
    ended = execution.outcome not in {Outcome.OK, Outcome.OK_WITH_FAILED_CALLS, Outcome.ERROR}
    if isinstance(result, dict) and "told" in result:
        return Observed(told=result["told"], words=result["words"], ended=ended, outside=outside)
    words = execution.error.message if execution.error is not None else str(execution.outcome)
    return Observed(told=False, words=words, ended=ended, outside=outside)


def _end_what_is_left() -> None:
    """End children of attempts that succeeded: they came to us when their parents ended."""
    children = Path("/proc/thread-self/children")
    while pids := children.read_text().split():
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.wait()


async def _main(mode: Mode, folder: Path, names: list[str]) -> None:
    if mode in NAMESPACES and status_of_this_host(unsafe=False).tier not in {1, 2}:
        print(json.dumps({"held": {}, "removed": {}, "lacks": "namespaces"}))
        return
    chosen = [attempt for attempt in ATTEMPTS if attempt.name in names]
    os.environ["ESCAPES_OF_THE_HOST"] = "x"  # what no hook may find in its environment
    # What no hook may find among its descriptors: inheritable, as a careless library leaves it.
    os.set_inheritable(os.open(folder, os.O_RDONLY), True)
    async with Granted() as granted:
        batch = Batch(mode, folder, granted)
        held = await batch.run([each for each in chosen if mode in each.held], removed=False)
        escaped = await batch.run([each for each in chosen if mode in each.proven], removed=True)
    print(
        json.dumps(
            {
                "held": {name: dataclasses.asdict(each) for name, each in held.items()},
                "removed": {name: dataclasses.asdict(each) for name, each in escaped.items()},
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(_main(Mode(sys.argv[1]), Path(sys.argv[2]), json.load(sys.stdin)))
    _end_what_is_left()
