"""A registry that is gone, slow, or sends something else than it promised: nothing gets into the store."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from tenterhook.sandbox.modules import (
    BrokenModuleError,
    ForeignModuleError,
    ModuleSet,
    ModuleSetTooLargeError,
    ModuleTimeoutError,
    RegistryUnreachableError,
)

from .conftest import load


def is_empty(store_folder: Path) -> bool:
    """Nothing stored, nothing left behind."""
    kept = [*(store_folder / "store").glob("*"), *(store_folder / "tmp").glob("*")]
    return kept == []


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_unreachable_registry_says_what_to_do(make_store):
    store = make_store(registry=f"http://127.0.0.1:{unused_port()}/")
    with pytest.raises(RegistryUnreachableError, match="try again"):
        await store.resolve("require('ipaddr.js')", {})


async def test_worker_without_set_and_registry_says_what_to_do(make_store, tmp_path):
    module_set = await make_store().install(await make_store().resolve("require('ipaddr.js')", {}))
    elsewhere = make_store(folder=tmp_path / "elsewhere", registry=f"http://127.0.0.1:{unused_port()}/")
    with pytest.raises(RegistryUnreachableError, match=r"While installing ipaddr\.js 1\.9\.0"):
        await elsewhere.ensure(module_set)
    assert is_empty(tmp_path / "elsewhere")


async def test_offline_without_cache_says_what_to_do(make_store, monkeypatch):
    monkeypatch.setenv("npm_config_offline", "true")
    with pytest.raises(RegistryUnreachableError, match="ENOTCACHED"):
        await make_store().resolve("require('ipaddr.js')", {})


async def test_flipped_byte_is_noticed(store, npm_registry, tmp_path):
    npm_registry.flip("ipaddr.js", "1.9.0")
    resolution = await store.resolve("require('ipaddr.js')", {})
    with pytest.raises(BrokenModuleError, match=r"While installing ipaddr\.js 1\.9\.0: npm says [EZ]"):
        await store.install(resolution)
    assert is_empty(tmp_path / "modules")


async def test_archive_that_changed_after_the_save_is_noticed(make_store, npm_registry, tmp_path):
    """Whoever takes over the registry cannot change what a saved hook runs: the lock file's hash decides."""
    npm_registry.publish("mod", "1.0.0", {"index.js": "module.exports = 'good'"})
    module_set = await make_store().install(await make_store().resolve("require('mod')", {}))
    npm_registry.publish("mod", "1.0.0", {"index.js": "module.exports = 'evil'"})
    elsewhere = make_store(folder=tmp_path / "elsewhere")
    with pytest.raises(BrokenModuleError, match="EINTEGRITY"):
        await elsewhere.ensure(module_set)
    assert is_empty(tmp_path / "elsewhere")
    # The same with the hash that the evil archive has: then it would install.
    lock = json.loads(module_set.lock)
    hash_of_evil = npm_registry._archives["mod", "1.0.0"][2]
    lock["packages"]["node_modules/mod"]["integrity"] = hash_of_evil
    installed = await elsewhere.ensure(ModuleSet(modules=module_set.modules, lock=json.dumps(lock)))
    assert await load(installed, "mod", show="m") == (0, "evil")


async def test_truncated_archive_is_noticed(store, npm_registry, tmp_path):
    npm_registry.truncate("ipaddr.js", "1.9.0")
    resolution = await store.resolve("require('ipaddr.js')", {})
    with pytest.raises(BrokenModuleError, match=r"While installing ipaddr\.js 1\.9\.0"):
        await store.install(resolution)
    assert is_empty(tmp_path / "modules")


async def test_module_without_hash_is_refused(store, npm_registry):
    npm_registry.publish("bare", "1.0.0", with_hash=False)
    with pytest.raises(BrokenModuleError, match="no hash"):
        await store.resolve("", {"bare": "1.0.0"})


@pytest.mark.parametrize(
    "address", ["git+ssh://git@127.0.0.1/x.git", "http://127.0.0.1:9/x.tgz", "file:../../x"]
)
async def test_dependency_that_is_not_of_the_registry_is_refused(store, npm_registry, address):
    npm_registry.publish("detour", "1.0.0", dependencies={"x": address})
    with pytest.raises(ForeignModuleError, match="not from the registry"):
        await store.resolve("", {"detour": "1.0.0"})


async def test_version_withdrawn_after_the_save_is_an_error_of_its_own(make_store, npm_registry, tmp_path):
    npm_registry.publish("mod", "1.0.0")
    module_set = await make_store().install(await make_store().resolve("require('mod')", {}))
    npm_registry.publish("mod", "1.0.1")
    npm_registry.hide_version("mod", "1.0.0")
    with pytest.raises(Exception, match=r"While installing mod 1\.0\.0") as caught:
        await make_store(folder=tmp_path / "elsewhere").ensure(module_set)
    assert caught.value.code == "module_version_not_found"


async def test_silent_registry_ends_at_the_time_limit(make_store, npm_registry, tmp_path):
    npm_registry.stall("ipaddr.js")
    with pytest.raises(ModuleTimeoutError, match="after 1 seconds"):
        await make_store(timeout_seconds=1).resolve("require('ipaddr.js')", {})
    assert is_empty(tmp_path / "modules")


async def test_silence_while_installing_ends_at_the_time_limit(make_store, npm_registry, tmp_path):
    resolution = await make_store().resolve("require('ipaddr.js')", {})
    npm_registry.stall("ipaddr.js")
    elsewhere = make_store(timeout_seconds=2, folder=tmp_path / "elsewhere")
    with pytest.raises(ModuleTimeoutError):
        await elsewhere.install(resolution)
    assert is_empty(tmp_path / "elsewhere")


async def test_set_over_the_size_limit_is_refused_and_one_within_is_not(make_store, npm_registry, tmp_path):
    npm_registry.publish("large", "1.0.0", {"data.txt": "x" * 100_000})
    resolution = await make_store().resolve("require('large')", {})
    with pytest.raises(ModuleSetTooLargeError, match="TENTERHOOK_MAX_MODULE_SET_BYTES"):
        await make_store(max_set_bytes=100_000).install(resolution)
    assert is_empty(tmp_path / "modules")
    await make_store(max_set_bytes=110_000).install(resolution)


async def test_cancelled_installation_ends_npm_and_leaves_nothing(make_store, npm_registry, tmp_path):
    resolution = await make_store().resolve("require('ipaddr.js')", {})
    npm_registry.stall("ipaddr.js")
    elsewhere = make_store(folder=tmp_path / "elsewhere")
    task = asyncio.create_task(elsewhere.install(resolution))
    assert await asyncio.to_thread(npm_registry.stall_reached.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_empty(tmp_path / "elsewhere")
    assert npm_processes_in(tmp_path) == []


def npm_processes_in(folder: Path) -> list[int]:
    """Return the processes whose working folder is below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = (entry / "cwd").readlink()
            except OSError:
                continue  # it ended, or is not ours
            if where.is_relative_to(folder):
                found.append(int(entry.name))
    return found
