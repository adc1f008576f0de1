"""Who can reach the embedded server, what of it can be seen, and what outside the data folder it touches: nothing.

Each probe is also shown to succeed where the protection it looks for is taken away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

import asyncpg
import pytest

from tenterhook.database import embedded
from tenterhook.database.embedded import binaries, configuration, processes

SOCKET_NAME = ".s.PGSQL.5432"


async def test_wrong_and_missing_passwords_are_refused(server):
    assert await without_password(server) == "refused"


async def test_that_probe_gets_in_where_everybody_is_trusted(server):
    (server.data_dir / "postgres" / "pg_hba.conf").write_text("local all all trust\n")
    connection = await asyncpg.connect(server.maintenance_url.get_secret_value())
    await connection.execute("SELECT pg_reload_conf()")
    while not await connection.fetchval("SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'trust'"):
        await asyncio.sleep(0)
    await connection.close()
    while await without_password(server) != "connected":  # the reload is on its way
        await asyncio.sleep(0)


async def without_password(server: embedded.EmbeddedServer) -> str:
    results = set()
    for password in ("wrong", ""):
        for user in ("postgres", "tenterhook"):
            try:
                connection = await asyncpg.connect(
                    host=str(server.data_dir / "postgres.socket"),
                    user=user,
                    password=password,
                    database="tenterhook",
                )
                await connection.close()
                results.add("connected")
            except asyncpg.InvalidPasswordError:
                results.add("refused")
            except asyncpg.InterfaceError:
                results.add("refused")  # the driver sees itself that a password is wanted
    (result,) = results
    return result


async def test_passwords_are_kept_as_scram_only(server):
    connection = await asyncpg.connect(server.maintenance_url.get_secret_value())
    stored = await connection.fetch("SELECT rolpassword FROM pg_authid WHERE rolcanlogin")
    assert len(stored) == 2
    assert all(row["rolpassword"].startswith("SCRAM-SHA-256$") for row in stored)
    methods = await connection.fetch("SELECT DISTINCT auth_method FROM pg_hba_file_rules")
    assert [row["auth_method"] for row in methods] == ["scram-sha-256"]
    await connection.close()


async def test_no_tcp_port_is_open(server):
    assert tcp_ports(server) == []


async def test_that_probe_sees_a_tcp_port(data_dir, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    protections = configuration.protections

    def open_port(socket_dir: str) -> dict[str, str]:
        return protections(socket_dir) | {"listen_addresses": "127.0.0.1", "port": str(port)}

    monkeypatch.setattr("tenterhook.database.embedded.server.protections", open_port)
    monkeypatch.setattr("tenterhook.database.embedded.server.PORT", port)
    server = await embedded.start(data_dir)
    assert tcp_ports(server) == [port]
    await embedded.stop(server)


def tcp_ports(server: embedded.EmbeddedServer) -> list[int]:
    """Return the TCP ports that processes of the server listen on."""
    inodes = set()
    for pid in processes.all_of(server.data_dir / "postgres"):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    ports = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                ports.append(int(fields[1].rpartition(":")[2], 16))
    return ports


async def test_no_command_line_and_no_environment_holds_a_password(tmp_path):
    """Looked at all the while that the database is made and the server started."""
    starting = asyncio.ensure_future(embedded.start(tmp_path / "data"))
    seen: set[str] = set()
    while not starting.done():
        seen |= await asyncio.to_thread(everything_in_ps)
    server = await starting
    seen |= everything_in_ps()
    await embedded.stop(server)
    assert any("/bin/initdb" in text for text in seen)
    assert any("/bin/postgres" in text for text in seen)
    passwords = json.loads((tmp_path / "data" / "postgres.passwords").read_text())
    assert [text for text in seen for password in passwords.values() if password in text] == []


def everything_in_ps() -> set[str]:
    seen = set()
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                seen.add((process / name).read_text(errors="replace"))
    return seen


async def test_log_holds_no_statement_no_parameter_and_no_row(server):
    assert "hunter2" not in await log_after_accidents(server)


async def test_that_probe_finds_the_secret_where_postgresql_logs_as_it_likes(data_dir, monkeypatch):
    protections = configuration.protections

    def only_connection(socket_dir: str) -> dict[str, str]:
        return {name: value for name, value in protections(socket_dir).items() if not name.startswith("log_")}

    monkeypatch.setattr("tenterhook.database.embedded.server.protections", only_connection)
    server = await embedded.start(data_dir)
    log = await log_after_accidents(server)
    await embedded.stop(server)
    assert log.count("hunter2") >= 3


async def log_after_accidents(server: embedded.EmbeddedServer) -> str:
    connection = await asyncpg.connect(server.url.get_secret_value())
    await connection.execute("CREATE TABLE people (email text PRIMARY KEY)")
    await connection.execute("INSERT INTO people VALUES ($1)", "hunter2@example.com")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO people VALUES ($1)", "hunter2@example.com")
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.execute("INSERT INTO nowhere VALUES ('hunter2')")
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await connection.execute("SELECT CAST($1::text AS int)", "hunter2")
    backend = connection.get_server_pid()
    running = asyncio.ensure_future(connection.execute("SELECT pg_sleep(600), 'hunter2'"))
    watcher = await asyncpg.connect(server.maintenance_url.get_secret_value())
    while await watcher.fetchval("SELECT state FROM pg_stat_activity WHERE pid = $1", backend) != "active":
        await asyncio.sleep(0)
    os.kill(backend, signal.SIGKILL)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await running
    connection.terminate()
    watcher.terminate()
    log = server.data_dir / "postgres.log"
    while "was terminated by signal 9" not in log.read_text():
        await asyncio.sleep(0)
    while True:  # until it has recovered, so that it stops without complaint
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await (await asyncpg.connect(server.url.get_secret_value())).close()
            return log.read_text()


# Runs from the first start to the last stop in a process of its own, which lives in the folder given to it.
WHOLE_LIFE = """
import asyncio, sys
from pathlib import Path
from tenterhook.database import embedded
async def main():
    for _ in range(2):
        await embedded.stop(await embedded.start(Path(sys.argv[1])))
asyncio.run(main())
"""


async def test_nothing_outside_the_data_folder_is_changed(tmp_path):
    data_dir, home, temporary, runtime = (
        tmp_path / name for name in ("data", "home", "temporary", "runtime")
    )
    for folder in (data_dir, home, temporary, runtime):
        folder.mkdir(mode=0o700)
    before = outside(data_dir)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WHOLE_LIFE, data_dir),
        env={
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "XDG_RUNTIME_DIR": str(runtime),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert await process.wait() == 0
    assert (data_dir / "postgres" / "PG_VERSION").exists()
    assert outside(data_dir) == before
    for folder in (home, temporary, runtime):
        assert list(folder.iterdir()) == []
    assert left_by(data_dir) == []


async def test_nothing_is_left_in_common_folders_by_a_killed_server(data_dir):
    """As an ordinary user shared memory may be left, which the next start removes."""
    server = await embedded.start(data_dir)
    for pid in processes.all_of(data_dir / "postgres"):
        processes.send_signal(pid, data_dir / "postgres", signal.SIGKILL)
    await embedded.wait_until_ended(server)
    await embedded.stop(server)
    if os.geteuid() == 0:
        assert left_by(data_dir) == []
    await embedded.stop(await embedded.start(data_dir))
    assert left_by(data_dir) == []


def outside(data_dir: Path) -> dict[str, object]:
    """Return what the server could have changed around the data folder, and must not have."""
    state: dict[str, object] = {}
    for parent in data_dir.parents:
        status = parent.stat()
        state[str(parent)] = (status.st_mode, status.st_uid, status.st_gid)
    state["parent's time"] = data_dir.parent.stat().st_mtime_ns  # the higher ones belong to others as well
    for name in ("passwd", "group", "shadow", "gshadow", "nsswitch.conf", "subuid", "subgid"):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            status = Path("/etc", name).stat()
            state[f"/etc/{name}"] = (status.st_mtime_ns, status.st_ino, status.st_mode)
            state[f"/etc/{name}, text"] = Path("/etc", name).read_bytes()
    state["mounts"] = Path("/proc/self/mountinfo").read_text()
    programs = binaries.installation()
    for path in [*programs.rglob("*"), *binaries.libraries(programs).rglob("*"), *programs.parents]:
        status = path.stat()
        state[str(path)] = (status.st_mode, status.st_uid, status.st_gid)
    return state


def left_by(data_dir: Path) -> list[Path]:
    """Return what lies in the folders that everybody may write to and belongs to the server, which has ended."""
    uid = (data_dir / "postgres").stat().st_uid
    of_the_living = shared_memory_in_use()  # an ordinary user's other servers have the same uid
    found = []
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock"):
        for path in Path(folder).iterdir():
            with contextlib.suppress(FileNotFoundError):
                ours = (
                    os.geteuid() == 0 or "postgres" in path.name.lower() or path.name.startswith(".s.PGSQL")
                )
                if path.lstat().st_uid == uid and ours and str(path) not in of_the_living:
                    found.append(path)
    return found


def shared_memory_in_use() -> set[str]:
    """Return the files in shared memory that some process has mapped."""
    found: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # ended meanwhile, or not ours to see
            found |= {
                line.split(maxsplit=5)[5] for line in maps.read_text().splitlines() if " /dev/shm/" in line
            }
    return found
