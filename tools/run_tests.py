"""Run pytest and fail when it leaves a process behind.

The tests start databases, Node processes and the program itself, and kill some of them without warning. Orphans of
this process come back to it (``PR_SET_CHILD_SUBREAPER``), whatever their environment, user or process group: when
pytest has ended, whoever is still a child of ours was left behind by a test.

    python tools/run_tests.py [--patience SECONDS] [what pytest takes]

``-n auto`` spreads the tests over as many processes as ``tests/conftest.py`` finds right.

What the tests write goes into a folder that is gone afterwards; in memory, where there is room: they make some hundred
databases, and waiting for a disk takes half of their time. Crashes are tried all the same, by killing processes. For a
look at what a failed test has left, run that test with pytest itself.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 2 << 30
"""The tests have used a quarter of it at most."""
_PREFIX = "th-"  # short: a socket's path has 107 bytes, and much of it is the test's name


def main() -> None:
    """Run pytest with the given arguments; exit as it does, or with 1 when something was left running."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--patience", type=float, default=10.0)
    own, for_pytest = parser.parse_known_args()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("This kernel cannot hand orphans back (PR_SET_CHILD_SUBREAPER).")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is pytest's to handle
    with _temporary_folder() as folder:
        pytest = subprocess.Popen(
            [sys.executable, "-m", "pytest", f"--basetemp={folder / 't'}", *for_pytest],
            env=_environment(folder),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads here
        )
        code = _wait_for(pytest.pid)
        left = _left_behind(own.patience)
        for pid, command in left:
            print(f"Left running by the tests, now ended: process {pid}: {command}", file=sys.stderr)
            os.kill(pid, signal.SIGKILL)
    sys.exit(code or bool(left))


def _environment(folder: Path) -> dict[str, str]:
    # The tests start Python some hundred times. Where PYTHONDONTWRITEBYTECODE is set, each of them would compile our
    # source anew: a third of the time that a command takes.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"TMPDIR": str(folder)}


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Make a folder that other users can pass through, as they can through /tmp, and remove it at the end."""
    parent = _MEMORY if _has_room(_MEMORY) else Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _has_room(memory: Path) -> bool:
    """Tell whether we may write there, start programs from there, and have enough of it."""
    try:
        status = os.statvfs(memory)
        available = int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]) << 10
    except (OSError, IndexError, ValueError):
        return False
    room = min(status.f_bavail * status.f_frsize, available // 2)
    return os.access(memory, os.W_OK | os.X_OK) and not status.f_flag & os.ST_NOEXEC and room >= _NEEDED_BYTES


def _remove_abandoned(parent: Path) -> None:
    """Remove what a run of ours that was killed has left: memory would be lost until the machine is started anew."""
    for folder in parent.glob(f"{_PREFIX}????????"):
        if folder.is_dir() and folder.stat().st_uid == os.geteuid() and (folder / "t").is_dir():
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            except BlockingIOError:
                pass  # it goes on
            finally:
                os.close(lock)


def _wait_for(pid: int) -> int:
    """Wait for one child, burying the orphans that end meanwhile: tests look for them."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _left_behind(patience_seconds: float) -> list[tuple[int, str]]:
    """Return the children that have not ended by themselves after a while."""
    deadline = time.monotonic() + patience_seconds
    while children := _children():
        while (ended := _buried()) is not None:
            children.discard(ended)
        if not children:
            continue
        if time.monotonic() > deadline:
            return [(pid, _command_of(pid)) for pid in sorted(children)]
        time.sleep(0.05)
    return []


def _children() -> set[int]:
    return {int(pid) for pid in Path("/proc/thread-self/children").read_text().split()}


def _buried() -> int | None:
    try:
        pid, _status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return pid or None


def _command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


if __name__ == "__main__":
    main()
