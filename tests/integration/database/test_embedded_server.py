"""The embedded server's life: made, started, stopped, kept from a second owner, refused where it cannot work."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tenterhook.database import embedded
from tenterhook.errors import ConfigurationError


async def test_data_written_before_a_stop_is_there_after_the_next_start(tmp_path):
    server = await embedded.start(tmp_path / "data")
    try:
        connection = await asyncpg.connect(server.url.get_secret_value())
        await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('grüße')")
        await connection.close()
    finally:
        await embedded.stop(server)
    server = await embedded.start(tmp_path / "data")
    try:
        connection = await asyncpg.connect(server.url.get_secret_value())
        assert await connection.fetchval("SELECT word FROM kept") == "grüße"
        await connection.close()
    finally:
        await embedded.stop(server)


async def test_stop_leaves_no_process_and_no_socket(tmp_path):
    server = await embedded.start(tmp_path / "data")
    assert (tmp_path / "data" / "postgres.socket" / ".s.PGSQL.5432").is_socket()
    connection = await asyncpg.connect(
        server.url.get_secret_value()
    )  # a client that does not leave by itself
    await embedded.stop(server)
    connection.terminate()
    assert processes_of(tmp_path / "data") == []
    assert not (tmp_path / "data" / "postgres.socket").exists()


async def test_url_serves_sqlalchemy_and_asyncpg_as_the_owner_who_is_no_superuser(server):
    engine = create_async_engine(
        server.url.get_secret_value().replace("postgresql://", "postgresql+asyncpg://")
    )
    async with engine.begin() as connection:
        row = (await connection.execute(text("SELECT current_user, current_database()"))).one()
        assert tuple(row) == ("tenterhook", "tenterhook")
        await connection.execute(text("CREATE SCHEMA owned CREATE TABLE things (id int)"))
    await engine.dispose()
    connection = await asyncpg.connect(server.url.get_secret_value())
    assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("COPY (SELECT 1) TO PROGRAM 'cat'")
    await connection.close()


async def test_text_is_utf8_and_sorted_the_same_on_every_machine(server):
    connection = await asyncpg.connect(server.url.get_secret_value())
    row = await connection.fetchrow(
        "SELECT pg_encoding_to_char(encoding) AS encoding, datlocprovider::text AS provider, datlocale, upper('grün') "
        "FROM pg_database WHERE datname = current_database()"
    )
    assert tuple(row) == ("UTF8", "b", "C.UTF-8", "GRÜN")
    await connection.close()


async def test_what_is_committed_is_on_the_disk(server):
    connection = await asyncpg.connect(server.url.get_secret_value())
    for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await connection.fetchval("SELECT current_setting($1)", name) == "on", name
    await connection.close()


async def test_server_lives_in_a_session_of_its_own_without_our_descriptors(server):
    assert os.getsid(server.pid) == server.pid
    open_files = {path.readlink() for path in Path(f"/proc/{server.pid}/fd").iterdir()}
    regular = {path for path in open_files if path.is_absolute() and path.is_file()}
    assert regular == {server.data_dir / "postgres.log", server.data_dir / "postgres.alive"}
    assert Path(f"/proc/{server.pid}/fd/0").readlink() == Path("/dev/null")


async def test_every_file_is_for_its_owner_alone(server):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in server.data_dir.iterdir()}
    assert modes == {
        "postgres": 0o700,
        "postgres.alive": 0o600,
        "postgres.log": 0o600,
        "postgres.owner": 0o600,
        "postgres.passwords": 0o600,
        "postgres.socket": 0o700,
    }
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700


async def test_second_owner_is_told_who_has_the_folder(server):
    with pytest.raises(embedded.DataFolderInUseError) as caught:
        await embedded.start(server.data_dir)
    assert isinstance(caught.value, ConfigurationError)
    assert str(server.data_dir) in caught.value.message
    assert str(os.getpid()) in caught.value.message


async def test_second_owner_in_another_process_is_told_too_and_gets_the_url_without_owning(server):
    script = """
import asyncio, sys
from pathlib import Path
from tenterhook.database import embedded
print(embedded.url_of_running(Path(sys.argv[1])).get_secret_value())
try:
    asyncio.run(embedded.start(Path(sys.argv[1])))
except embedded.DataFolderInUseError as error:
    print(error.message)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, server.data_dir, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    url, message = output.decode().splitlines()
    assert url == server.url.get_secret_value()
    assert f"process {os.getpid()}" in message


async def test_url_of_a_folder_without_server_is_none(tmp_path, data_dir):
    assert embedded.url_of_running(tmp_path / "other") is None
    assert embedded.url_of_running(data_dir) is None
    await embedded.stop(await embedded.start(data_dir))
    assert embedded.url_of_running(data_dir) is None


async def test_cancelled_start_leaves_no_server_and_no_owner(tmp_path):
    starting = asyncio.create_task(embedded.start(tmp_path / "data"))
    while not (tmp_path / "data" / "postgres.log").exists():  # the server itself has been asked for
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert processes_of(tmp_path / "data") == []
    await embedded.stop(await embedded.start(tmp_path / "data"))


@pytest.mark.parametrize("name", ["x" * 120, "with,comma", 'with"quote'], ids=["long", "comma", "quote"])
async def test_unfit_path_puts_the_socket_into_a_private_folder_that_goes_with_the_server(
    tmp_path, monkeypatch, name
):
    runtime = Path("/tmp") / f"r{os.getpid()}"  # short, which tmp_path is not
    runtime.mkdir(mode=0o711)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    try:
        server = await embedded.start(tmp_path / name)
        try:
            (folder,) = runtime.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert folder.stat().st_uid == (server.data_dir / "postgres").stat().st_uid
            connection = await asyncpg.connect(server.url.get_secret_value())
            await connection.close()
        finally:
            await embedded.stop(server)
        assert list(runtime.iterdir()) == []
        assert not (tmp_path / name / "postgres.socket-dir").exists()
    finally:
        runtime.rmdir()


async def test_path_with_spaces_and_percent_signs_works(tmp_path):
    server = await embedded.start(tmp_path / "my data %41 & so on")
    try:
        connection = await asyncpg.connect(server.url.get_secret_value())
        await connection.close()
        engine = create_async_engine(
            server.url.get_secret_value().replace("postgresql:", "postgresql+asyncpg:")
        )
        async with engine.connect() as other:
            await other.execute(text("SELECT 1"))
        await engine.dispose()
    finally:
        await embedded.stop(server)


async def test_data_of_another_major_is_refused(data_dir):
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(embedded.DataFolderUnusableError, match=r"PostgreSQL 16.*PostgreSQL 18"):
        await embedded.start(data_dir)


async def test_something_else_named_postgres_is_refused_and_kept(tmp_path):
    (tmp_path / "postgres").mkdir()
    if os.geteuid() == 0:
        os.chown(tmp_path / "postgres", 12345, 12345)
    (tmp_path / "postgres" / "mine").write_text("kept")
    with pytest.raises(embedded.DataFolderUnusableError, match="not a PostgreSQL data folder"):
        await embedded.start(tmp_path)
    assert (tmp_path / "postgres" / "mine").read_text() == "kept"


async def test_missing_passwords_are_named(data_dir):
    (data_dir / "postgres.passwords").unlink()
    with pytest.raises(embedded.DataFolderUnusableError, match=r"postgres\.passwords"):
        await embedded.start(data_dir)
    assert processes_of(data_dir) == []


async def test_wrong_passwords_are_refused_and_the_next_start_with_the_right_ones_works(data_dir):
    right = (data_dir / "postgres.passwords").read_text()
    (data_dir / "postgres.passwords").write_text('{"postgres": "wrong", "tenterhook": "wrong"}')
    with pytest.raises(embedded.DataFolderUnusableError, match="same backup"):
        await embedded.start(data_dir)
    assert processes_of(data_dir) == []
    (data_dir / "postgres.passwords").write_text(right)
    await embedded.stop(await embedded.start(data_dir))


async def test_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(embedded.DataFolderUnusableError, match="--data"):
        await embedded.start(tmp_path / "file" / "data")


async def test_server_that_ends_at_once_is_reported_with_the_end_of_its_log(data_dir):
    with (data_dir / "postgres" / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = 'lots'\n")
    with pytest.raises(embedded.ServerDidNotStartError) as caught:
        await embedded.start(data_dir)
    assert 'invalid value for parameter "shared_buffers": "lots"' in caught.value.message
    assert str(data_dir / "postgres.log") in caught.value.message
    with pytest.raises(embedded.ServerDidNotStartError):  # and its ownership was given back
        await embedded.start(data_dir)


async def test_version_is_told_without_a_server(tmp_path):
    version = await embedded.postgres_version()
    assert version.split(".")[0] == "18"


def processes_of(data_dir: Path) -> list[str]:
    """Return the processes that have the folder's lock of the living open, by the kernel's own account."""
    lock = (data_dir / "postgres.alive").stat()
    found = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            status = descriptor.stat()
        except OSError:
            continue  # ended meanwhile, or not ours to see
        if (status.st_dev, status.st_ino) == (lock.st_dev, lock.st_ino):
            found.append(descriptor.parts[2])
    return found
