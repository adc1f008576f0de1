"""The processes around the runs: what surrounds each, how many there are, when they end."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tenterhook.errors import ConfigurationError, OverloadedError
from tenterhook.sandbox import (
    Confinement,
    ConsoleLine,
    Execution,
    Invocation,
    Limits,
    NodeBinary,
    Outcome,
    SandboxPool,
    SandboxUnavailableError,
    Script,
    find_node,
    ground,
    supervision,
)

from .conftest import LOOPBACK, Runner, Sink

HEAD = "module.exports = function (user, context, cb) {"
# Inside, every process is number 1 of its own namespace; this tells them apart.
WHICH = "(globalThis.which ??= crypto.randomUUID())"
ASK = f"{HEAD} cb(null, {WHICH}) }}"


async def result_of(run: Runner, expression: str, **more: object) -> object:
    execution = await run(f"{HEAD} cb(null, {expression}) }}", **more)
    assert execution.error is None
    assert execution.verdict is not None
    return execution.verdict.result


def wait_for_end(pid: int, seconds: float = 30) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], seconds)[0], "the process goes on"
    finally:
        os.close(descriptor)


async def test_node_and_runtime_under_a_closed_home_work(tmp_path: Path) -> None:
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    node = find_node()
    copy = closed / "node"
    try:
        os.link(node.path.resolve(), copy)
    except OSError:
        shutil.copy(node.path, copy)
    async with SandboxPool(node=NodeBinary(path=copy, version=node.version), drain_seconds=0) as pool:
        assert await result_of(Runner(pool), "process.version") == f"v{node.version}"


async def test_warm_process_is_used_again_and_never_by_another_tenant(run: Runner, pool: SandboxPool) -> None:
    seen = [await result_of(run, WHICH, tenant=tenant) for tenant in ("a", "b", "a", "b")]
    assert seen[0] == seen[2] != seen[1] == seen[3]
    assert pool.status.processes == 2
    assert pool.status.node_version == find_node().version


async def test_full_process_gets_a_sibling() -> None:
    async with SandboxPool(max_runs_per_process=2, drain_seconds=0) as pool:
        run = Runner(pool)
        source = f"{HEAD} setTimeout(() => cb(null, {WHICH}), 100) }}"
        executions = await asyncio.gather(*(run(source) for _ in range(5)))
        pids = [execution.verdict.result for execution in executions if execution.verdict]
        assert sorted(pids.count(pid) for pid in set(pids)) == [1, 2, 2]


async def test_runs_wait_in_line_when_there_is_no_room(sink: Sink) -> None:
    async with SandboxPool(max_processes=1, max_runs_per_process=1, drain_seconds=0, grants=LOOPBACK) as pool:
        run = Runner(pool)
        first = asyncio.create_task(run(f"{HEAD} fetch('{sink.url}/slow/300').then(() => cb(null, 1)) }}"))
        await sink.arrived.wait()
        others = [asyncio.create_task(run(ASK, tenant=tenant)) for tenant in ("acme", "other", "third")]
        await asyncio.sleep(0)
        assert pool.status.waiting_runs == 3
        executions = await asyncio.gather(first, *others)
        assert [execution.outcome for execution in executions] == [Outcome.OK] * 4
        assert pool.status.processes == 1
        assert pool.status.waiting_runs == 0


async def test_cancelled_run_leaves_the_line_and_its_process(sink: Sink) -> None:
    async with SandboxPool(max_processes=1, max_runs_per_process=1, drain_seconds=0, grants=LOOPBACK) as pool:
        run = Runner(pool)
        first = asyncio.create_task(run(f"{HEAD} fetch('{sink.url}/never') }}"))
        await sink.arrived.wait()
        waiting = asyncio.create_task(run(ASK))
        await asyncio.sleep(0)
        waiting.cancel()
        first.cancel()
        await asyncio.wait([first, waiting])
        assert pool.status.waiting_runs == 0
        assert (await run(ASK)).outcome is Outcome.OK


async def test_idle_process_is_ended() -> None:
    async with SandboxPool(idle_seconds=0.05, drain_seconds=0) as pool:
        await Runner(pool)(ASK)
        (pid,) = pool.status.pids
        await asyncio.to_thread(wait_for_end, pid)
        while pool.status.processes:  # the loop hears of the end a moment later
            await asyncio.sleep(0)


@pytest.mark.parametrize("alone", [False, True])
async def test_process_killed_from_outside_makes_a_suspect_and_alone_a_guilty_one(
    run: Runner, pool: SandboxPool, alone: bool
) -> None:
    watch = Watch()
    task = asyncio.create_task(
        run(f"{HEAD} console.log('here'); setTimeout(cb, 30000) }}", observer=watch, alone=alone)
    )
    await watch.printed.wait()
    (pid,) = pool.status.pids
    os.kill(pid, signal.SIGKILL)
    execution = await task
    assert (execution.outcome, execution.suspect) == (
        (Outcome.KILLED, False) if alone else (Outcome.INTERRUPTED, True)
    )
    assert execution.limit is None
    assert execution.error is not None
    assert "SIGKILL" in execution.error.message


class Watch:
    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.printed = asyncio.Event()
        self.lines: list[str] = []

    def on_started(self, at: object) -> None:
        self.started.set()

    def on_console(self, line: ConsoleLine) -> None:
        self.lines.append(line.text)
        self.printed.set()

    def on_answer(self, answer: object) -> None: ...
    def on_called_back(self, verdict: object) -> None: ...
    def on_call(self, call: object) -> None: ...


async def test_closing_lets_open_runs_finish() -> None:
    async with SandboxPool(drain_seconds=30) as pool:
        run = Runner(pool)
        watch = Watch()
        task = asyncio.create_task(
            run(f"{HEAD} cb(); setTimeout(() => console.log('end'), 200) }}", observer=watch)
        )
        await watch.started.wait()
    execution = await task
    assert execution.outcome is Outcome.OK
    assert [line.text for line in execution.console] == ["end"]
    with pytest.raises(OverloadedError):
        await run(ASK)


async def test_closing_interrupts_what_does_not_finish_and_leaves_nothing() -> None:
    async with SandboxPool(drain_seconds=0.05) as pool:
        run = Runner(pool)
        await run(ASK)
        (pid,) = pool.status.pids
        supervisor = pool.status.supervisor_pid
        watch = Watch()
        task = asyncio.create_task(run(f"{HEAD} setTimeout(cb, 30000) }}", observer=watch))
        await watch.started.wait()
    execution = await task
    assert (execution.outcome, execution.suspect) == (Outcome.INTERRUPTED, False)
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{supervisor}").exists()
    assert pool.status.processes == 0


async def test_processes_die_with_the_host(tmp_path: Path) -> None:
    program = """
import asyncio, os
from tenterhook.sandbox import *
async def main():
    async with SandboxPool() as pool:
        source = "module.exports = (u, c, cb) => { console.log('here'); for (;;); }"
        class Watch:
            def on_started(self, at): pass
            def on_console(self, line): print(*pool.status.pids, pool.status.supervisor_pid, flush=True)
            def on_answer(self, answer): pass
            def on_called_back(self, verdict): pass
            def on_call(self, call): pass
        await pool.run("t", Script(key="k", source=source), Invocation(run_id="r", arguments=({}, {})), observer=Watch())
asyncio.run(main())
"""
    host = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert host.stdout is not None
    try:
        pids = [int(word) for word in (await asyncio.to_thread(host.stdout.readline)).split()]
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    finally:
        host.kill()
        await asyncio.to_thread(host.wait)
        host.stdout.close()
    for pid in pids:
        await asyncio.to_thread(wait_for_end, pid)


async def test_node_that_cannot_run_is_said_so(tmp_path: Path) -> None:
    broken = tmp_path / "node"
    shutil.copy("/bin/true", broken)
    async with SandboxPool(node=NodeBinary(path=broken, version="0"), drain_seconds=0) as pool:
        with pytest.raises(SandboxUnavailableError, match="could not start: status 0"):
            await Runner(pool)(ASK)
        assert pool.status.processes == 0


async def test_missing_module_folder_is_made(tmp_path: Path) -> None:
    async with SandboxPool(readable_dirs=(tmp_path / "a" / "modules",)):
        assert (tmp_path / "a" / "modules").is_dir()


async def test_extra_ca_file_is_readable_inside(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_text("-----BEGIN CERTIFICATE-----")
    certificate.chmod(0o600)
    async with SandboxPool(ca_file=certificate, drain_seconds=0) as pool:
        text = await result_of(
            Runner(pool), "require('fs').readFileSync(process.env.NODE_EXTRA_CA_CERTS, 'utf8')"
        )
        assert text == "-----BEGIN CERTIFICATE-----"


async def test_event_loop_is_not_blocked_by_a_start(run: Runner) -> None:
    async def beat() -> int:
        beats = 0
        while True:
            await asyncio.sleep(0)
            beats += 1
            if done.is_set():
                return beats

    done = asyncio.Event()
    beats = asyncio.create_task(beat())
    await run(ASK)
    done.set()
    assert await beats > 10


async def test_many_scripts_are_forgotten_and_sent_again(run: Runner) -> None:
    first = f"{HEAD} cb(null, 'first') }}"
    await run(first)
    await asyncio.gather(*(run(f"{HEAD} cb(null, {number}) }}", limits=Limits()) for number in range(140)))
    execution = await run(first)
    assert execution.verdict is not None
    assert execution.verdict.result == "first"


def test_version_is_that_of_the_binary() -> None:
    node = find_node()
    printed = subprocess.run([node.path, "--version"], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == f"v{node.version}"


async def test_warm_process_is_given_away_and_replaced() -> None:
    async with SandboxPool(warm_processes=1, drain_seconds=0) as pool:
        while not pool.status.pids:  # the first is starting
            await asyncio.sleep(0.01)
        assert (pool.status.processes, pool.status.warm_processes) == (0, 1)
        (warm,) = pool.status.pids
        await Runner(pool)(ASK)
        assert pool.status.processes == 1
        assert warm in pool.status.pids
        while pool.status.warm_processes < 1 or len(pool.status.pids) < 2:
            await asyncio.sleep(0.01)


async def test_warm_process_is_not_given_to_who_needs_another_size() -> None:
    async with SandboxPool(warm_processes=1, drain_seconds=0) as pool:
        while not pool.status.pids:
            await asyncio.sleep(0.01)
        (warm,) = pool.status.pids
        small = Confinement(memory_bytes=64 * 1024 * 1024)
        first, second = [
            await result_of(Runner(pool), WHICH, confinement=each) for each in (small, Confinement())
        ]
        assert first != second
        assert warm in pool.status.pids


async def test_hooks_confined_alike_share_a_process_and_others_do_not(run: Runner) -> None:
    narrow = Confinement(max_connections=1)
    hook = Confinement(only_for="hook-7")
    seen = [
        await result_of(run, WHICH, confinement=each)
        for each in (Confinement(), narrow, hook, Confinement(), narrow, hook)
    ]
    assert seen[:3] == seen[3:]
    assert len(set(seen)) == 3


async def test_tenant_with_all_its_processes_does_not_keep_others_waiting(sink: Sink) -> None:
    async with SandboxPool(
        max_processes_per_tenant=1, max_runs_per_process=1, drain_seconds=0, grants=LOOPBACK
    ) as pool:
        run = Runner(pool)
        greedy = [asyncio.create_task(run(f"{HEAD} fetch('{sink.url}/never') }}")) for _ in range(3)]
        await sink.arrived.wait()
        assert (await run(ASK, tenant="other")).outcome is Outcome.OK
        assert (pool.status.processes, pool.status.waiting_runs) == (2, 2)
        for task in greedy:
            task.cancel()
        await asyncio.wait(greedy)


async def test_hook_that_kills_its_process_waits_and_gets_no_company() -> None:
    async with SandboxPool(drain_seconds=0, crash_backoff_first_seconds=0.2) as pool:
        run = Runner(pool)
        other = await result_of(run, WHICH)
        guilty = {"key": "guilty:1", "source": f"{HEAD} for (;;); }}"}
        first = await run_script(run, guilty, limits=Limits(wall_seconds=0.2))
        assert first.outcome is Outcome.TIMED_OUT
        assert 0 < pool.seconds_to_wait("acme", "guilty:2") <= 0.2
        assert pool.seconds_to_wait("acme", "other:1") == pool.seconds_to_wait("other", "guilty:1") == 0
        assert await result_of(run, WHICH) != other  # it shared the process that was killed
        calm = await result_of(run, WHICH)
        mended = await run_script(run, {"key": "guilty:2", "source": ASK})
        assert mended.verdict is not None
        assert mended.verdict.result != calm
        assert await result_of(run, WHICH) == calm


async def test_hook_that_ends_its_process_after_its_run_is_found_all_the_same() -> None:
    async with SandboxPool(drain_seconds=0) as pool:
        run = Runner(pool)
        broken_frame = "require('fs').writeSync(3, Buffer.from([255, 255, 255, 255]))"
        sly = {"key": "sly:1", "source": f"{HEAD} cb(); setTimeout(() => {broken_frame}, 1).unref() }}"}
        await run_script(run, sly)  # over by then or not: whoever is quicker
        while not pool.seconds_to_wait("acme", "sly:1"):
            await asyncio.sleep(0.01)
        assert pool.seconds_to_wait("other", "sly:1") == 0


async def test_silent_supervisor_is_given_up(
    run: Runner, pool: SandboxPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "ANSWER_SECONDS", 3.0)
    silent = pool.status.supervisor_pid
    assert silent is not None
    os.kill(silent, signal.SIGSTOP)
    # The first process is lost with it, the next is another supervisor's.
    assert (await run(ASK)).outcome is Outcome.OK
    assert pool.status.supervisor_pid != silent


async def test_sandbox_that_cannot_be_made_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Probing looked well, and then something is missing when the tree is built.
    monkeypatch.setattr(ground, "RUNTIME_DIR", tmp_path / "runtime")
    monkeypatch.setattr(ground, "libraries_of", lambda binary: ("/nowhere/libc.so.6",))
    with pytest.raises(ConfigurationError, match=r"cannot be made: .*No such file"):
        async with SandboxPool():
            pass


async def test_hook_that_leaves_files_open_harms_no_other(run: Runner) -> None:
    leaking = "const open = globalThis.open = []; for (;;) open.push(require('fs').openSync('/dev/null'))"
    execution = await run(f"{HEAD} {leaking} }}")
    assert execution.error is not None
    assert execution.error.code == "EMFILE"
    assert "open files limit" in execution.notes[0]
    assert await result_of(run, "require('fs').openSync('/dev/null') > 0") is True


async def test_process_gives_way_after_so_many_runs() -> None:
    async with SandboxPool(drain_seconds=0, replace_process_after_runs=2) as pool:
        seen = [await result_of(Runner(pool), WHICH) for _ in range(4)]
        assert seen[0] == seen[1] != seen[2] == seen[3]


async def test_lost_supervisor_interrupts_its_runs_and_is_replaced(run: Runner, pool: SandboxPool) -> None:
    watch = Watch()
    task = asyncio.create_task(run(f"{HEAD} setTimeout(cb, 30000) }}", observer=watch))
    await watch.started.wait()
    lost = pool.status.supervisor_pid
    (pid,) = pool.status.pids
    assert lost is not None
    os.kill(lost, signal.SIGKILL)
    execution = await task
    assert (execution.outcome, execution.suspect) == (Outcome.INTERRUPTED, True)
    await asyncio.to_thread(wait_for_end, pid)
    assert (await run(ASK)).outcome is Outcome.OK
    assert pool.status.supervisor_pid not in {None, lost}


async def run_script(run: Runner, script: dict[str, str], **more: object) -> Execution:
    made = Script(**script)
    return await run.pool.run("acme", made, Invocation(run_id="r", arguments=({}, {})), **more)
