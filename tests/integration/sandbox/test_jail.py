"""What surrounds a Node process, seen from inside by a hook and from outside by the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenterhook.sandbox import Confinement, SandboxPool, status_of_this_host
from tenterhook.sandbox.jail.confine import NODE_RESERVED_BYTES
from tenterhook.sandbox.jail.protections import Protection

from .conftest import Runner, in_namespaces

HEAD = "module.exports = function (user, context, cb) {"
NAMESPACED = status_of_this_host(unsafe=False).tier in {1, 2}
namespaced = pytest.mark.skipif(not NAMESPACED, reason="not run: needs namespaces, and this host allows none")


async def result_of(run: Runner, expression: str, **more: object) -> object:
    execution = await run(f"{HEAD} cb(null, {expression}) }}", **more)
    assert execution.error is None
    assert execution.verdict is not None
    return execution.verdict.result


async def pid_of(run: Runner, pool: SandboxPool) -> int:
    await result_of(run, "1")
    (pid,) = pool.status.pids
    return pid


async def test_environment_holds_nothing_of_the_hosts(
    run: Runner, pool: SandboxPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    environment = await result_of(run, "process.env")
    assert isinstance(environment, dict)
    ours = {"HOME", "LANG", "PATH", "TMPDIR", "TZ"}
    assert set(environment) == (ours if in_namespaces(pool) else ours | {"OPENSSL_CONF", "RES_OPTIONS"})
    assert await result_of(run, "process.argv.slice(2)") == []
    assert await result_of(run, "'' + new Date(0).getTimezoneOffset()") == "0"


@namespaced
async def test_tree_holds_only_what_node_needs(run: Runner) -> None:
    listing = "(folder) => require('fs').readdirSync(folder).sort()"
    top = await result_of(run, f"({listing})('/')")
    assert isinstance(top, list)
    assert set(top) <= {"dev", "etc", "lib", "lib64", "usr", "modules", "node", "runtime", "tmp"}
    assert await result_of(run, f"({listing})('/dev')") == ["null", "random", "urandom"]
    assert await result_of(run, f"({listing})('/etc')") == ["hosts", "nsswitch.conf", "resolv.conf"]
    assert await result_of(run, f"({listing})('/modules')") == []
    assert await result_of(run, f"({listing})('/tmp')") == []
    assert await result_of(run, "process.cwd()") == "/tmp"
    assert await result_of(run, "require('os').hostname()") == "hook"


@namespaced
@pytest.mark.parametrize(
    "path", ["/x", "/etc/hosts", "/runtime/main.cjs", "/node/bin/node", "/modules/x", "/dev/x"]
)
async def test_nothing_but_scratch_can_be_written(run: Runner, path: str) -> None:
    attempt = (
        f"(() => {{ try {{ require('fs').writeFileSync('{path}', 'x') }} catch (e) {{ return e.code }} }})()"
    )
    assert await result_of(run, attempt) in {"EROFS", "EACCES", "ETXTBSY"}


@namespaced
async def test_scratch_is_private_and_of_limited_size(run: Runner) -> None:
    fill = (
        "(() => { const fs = require('fs'); let n = 0; try { for (; n < 40; n++) "
        "fs.writeFileSync('/tmp/' + n, Buffer.alloc(1 << 20)) } catch (e) { return [n, e.code] } })()"
    )
    small = Confinement(scratch_bytes=4 * 1024 * 1024)
    assert await result_of(run, fill, confinement=small) == [4, "ENOSPC"]
    assert await result_of(run, "require('fs').readdirSync('/tmp')", tenant="other") == []


@namespaced
async def test_every_namespace_is_its_own(run: Runner, pool: SandboxPool) -> None:
    pid = await pid_of(run, pool)
    for kind in ("mnt", "pid", "net", "ipc", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    if os.geteuid() != 0:
        assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
    assert await result_of(run, "[process.pid, process.ppid]") == [1, 0]


async def test_process_is_restricted(run: Runner, pool: SandboxPool) -> None:
    pid = await pid_of(run, pool)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert int(status["Seccomp_filters"]) >= 2  # those of whatever the tests run in come on top
    assert status["Umask"] == "0077"
    for row in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[row], 16) == 0
    if in_namespaces(pool) or os.geteuid() == 0:
        assert int(status["CapBnd"], 16) == 0
    rows = {
        line[:26].strip(): line[26:].split()[1]
        for line in Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    }
    assert rows["Max core file size"] == "1"
    assert rows["Max open files"] == "512"
    assert int(rows["Max data size"]) == NODE_RESERVED_BYTES + 256 * 1024 * 1024
    if in_namespaces(pool) or os.geteuid() == 0:
        assert rows["Max processes"] == "64"


async def test_only_the_channel_is_inherited(run: Runner, pool: SandboxPool) -> None:
    # Descriptors above 3 are Node's own (epoll, eventfd, pipes): none is a file or a socket of ours.
    read, write = os.pipe()
    os.set_inheritable(read, True)
    try:
        pid = await pid_of(run, pool)
        folder = Path(f"/proc/{pid}/fd")
        links = {int(entry.name): os.readlink(entry) for entry in folder.iterdir()}
        assert links[0] == links[1] == "/dev/null"
        assert links[2].startswith("pipe:")
        assert links[3].startswith("socket:")
        assert sum(link.startswith("socket:") for link in links.values()) == 1
        assert not any(str(os.fstat(read).st_ino) in link for link in links.values())
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.skipif(os.geteuid() != 0, reason="not run: needs root, who alone can give each process a uid")
async def test_each_process_has_a_uid_of_its_own(run: Runner) -> None:
    ids = "[process.getuid(), process.geteuid(), process.getgid(), process.getgroups().length]"
    first = await result_of(run, ids)
    second = await result_of(run, ids, tenant="other")
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert len({0, first[0], second[0]}) == 3
    assert first[0] == first[1] == first[2]
    assert first[3] <= 1  # Node counts the gid itself


@pytest.mark.skipif(
    os.geteuid() == 0 or not NAMESPACED, reason="not run: needs an ordinary user and namespaces"
)
async def test_ordinary_users_process_is_nobody_in_a_user_namespace(run: Runner) -> None:
    assert await result_of(run, "[process.getuid(), process.getgid()]") == [1000, 1000]


@namespaced
async def test_module_set_is_mounted_into_a_running_process_of_its_tenant_alone(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name in ("set-a", "set-b"):
        folder = store / name / "node_modules" / "one"
        folder.mkdir(parents=True)
        (folder / "package.json").write_text("{}")
        (folder / "index.js").write_text(f"module.exports = '{name}'")
    async with SandboxPool(readable_dirs=(store,), drain_seconds=0) as pool:
        run = Runner(pool)
        listing = "require('fs').readdirSync('/modules')"
        assert await result_of(run, listing) == []
        (pid,) = pool.status.pids
        for name in ("set-a", "set-b"):
            script = {"require_map": {"one": store / name / "node_modules" / "one"}}
            assert await result_of(run, f"require('one') /* {name} */", script=script) == name
        assert pool.status.pids == (pid,)
        assert await result_of(run, listing) == ["set-a", "set-b"]
        assert await result_of(run, listing, tenant="other") == []
        write = "(() => { try { require('fs').writeFileSync('/modules/set-a/x', '') } catch (e) { return e.code } })()"
        assert await result_of(run, write) in {"EROFS", "EACCES"}


@namespaced
async def test_without_that_protection_every_set_of_the_store_is_there(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "of-another").mkdir(parents=True)
    (store / "lock").touch()
    for removed, found in ((frozenset(), []), (frozenset({Protection.TENANT_MODULES}), ["of-another"])):
        async with SandboxPool(readable_dirs=(store,), removed=removed, drain_seconds=0) as pool:
            assert await result_of(Runner(pool), "require('fs').readdirSync('/modules')") == found


@namespaced
async def test_module_set_that_has_gone_is_said_so(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    async with SandboxPool(readable_dirs=(store,), drain_seconds=0) as pool:
        run = Runner(pool)
        await result_of(run, "1")
        with pytest.raises(Exception, match="No such file"):
            await run(f"{HEAD} cb() }}", script={"require_map": {"one": store / "gone" / "one"}})
        assert await result_of(run, "1") == 1
