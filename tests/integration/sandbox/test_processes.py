"""The processes around the runs: what surrounds each, how many there are, when they end."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from tenterhook.errors import ConfigurationError, OverloadedError
from tenterhook.sandbox import ConsoleLine, Limits, NodeBinary, Outcome, SandboxPool, find_node, spawn
from tenterhook.sandbox.spawn import SandboxUnavailableError, Surroundings, surroundings

from .conftest import Runner, Sink

HEAD = "module.exports = function (user, context, cb) {"
PID = f"{HEAD} cb(null, process.pid) }}"
AS_ROOT = surroundings() is not Surroundings.SAME_UID


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


async def test_environment_holds_nothing_of_the_hosts(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    environment = await result_of(run, "process.env")
    assert isinstance(environment, dict)
    assert sorted(environment) == ["HOME", "LANG", "PATH", "TMPDIR", "TZ"]
    assert await result_of(run, "process.argv.slice(2)") == []
    assert await result_of(run, "'' + new Date(0).getTimezoneOffset()") == "0"


async def test_working_folder_is_private_and_empty(run: Runner) -> None:
    assert await result_of(run, "require('fs').readdirSync('.')") == []
    assert await result_of(run, "require('fs').readdirSync(process.env.HOME)") == []
    await result_of(run, "require('fs').writeFileSync('mine', 'x') ?? 1")
    assert await result_of(run, "require('fs').readdirSync(process.env.HOME)", tenant="other") == []


async def test_only_the_channel_is_inherited(run: Runner) -> None:
    # Descriptors above 3 are Node's own (epoll, eventfd, pipes): none is a file or a socket of ours.
    with InheritablePipe() as inode:
        links = await result_of(
            run,
            "require('fs').readdirSync('/proc/self/fd').sort((a, b) => a - b).map((fd) => { try { return require('fs').readlinkSync('/proc/self/fd/' + fd) } catch { return '' } })",
        )
        assert isinstance(links, list)
        assert links[0] == links[1] == "/dev/null"
        assert links[2].startswith("pipe:")
        assert links[3].startswith("socket:")
        assert sum(link.startswith("socket:") for link in links) == 1
        assert not any(str(inode) in link for link in links)


class InheritablePipe:
    def __enter__(self) -> int:
        self.descriptors = os.pipe()
        os.set_inheritable(self.descriptors[0], True)
        return os.fstat(self.descriptors[0]).st_ino

    def __exit__(self, *_: object) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


async def test_process_is_restricted(run: Runner) -> None:
    status = await result_of(run, "require('fs').readFileSync('/proc/self/status', 'utf8')")
    limits = await result_of(run, "require('fs').readFileSync('/proc/self/limits', 'utf8')")
    assert isinstance(status, str)
    assert isinstance(limits, str)
    assert "NoNewPrivs:\t1" in status
    assert "Umask:\t0077" in status
    assert f"PPid:\t{os.getpid()}" in status
    rows = {line[:26].strip(): line[26:].split()[1] for line in limits.splitlines()[1:]}
    assert rows["Max core file size"] == "0"
    assert rows["Max open files"] == "512"
    assert int(rows["Max data size"]) == (585 + 256) * 1024 * 1024
    assert await result_of(run, "require('fs').readlinkSync('/proc/self').length > 0")


async def test_each_process_has_a_uid_of_its_own_where_root_and_no_capabilities(run: Runner) -> None:
    ids = "[process.getuid(), process.geteuid(), process.getgid(), process.getgroups().length]"
    first = await result_of(run, ids)
    second = await result_of(run, ids, tenant="other")
    assert isinstance(first, list)
    assert isinstance(second, list)
    if AS_ROOT:
        assert len({0, first[0], second[0]}) == 3
        assert first[0] == first[1] == first[2]
        assert first[3] <= 1  # Node counts the gid itself
    else:
        assert first == second == [os.getuid(), os.geteuid(), os.getgid(), first[3]]
    status = await result_of(run, "require('fs').readFileSync('/proc/self/status', 'utf8')")
    assert isinstance(status, str)
    for row in ("CapPrm", "CapEff", "CapAmb"):
        assert f"{row}:\t0000000000000000" in status


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
    pids = [await result_of(run, "process.pid", tenant=tenant) for tenant in ("a", "b", "a", "b")]
    assert pids[0] == pids[2] != pids[1] == pids[3]
    assert pool.status.processes == 2
    assert pool.status.node_version == find_node().version


async def test_full_process_gets_a_sibling() -> None:
    async with SandboxPool(max_runs_per_process=2, drain_seconds=0) as pool:
        run = Runner(pool)
        source = f"{HEAD} setTimeout(() => cb(null, process.pid), 100) }}"
        executions = await asyncio.gather(*(run(source) for _ in range(5)))
        pids = [execution.verdict.result for execution in executions if execution.verdict]
        assert sorted(pids.count(pid) for pid in set(pids)) == [1, 2, 2]


async def test_runs_wait_in_line_when_there_is_no_room(sink: Sink) -> None:
    async with SandboxPool(max_processes=1, max_runs_per_process=1, drain_seconds=0) as pool:
        run = Runner(pool)
        first = asyncio.create_task(run(f"{HEAD} fetch('{sink.url}/slow/300').then(() => cb(null, 1)) }}"))
        await sink.arrived.wait()
        others = [asyncio.create_task(run(PID, tenant=tenant)) for tenant in ("acme", "other", "third")]
        await asyncio.sleep(0)
        assert pool.status.waiting_runs == 3
        executions = await asyncio.gather(first, *others)
        assert [execution.outcome for execution in executions] == [Outcome.OK] * 4
        assert pool.status.processes == 1
        assert pool.status.waiting_runs == 0


async def test_cancelled_run_leaves_the_line_and_its_process(sink: Sink) -> None:
    async with SandboxPool(max_processes=1, max_runs_per_process=1, drain_seconds=0) as pool:
        run = Runner(pool)
        first = asyncio.create_task(run(f"{HEAD} fetch('{sink.url}/never') }}"))
        await sink.arrived.wait()
        waiting = asyncio.create_task(run(PID))
        await asyncio.sleep(0)
        waiting.cancel()
        first.cancel()
        await asyncio.wait([first, waiting])
        assert pool.status.waiting_runs == 0
        assert (await run(PID)).outcome is Outcome.OK


async def test_idle_process_is_ended() -> None:
    async with SandboxPool(idle_seconds=0.05, drain_seconds=0) as pool:
        execution = await Runner(pool)(PID)
        assert execution.verdict is not None
        await asyncio.to_thread(wait_for_end, execution.verdict.result)
        while pool.status.processes:  # the loop hears of the end a moment later
            await asyncio.sleep(0)


@pytest.mark.parametrize("alone", [False, True])
async def test_process_killed_from_outside_makes_a_suspect_and_alone_a_guilty_one(
    run: Runner, alone: bool
) -> None:
    watch = Watch()
    task = asyncio.create_task(
        run(f"{HEAD} console.log(process.pid); setTimeout(cb, 30000) }}", observer=watch, alone=alone)
    )
    await watch.printed.wait()
    os.kill(int(watch.lines[0]), signal.SIGKILL)
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
        await run(PID)


async def test_closing_interrupts_what_does_not_finish_and_leaves_nothing() -> None:
    async with SandboxPool(drain_seconds=0.05) as pool:
        run = Runner(pool)
        pid = await result_of(run, "process.pid")
        watch = Watch()
        task = asyncio.create_task(run(f"{HEAD} setTimeout(cb, 30000) }}", observer=watch))
        await watch.started.wait()
    execution = await task
    assert (execution.outcome, execution.suspect) == (Outcome.INTERRUPTED, False)
    assert not Path(f"/proc/{pid}").exists()
    assert pool.status.processes == 0


async def test_processes_die_with_the_host(tmp_path: Path) -> None:
    program = """
import asyncio, os
from tenterhook.sandbox import *
async def main():
    async with SandboxPool() as pool:
        source = "module.exports = (u, c, cb) => { console.log(process.pid); for (;;); }"
        class Watch:
            def on_started(self, at): pass
            def on_console(self, line): print(line.text, flush=True)
            def on_called_back(self, verdict): pass
            def on_call(self, call): pass
        await pool.run("t", Script(key="k", source=source), Invocation(run_id="r", arguments=({}, {})), observer=Watch())
asyncio.run(main())
"""
    host = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert host.stdout is not None
    try:
        pid = int(await asyncio.to_thread(host.stdout.readline))
        assert Path(f"/proc/{pid}").exists()
    finally:
        host.kill()
        await asyncio.to_thread(host.wait)
        host.stdout.close()
    await asyncio.to_thread(wait_for_end, pid)


async def test_node_that_cannot_run_is_said_so(tmp_path: Path) -> None:
    broken = tmp_path / "node"
    broken.write_text("#!/nowhere\n")
    broken.chmod(0o755)
    async with SandboxPool(node=NodeBinary(path=broken, version="0"), drain_seconds=0) as pool:
        with pytest.raises(SandboxUnavailableError, match="could not start: launcher"):
            await Runner(pool)(PID)
        assert pool.status.processes == 0


async def test_module_folder_closed_to_the_hooks_uid_is_refused_at_once(tmp_path: Path) -> None:
    closed = tmp_path / "modules"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match="chmod 755") if AS_ROOT else nullcontext():
        async with SandboxPool(readable_dirs=(closed,)):
            pass


async def test_missing_module_folder_is_made(tmp_path: Path) -> None:
    async with SandboxPool(readable_dirs=(tmp_path / "a" / "modules",)):
        assert (tmp_path / "a" / "modules").is_dir()


async def test_without_root_hooks_run_in_a_private_folder_that_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spawn, "surroundings", lambda: Surroundings.SAME_UID)
    async with SandboxPool(drain_seconds=0) as pool:
        run = Runner(pool)
        assert await result_of(run, "process.getuid()  + ''") == str(os.getuid())
        folder = await result_of(run, "process.cwd()")
        assert isinstance(folder, str)
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        await result_of(run, "require('fs').writeFileSync('file', 'x') ?? 1")
    assert not Path(folder).exists()


async def test_extra_ca_file_is_readable_inside(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_text("certificates")
    certificate.chmod(0o644)
    async with SandboxPool(ca_file=certificate, drain_seconds=0) as pool:
        text = await result_of(
            Runner(pool), "require('fs').readFileSync(process.env.NODE_EXTRA_CA_CERTS, 'utf8')"
        )
        assert text == "certificates"


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
    await run(PID)
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


@pytest.mark.skipif(
    not AS_ROOT, reason="without a uid of its own, what a process left cannot be told from the host's"
)
async def test_what_a_process_leaves_behind_ends_with_it() -> None:
    spawning = (
        "const child = require('child_process').spawn('/bin/sleep', ['600'], "
        "{ detached: true, stdio: 'ignore' }); child.unref(); cb(null, child.pid)"
    )
    async with SandboxPool(drain_seconds=0) as pool:
        left = await result_of_spawning(Runner(pool), spawning)
        os.kill(left, 0)  # it is there
    wait_for_end(left)


async def result_of_spawning(run: Runner, body: str) -> int:
    execution = await run(f"{HEAD} {body} }}")
    assert execution.verdict is not None, execution.error
    return int(execution.verdict.result)
