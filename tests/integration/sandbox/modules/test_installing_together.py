"""Several installers of one set, in one process and in many, and one that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tenterhook.sandbox.modules import Stage

from .conftest import load

SLACK = {"slack-notify": "0.1.7"}

INSTALLER = """
import asyncio, json, sys
from pathlib import Path
from tenterhook.sandbox.modules import ModuleSet, ModuleStore

async def main():
    folder, registry, module_set = sys.argv[1:]
    store = ModuleStore(folder=Path(folder), registry=registry)
    print("started", flush=True)
    installed = await store.ensure(ModuleSet.from_json(json.loads(module_set)))
    print(installed.directory, flush=True)

asyncio.run(main())
"""


async def start_installer(folder: Path, registry: str, module_set) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        INSTALLER,
        str(folder),
        registry,
        json.dumps(module_set.to_json()),
        stdout=asyncio.subprocess.PIPE,
    )


def archive_requests(npm_registry) -> list[str]:
    return [path for path in npm_registry.requests if "/-/" in path]


async def test_tasks_install_a_set_once(make_store, npm_registry, tmp_path):
    resolution = await make_store().resolve("", SLACK)
    stores = [make_store(folder=tmp_path / "shared") for _ in range(3)]
    stages = []
    sets = await asyncio.gather(
        *(
            store.install(resolution, progress=lambda progress: stages.append(progress.stage))
            for store in stores
        )
    )
    assert len({module_set.key for module_set in sets}) == 1
    assert len(archive_requests(npm_registry)) == len(set(archive_requests(npm_registry))) > 40
    assert stages.count(Stage.SEALING) == 1
    assert stages.count(Stage.WAITING) == 2
    assert stages.count(Stage.DONE) == 3


async def test_processes_install_a_set_once(make_store, npm_registry, tmp_path):
    store = make_store()
    module_set = await store.install(await store.resolve("", SLACK))
    npm_registry.requests.clear()
    installers = [
        await start_installer(tmp_path / "shared", npm_registry.url, module_set) for _number in range(3)
    ]
    outputs = [(await installer.communicate())[0].decode().split() for installer in installers]
    assert len({output[-1] for output in outputs}) == 1
    assert [installer.returncode for installer in installers] == [0, 0, 0]
    assert len(archive_requests(npm_registry)) == len(set(archive_requests(npm_registry))) > 40
    assert list((tmp_path / "shared" / "tmp").iterdir()) == []


async def test_killed_installer_leaves_nothing_that_counts(make_store, npm_registry, tmp_path):
    store = make_store()
    module_set = await store.install(await store.resolve("", SLACK))
    shared = tmp_path / "shared"
    npm_registry.stall("lodash")
    installer = await start_installer(shared, npm_registry.url, module_set)
    assert await asyncio.to_thread(npm_registry.stall_reached.wait, 60)
    npm_ids = children_of(installer.pid)
    ends = [os.pidfd_open(npm_id) for npm_id in npm_ids]
    assert len(ends) == 1
    installer.send_signal(signal.SIGKILL)
    await installer.communicate()

    # npm goes with whoever started it, although it is in the middle of its work.
    for end in ends:
        await until_readable(end)
        os.close(end)
    assert len(list((shared / "tmp").glob("*.lock"))) == 1
    assert list((shared / "store").glob("*")) == []

    npm_registry.resume("lodash")
    installed = await make_store(folder=shared).ensure(module_set)
    assert await load(installed, "slack-notify") == (0, "function")
    assert list((shared / "tmp").iterdir()) == []


async def test_cleaning_at_start_removes_what_the_killed_left(make_store, tmp_path):
    abandoned = tmp_path / "modules" / "tmp" / "0123"
    abandoned.mkdir(parents=True)
    abandoned.with_suffix(".lock").touch()
    assert await make_store().clean() == 1
    assert list(abandoned.parent.iterdir()) == []
    assert await make_store(folder=tmp_path / "new").clean() == 0


def children_of(process_id: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process_id}/task").iterdir():
        found += [int(text) for text in (task / "children").read_text().split()]
    return found


async def until_readable(descriptor: int) -> None:
    """Wait for a process descriptor to say that its process ended."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), 30)
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
