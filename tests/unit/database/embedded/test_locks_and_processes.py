"""Locks that end with their holders, and processes that are not mistaken for the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tenterhook.database.embedded import locks, processes


def test_lock_is_taken_once_and_again_after_release(tmp_path):
    descriptor = locks.try_lock(tmp_path / "lock")
    assert descriptor is not None
    locks.write_holder(descriptor)
    assert locks.try_lock(tmp_path / "lock") is None
    assert locks.read_holder(tmp_path / "lock") == str(os.getpid())
    os.close(descriptor)
    assert not locks.is_locked(tmp_path / "lock")


def test_lock_of_a_killed_holder_is_free(tmp_path):
    script = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)\n"
    script += "print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert locks.is_locked(tmp_path / "lock")
        holder.kill()
    assert not locks.is_locked(tmp_path / "lock")


def test_lock_stays_with_whoever_inherited_it(tmp_path):
    descriptor = locks.try_lock(tmp_path / "lock")
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, pass_fds=[descriptor]) as heir:
        os.close(descriptor)
        assert locks.is_locked(tmp_path / "lock")
        heir.kill()
    assert not locks.is_locked(tmp_path / "lock")


def test_lock_does_not_follow_a_link(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        locks.try_lock(tmp_path / "lock")


@pytest.mark.parametrize("text", ["", "\n", "x\n", "0\n", "1\n", "-5\n", "\xff"])
def test_damaged_pid_file_names_nobody(tmp_path, text):
    (tmp_path / "postmaster.pid").write_text(text, encoding="latin-1")
    assert processes.noted_postmaster(tmp_path) is None


def test_other_program_in_the_data_folder_is_not_the_server(tmp_path):
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n")
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, cwd=tmp_path) as visitor:
        assert processes.all_of(tmp_path) == []
        assert processes.postmaster(tmp_path) is None
        assert processes.send_signal(visitor.pid, tmp_path, signal.SIGKILL) is False
        assert visitor.poll() is None
        visitor.kill()
