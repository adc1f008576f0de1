"""Run pytest and fail when it leaves a process behind.

The tests start databases, Node processes and the program itself, and kill some of them without warning. Orphans of
this process come back to it (``PR_SET_CHILD_SUBREAPER``), whatever their environment, user or process group: when
pytest has ended, whoever is still a child of ours was left behind by a test.

    python tools/run_tests.py [--patience SECONDS] [what pytest takes]
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run pytest with the given arguments; exit as it does, or with 1 when something was left running."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--patience", type=float, default=10.0)
    own, for_pytest = parser.parse_known_args()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("This kernel cannot hand orphans back (PR_SET_CHILD_SUBREAPER).")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is pytest's to handle
    pytest = subprocess.Popen(
        [sys.executable, "-m", "pytest", *for_pytest],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads here
    )
    code = _wait_for(pytest.pid)
    left = _left_behind(own.patience)
    for pid, command in left:
        print(f"Left running by the tests, now ended: process {pid}: {command}", file=sys.stderr)
        os.kill(pid, signal.SIGKILL)
    sys.exit(code or bool(left))


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
