"""``kill -9`` of the server, of a part of it, of its owner, of all: what was committed is there after the next start."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tenterhook.database import embedded
from tenterhook.database.embedded import processes

# An owner of its own: starts the server, says its pid, writes rows one by one and says each one that is committed.
OWNER = """
import asyncio, sys
from pathlib import Path
import asyncpg
from tenterhook.database import embedded

async def main():
    server = await embedded.start(Path(sys.argv[1]))
    print(server.pid, flush=True)
    connection = await asyncpg.connect(server.url.get_secret_value())
    await connection.execute("CREATE TABLE IF NOT EXISTS rows (number int)")
    number = 0
    while True:
        await connection.execute("INSERT INTO rows VALUES ($1)", number)
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


class Owner:
    """The process above."""

    def __init__(self, process: asyncio.subprocess.Process, pid: int) -> None:
        self.process = process
        self.server_pid = pid
        self.committed: list[int] = []

    async def write(self, count: int) -> None:
        while len(self.committed) < count:
            self.committed.append(int(await self.process.stdout.readline()))

    async def killed(self) -> list[int]:
        """Kill it, if it has not ended already, and return every row it said was committed."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        rest = await self.process.stdout.read()
        await self.process.wait()
        lines = rest.decode().split("\n")[:-1]  # the last may be cut off
        return self.committed + [int(line) for line in lines]


async def own(data_dir: Path) -> Owner:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OWNER,
        data_dir,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return Owner(process, int(await process.stdout.readline()))


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # the others end when the postmaster has
            os.kill(pid, signal.SIGKILL)


async def rows(server: embedded.EmbeddedServer) -> set[int]:
    connection = await asyncpg.connect(server.url.get_secret_value())
    try:
        return {row["number"] for row in await connection.fetch("SELECT number FROM rows")}
    finally:
        await connection.close()


async def test_server_outlives_a_killed_owner_and_is_taken_over(data_dir):
    owner = await own(data_dir)
    await owner.write(20)
    committed = await owner.killed()
    server = await embedded.start(data_dir)
    try:
        assert server.pid == owner.server_pid
        assert await rows(server) >= set(committed)
    finally:
        await embedded.stop(server)


@pytest.mark.parametrize("whole_server", [False, True], ids=["postmaster", "whole server"])
async def test_committed_rows_survive_the_killing_of_owner_and(data_dir, whole_server):
    owner = await own(data_dir)
    await owner.write(20)
    victims = processes.all_of(data_dir / "postgres") if whole_server else [owner.server_pid]
    assert len(victims) > 3 or not whole_server
    kill(victims)
    committed = await owner.killed()
    server = await embedded.start(data_dir)
    try:
        assert server.pid != owner.server_pid
        assert await rows(server) >= set(committed)
    finally:
        await embedded.stop(server)


async def test_orphans_that_do_not_leave_are_ended_before_the_start(data_dir):
    """A stopped process cannot notice that its postmaster is gone."""
    owner = await own(data_dir)
    await owner.write(5)
    (checkpointer,) = [pid for pid in processes.all_of(data_dir / "postgres") if "checkpointer" in title(pid)]
    os.kill(checkpointer, signal.SIGSTOP)
    os.kill(owner.server_pid, signal.SIGKILL)
    committed = await owner.killed()
    server = await embedded.start(data_dir)
    try:
        assert not processes.is_server(checkpointer, data_dir / "postgres")
        assert await rows(server) >= set(committed)
    finally:
        await embedded.stop(server)


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


async def test_server_goes_on_after_a_backend_is_killed(server):
    connection = await asyncpg.connect(server.url.get_secret_value())
    await connection.execute("CREATE TABLE rows (number int); INSERT INTO rows VALUES (1)")
    backend = connection.get_server_pid()
    running = asyncio.ensure_future(connection.execute("SELECT pg_sleep(600)"))
    await wait_for_activity(server, backend)
    os.kill(backend, signal.SIGKILL)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await running
    connection.terminate()
    while True:  # the postmaster starts its processes anew and recovers
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            assert await rows(server) == {1}
            break
    assert processes.postmaster(server.data_dir / "postgres") == server.pid


async def wait_for_activity(server: embedded.EmbeddedServer, backend: int) -> None:
    watcher = await asyncpg.connect(server.maintenance_url.get_secret_value())
    query = "SELECT state FROM pg_stat_activity WHERE pid = $1"
    while await watcher.fetchval(query, backend) != "active":
        await asyncio.sleep(0)
    await watcher.close()


async def test_killed_server_is_noticed_by_its_owner(data_dir):
    server = await embedded.start(data_dir)
    waiting = asyncio.ensure_future(embedded.wait_until_ended(server))
    await asyncio.sleep(0)
    assert not waiting.done()
    os.kill(server.pid, signal.SIGKILL)
    await waiting
    await embedded.wait_until_ended(server)  # also afterwards
    await embedded.stop(server)  # ends the orphans and gives the folder back
    assert processes.all_of(data_dir / "postgres") == []
    server = await embedded.start(data_dir)
    await embedded.stop(server)


async def test_stale_pid_file_that_names_a_stranger_does_not_stop_the_start(data_dir):
    owner = await own(data_dir)
    await owner.write(5)
    kill(processes.all_of(data_dir / "postgres"))
    committed = await owner.killed()
    uid = (data_dir / "postgres").stat().st_uid
    as_server = {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}
    stranger = subprocess.Popen(["/bin/sleep", "600"], **as_server)  # uvloop's own cannot change the user
    try:
        pid_file = data_dir / "postgres" / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n" + pid_file.read_text().partition("\n")[2])
        server = await embedded.start(data_dir)
        try:
            assert await rows(server) >= set(committed)
        finally:
            await embedded.stop(server)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_half_made_database_is_made_again(tmp_path):
    """An owner killed while ``initdb`` works: what it leaves is not taken for a database."""
    script = "import asyncio, sys; from pathlib import Path; from tenterhook.database import embedded\n"
    script += "asyncio.run(embedded.start(Path(sys.argv[1])))"
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", script, tmp_path)
    while not (tmp_path / "postgres.new" / "PG_VERSION").exists():
        assert owner.returncode is None
        await asyncio.sleep(0)
    owner.kill()
    await owner.wait()
    assert not (tmp_path / "postgres").exists()
    server = await embedded.start(tmp_path)
    await embedded.stop(server)
    assert not (tmp_path / "postgres.new").exists()
    assert not (tmp_path / "postgres.initdb").exists()


async def test_server_of_older_programs_is_replaced(data_dir, monkeypatch):
    owner = await own(data_dir)
    await owner.write(5)
    committed = await owner.killed()

    async def newer() -> str:
        return "18.99"

    monkeypatch.setattr("tenterhook.database.embedded.server.postgres_version", newer)
    server = await embedded.start(data_dir)
    try:
        assert server.pid != owner.server_pid
        assert await rows(server) >= set(committed)
    finally:
        await embedded.stop(server)


async def test_passwords_stay_the_same_over_restarts(tmp_path):
    first = await embedded.start(tmp_path)
    await embedded.stop(first)
    second = await embedded.start(tmp_path)
    await embedded.stop(second)
    assert first.url == second.url
    assert len(set(json.loads((tmp_path / "postgres.passwords").read_text()).values())) == 2
