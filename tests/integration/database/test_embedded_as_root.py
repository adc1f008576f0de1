"""What only root has to prove: its server is nobody, nobody else gets in, it works below closed folders, nothing is full.

As an ordinary user none of these can be tried, and none of these is needed: this file has no tests then.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tenterhook import uids
from tenterhook.database import embedded
from tenterhook.database.embedded import binaries, processes

from .embedded_people import environment, ordinary_command, ordinary_home, run_python

__test__ = os.geteuid() == 0

HERE = Path(__file__).parent


OTHER_FILES = sorted(path for path in HERE.glob("test_embedded_*.py") if path.name != Path(__file__).name)
assert len(OTHER_FILES) >= 3


@pytest.mark.timeout(420)  # some twenty servers each
@pytest.mark.parametrize("file", OTHER_FILES, ids=lambda path: path.stem)
def test_the_other_files_hold_for_an_ordinary_user_too(file):
    """The same tests, as a user with an account entry, a home, and nothing else."""
    with ordinary_home() as (home, uid):
        options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(home / "t")]
        finished = as_ordinary(home, uid, ["-m", "pytest", *options, str(file)])
        assert finished.returncode == 0, finished.stdout[-5000:] + finished.stderr[-2000:]
        assert " passed" in finished.stdout
        assert "skipped" not in finished.stdout
        assert running_as(uid) == []


def running_as(uid: int) -> list[str]:
    """Return the names of the uid's processes, but for those that have ended and wait for init to notice."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            status = (path / "status").read_text()
            if path.stat().st_uid == uid and "State:\tZ" not in status:
                found.append(status.partition("\n")[0])
    return found


def as_ordinary(home: Path, uid: int, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ordinary_command([sys.executable, *arguments], uid=uid, folder=home),
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


async def test_server_is_a_number_without_account_groups_or_capabilities(server):
    uid = (server.data_dir / "postgres").stat().st_uid
    with pytest.raises(KeyError):
        pwd.getpwuid(uid)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
    )
    assert status["Uid"].split() == [str(uid)] * 4
    assert status["Gid"].split() == [str(uid)] * 4
    assert status["Groups"].strip() == ""
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"


async def test_two_data_folders_have_two_uids_and_each_keeps_its_own(tmp_path):
    one, other = await embedded.start(tmp_path / "one"), await embedded.start(tmp_path / "other")
    assert uid_of(one.pid) != uid_of(other.pid)
    before = uid_of(one.pid)
    await embedded.stop(one)
    await embedded.stop(other)
    one = await embedded.start(tmp_path / "one")
    assert uid_of(one.pid) == before
    await embedded.stop(one)


def uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


# Becomes another uid after it has got as near to the socket as ``near`` says, and tries to connect.
STRANGER = """
import os, socket, sys
near, uid = sys.argv[1], int(sys.argv[2])
if near == "data folder":
    os.chdir(sys.argv[3]); path = "postgres.socket/.s.PGSQL.5432"
elif near == "socket's folder":
    os.chdir(sys.argv[3] + "/postgres.socket"); path = ".s.PGSQL.5432"
else:
    os.open(sys.argv[3] + "/postgres.socket/.s.PGSQL.5432", os.O_PATH); path = "/proc/self/fd/3"
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
try:
    socket.socket(socket.AF_UNIX).connect(path)
    print("connected")
except PermissionError:
    print("refused")
"""

NEAR = ["data folder", "socket's folder", "socket"]


@pytest.mark.parametrize("near", NEAR)
async def test_another_uid_cannot_connect_however_near_it_has_got(server, near):
    assert stranger(server, near) == "refused"


@pytest.mark.parametrize("near", NEAR)
async def test_that_stranger_gets_in_where_the_modes_are_open(server, near):
    for path in (
        server.data_dir,
        server.data_dir / "postgres.socket",
        server.data_dir / "postgres.socket/.s.PGSQL.5432",
    ):
        path.chmod(0o777)
    assert stranger(server, near) == "connected"


def stranger(server: embedded.EmbeddedServer, near: str) -> str:
    finished = run_python(STRANGER, near, str(uids.pick_unused()), server.data_dir)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


async def test_data_and_programs_below_a_closed_folder_work(tmp_path):
    """Like a clone in root's home. The wheel is read through its real path, the data folder through this one."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = await embedded.start(closed / "project" / "data")
    connection = await asyncpg.connect(server.url.get_secret_value())
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    await embedded.stop(server)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


async def test_programs_installed_under_a_strict_umask_work(tmp_path, monkeypatch):
    wheel = tmp_path / "wheel"
    programs = binaries.installation()
    ours = wheel / programs.parent.name / programs.name
    for source, target in ((programs, ours), (binaries.libraries(programs), binaries.libraries(ours))):
        subprocess.run(["cp", "-a", "--", source, target], check=False) if target.parent.is_dir() else (
            target.parent.mkdir(parents=True),
            subprocess.run(["cp", "-a", "--", source, target], check=True),
        )
    subprocess.run(["chmod", "-R", "go=", "--", wheel], check=True)
    monkeypatch.setattr("tenterhook.database.embedded.programs.installation", lambda: ours)
    server = await embedded.start(tmp_path / "data")
    await embedded.stop(server)
    assert stat.S_IMODE((ours / "bin" / "postgres").stat().st_mode) == 0o700


LIFE = """
import asyncio, sys
from pathlib import Path
from tenterhook.database import embedded
async def main():
    await embedded.stop(await embedded.start(Path(sys.argv[1])))
try:
    asyncio.run(main())
    print("lived")
except embedded.DataFolderUnusableError as error:
    print(error.message)
"""


async def test_folder_of_an_ordinary_user_stays_his():
    """Root starts what an ordinary user made: as that user, so that he can go on with it."""
    with ordinary_home() as (home, uid):
        lived = as_ordinary(home, uid, ["-c", LIFE, str(home / "data")])
        assert lived.stdout == "lived\n", lived.stderr
        server = await embedded.start(home / "data")
        assert uid_of(server.pid) == uid
        await embedded.stop(server)
        lived = as_ordinary(home, uid, ["-c", LIFE, str(home / "data")])
        assert lived.stdout == "lived\n", lived.stderr


async def test_folder_of_roots_is_refused_to_an_ordinary_user():
    with ordinary_home() as (home, uid):
        await embedded.stop(await embedded.start(home / "data"))
        (home / "data").chmod(0o777)
        refused = as_ordinary(home, uid, ["-c", LIFE, str(home / "data")])
        assert "belongs to" in refused.stdout, refused.stderr


NO_MOUNTS = """
import asyncio, ctypes, sys
from pathlib import Path
from tenterhook.database import embedded
CAP_SYS_ADMIN, PR_CAPBSET_DROP = 21, 24
assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) == 0  # as a plain container does
try:
    asyncio.run(embedded.start(Path(sys.argv[1])))
except embedded.IsolationRefusedError as error:
    print(error.message)
"""


def test_root_without_namespaces_is_told_what_to_do(tmp_path):
    finished = run_python(NO_MOUNTS, tmp_path / "data")
    assert "ordinary user" in finished.stdout, finished.stderr
    assert "DATABASE_URL" in finished.stdout
    assert not (tmp_path / "data" / "postgres").exists()


FULL = """
import asyncio, os, sys
from pathlib import Path
from tenterhook.database import embedded
data = Path(sys.argv[1])
async def main():
    await embedded.stop(await embedded.start(data))
    size = os.statvfs(data).f_bavail * os.statvfs(data).f_frsize
    with (data / "filler").open("wb", buffering=0) as file:
        try:
            while True: file.write(bytes(int(sys.argv[2])))
        except OSError: pass
    try:
        await embedded.start(data)
    except (embedded.DataFolderUnusableError, embedded.ServerDidNotStartError) as error:
        print(type(error).__name__, error.message)
    (data / "filler").unlink()
    await embedded.stop(await embedded.start(data))
    print("and again")
asyncio.run(main())
"""


def on_small_disk(mebibytes: int, script: str, folder: Path, *arguments: str) -> str:
    folder.mkdir()
    mount = f'mount -t tmpfs -o size={mebibytes}m small "$0" && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", mount, str(folder)]
    finished = subprocess.run(
        [*command, sys.executable, "-c", script, str(folder / "data"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_full_disk_is_named_and_the_database_starts_when_there_is_room(tmp_path):
    said = on_small_disk(160, FULL, tmp_path / "small", "4096")
    assert "No space left on device" in said
    assert str(tmp_path / "small" / "data") in said
    assert said.endswith("and again\n")


TOO_SMALL = """
import asyncio, sys
from pathlib import Path
from tenterhook.database import embedded
try:
    asyncio.run(embedded.start(Path(sys.argv[1])))
except embedded.DataFolderUnusableError as error:
    print(error.message)
"""


def test_disk_without_room_for_a_database_is_refused_beforehand(tmp_path):
    said = on_small_disk(100, TOO_SMALL, tmp_path / "small")
    assert "needs 128 MiB" in said
    assert "Make room" in said


def test_processes_are_recognised_without_the_right_to_look_at_them(tmp_path):
    """Root without CAP_SYS_PTRACE, as in some containers, judges by uid and name."""
    script = """
import asyncio, ctypes, os, sys
from pathlib import Path
from tenterhook.database import embedded
from tenterhook.database.embedded import processes
CAP_SYS_PTRACE, PR_CAPBSET_DROP = 19, 24
async def main():
    server = await embedded.start(Path(sys.argv[1]))
    try: os.readlink(f"/proc/{server.pid}/exe")
    except PermissionError: print("may not look")
    await embedded.stop(server)
if sys.argv[2:] != ["again"]:
    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0) == 0
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[3], sys.argv[1], "again"])
asyncio.run(main())
"""
    finished = run_python(script, tmp_path / "data", "first", script)
    assert finished.stdout == "may not look\n", finished.stderr
    assert processes.all_of(tmp_path / "data" / "postgres") == []
