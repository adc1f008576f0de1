"""Gate mode, on hosts that would allow more: what holds without namespaces is shown by the same tests as with them.

As root each process has a uid of its own; as an ordinary user it has the server's, so the whole file is run once more as
one. What only gate mode has to see to by itself (threads and memory without a cgroup, modules from the start) is below.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tenterhook.errors import ConfigurationError
from tenterhook.sandbox import Confinement, Execution, Outcome, SandboxPool
from tenterhook.sandbox.jail.plan import Mode
from tenterhook.sandbox.jail.protections import NONE_REMOVED, Protection
from tests.escapes import addon
from tests.integration.database.embedded_people import PROJECT, environment, ordinary_command, ordinary_home

from .conftest import LOOPBACK, Runner, Sink

# The same tests, with this file's pool.
from .test_jail import (  # noqa: F401 - collected here once more
    test_each_process_has_a_uid_of_its_own,
    test_environment_holds_nothing_of_the_hosts,
    test_only_the_channel_is_inherited,
    test_process_is_restricted,
)
from .test_limits import (  # noqa: F401 - as above
    test_endless_loop_is_killed_and_timed_out,
    test_no_cb_within_the_wall_time_is_timed_out,
    test_open_files_are_limited,
)
from .test_outgoing_calls import (  # noqa: F401 - as above
    test_a_raw_connection_is_counted,
    test_call_is_recorded_without_its_query,
    test_each_redirect_is_a_call_and_refusals_say_why,
)

HEAD = "module.exports = function (user, context, cb) {"
MIB = 1024 * 1024


def needs(lacking: str) -> None:
    pytest.skip(f"not run: needs {lacking}")


@pytest.fixture(params=[Mode.GATE])
async def pool(
    request: pytest.FixtureRequest, gated: Callable[..., AbstractAsyncContextManager[SandboxPool]]
) -> AsyncIterator[SandboxPool]:
    async with gated(mode=request.param) as pool:
        yield pool


@pytest.fixture
def gated() -> Callable[..., AbstractAsyncContextManager[SandboxPool]]:
    """Make pools in gate mode."""

    def make(*, mode: Mode = Mode.GATE, **more: Any) -> SandboxPool:
        return _Pool(mode=mode, drain_seconds=0, **{"grants": LOOPBACK, **more})

    return make


class _Pool(SandboxPool):
    async def __aenter__(self) -> SandboxPool:
        try:
            return await super().__aenter__()
        except ConfigurationError as error:
            if "closed to other users" not in error.message:
                raise
            return needs("a clone that other users can enter")


async def result_of(run: Runner, expression: str, **more: Any) -> Any:
    execution = await run(f"{HEAD} cb(null, {expression}) }}", **more)
    assert execution.error is None
    assert execution.verdict is not None
    return execution.verdict.result


def refused(call: str) -> str:
    return f"(() => {{ try {{ return {call} }} catch (error) {{ return error.code }} }})()"


async def test_the_hosts_files_can_neither_be_read_nor_written(run: Runner, open_folder: Path) -> None:
    secret = open_folder / "secret"
    secret.write_text("secret")
    secret.chmod(0o666)  # no uid keeps it from the hook
    for call in (
        f"require('fs').readFileSync({str(secret)!r})",
        f"require('fs').writeFileSync({str(secret)!r}, '')",
        f"require('fs').writeFileSync({str(open_folder / 'more')!r}, '')",
        "require('fs').readdirSync('/')",
        "require('fs').readFileSync('/etc/passwd')",
        "require('fs').readFileSync('/proc/self/environ')",
    ):
        assert await result_of(run, refused(call)) in {"EACCES", "EPERM"}, call


async def test_names_are_asked_through_the_gate(run: Runner) -> None:
    source = f"""{HEAD}
      const dns = require('dns').promises;
      Promise.all([dns.lookup('localhost', {{ family: 4 }}), dns.resolve4('localhost')])
        .then(([one, two]) => cb(null, [one.address, two]), cb) }}"""
    execution = await run(source)
    assert execution.verdict is not None
    assert execution.verdict.error is None
    assert execution.verdict.result == ["127.0.0.1", ["127.0.0.1"]]


async def test_what_is_not_granted_is_refused(gated: Any, sink: Sink) -> None:
    async with gated(grants=()) as pool:
        execution = await Runner(pool)(f"{HEAD} fetch('{sink.url}/').catch((error) => cb(error.cause)) }}")
    assert execution.verdict is not None
    assert execution.verdict.error is not None
    assert execution.verdict.error.code == "EACCES"
    assert sink.seen == []


async def test_modules_are_there_from_the_start_and_no_others(gated: Any, open_folder: Path) -> None:
    store = open_folder / "store"
    for name in ("own", "other"):
        package = store / name / "node_modules" / "one"
        package.mkdir(parents=True)
        (package / "package.json").write_text("{}")
        (package / "index.js").write_text(f"module.exports = '{name}'")
    for path in (store, *store.rglob("*")):
        path.chmod(0o755)
    script = {"require_map": {"one": store / "own" / "node_modules" / "one"}}
    other = refused(f"require('fs').readFileSync({str(store / 'other/node_modules/one/index.js')!r}, 'utf8')")
    for removed, found in (
        (NONE_REMOVED, "EACCES"),
        (frozenset({Protection.TENANT_MODULES}), "module.exports = 'other'"),
    ):
        async with gated(readable_dirs=(store,), removed=removed) as pool:
            run = Runner(pool)
            assert await result_of(run, f"[require('one'), {other}]", script=script) == ["own", found]


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that every user can come to."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            try:
                folder.chmod(0o711)
            except PermissionError:
                needs("a temporary folder that other users can enter")
    return tmp_path


async def attacked(gated: Any, folder: Path, attack: str, confinement: Confinement) -> Execution:
    """Run a hook with native code where there is no cgroup; another run afterwards finds everything in order."""
    package = folder / "store" / "set" / "node_modules" / "attack"
    shutil.copytree(addon.build(), package)
    for path in (folder / "store", *(folder / "store").rglob("*")):
        path.chmod(0o755)
    async with gated(
        readable_dirs=(folder / "store",), confinement=confinement, removed=frozenset({Protection.CGROUP})
    ) as pool:
        run = Runner(pool)
        source = f"{HEAD} const {{ native, sys }} = require('attack'); {attack} }}"
        execution = await run(source, script={"require_map": {"attack": package}})
        assert await result_of(run, "'still'") == "still"
        return execution


async def test_threads_are_bounded_where_no_cgroup_counts_them(gated: Any, open_folder: Path) -> None:
    attack = "const made = native.threads(200, 30000); setTimeout(() => cb(null, made), 15000)"
    if os.geteuid() == 0:  # the kernel counts those of the uid
        attack = "cb(null, native.threads(200, 1))"
    execution = await attacked(gated, open_folder, attack, Confinement(threads=24))
    if os.geteuid() == 0:
        assert execution.verdict is not None
        assert 0 < execution.verdict.result < 24
    else:
        assert execution.outcome is Outcome.KILLED
        assert execution.limit is not None
        assert execution.limit.name == "threads"


async def test_memory_is_watched_where_no_cgroup_counts_it(gated: Any, open_folder: Path) -> None:
    # Page tables, which RLIMIT_DATA does not know: reading one page of each 2 MiB takes 4 KiB of them.
    attack = """
        const wanted = 60000, at = sys('mmap', 0, wanted * 2 ** 21, 1, 0x4022, -1, 0);
        const done = at < 0 ? at : native.touch(at, wanted * 2 ** 21, 2 ** 21, 0);
        setTimeout(() => cb(null, done), 15000)"""
    execution = await attacked(gated, open_folder, attack, Confinement(memory_bytes=64 * MIB))
    assert execution.outcome is Outcome.KILLED, execution
    assert execution.limit is not None
    assert execution.limit.name == "memory"


@pytest.mark.skipif(os.geteuid() != 0, reason="not run: needs root, to become an ordinary user")
@pytest.mark.timeout(600)
def test_the_same_holds_for_an_ordinary_user() -> None:
    addon.build()  # where an ordinary user may not
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-n", "0"]
    with ordinary_home() as (home, uid):
        done = subprocess.run(
            ordinary_command([*command, str(Path(__file__))], uid=uid, folder=home),
            cwd=PROJECT,
            env=environment(home),
            capture_output=True,
            text=True,
            check=False,
        )
    if "unshare" in done.stderr and "not permitted" in done.stderr:
        needs("mount namespaces, to become an ordinary user")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
