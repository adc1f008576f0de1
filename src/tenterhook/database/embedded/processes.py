"""The server's processes, told apart from strangers that were given the same process id.

A process is the server's when its program is called ``postgres`` and its working folder *is* the data folder: every
PostgreSQL process stays there. Folders are compared by device and inode, which holds across mount namespaces, where
paths differ. Root without the capability to look at other users' processes (some containers) judges by name and uid:
root's server has a uid that nobody else has.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def noted_postmaster(cluster_dir: Path) -> int | None:
    """Return the process id in ``postmaster.pid``, None when there is none. It may be stale: see ``is_server``."""
    try:
        first_line = (cluster_dir / "postmaster.pid").read_text().partition("\n")[0].strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return int(first_line) if first_line.isdigit() and int(first_line) > 1 else None


def exists(pid: int) -> bool:
    """Tell whether a process has this id, whoever it is."""
    return Path(f"/proc/{pid}").exists()


def is_server(pid: int, cluster_dir: Path) -> bool:
    """Tell whether the process is one of the PostgreSQL server on this folder."""
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name.removesuffix(" (deleted)")
        return program == "postgres" and Path(f"/proc/{pid}/cwd").samefile(cluster_dir)
    except (FileNotFoundError, ProcessLookupError):
        return False  # ended, or a zombie
    except PermissionError:
        return _is_postgres_of(pid, cluster_dir)


def _is_postgres_of(pid: int, cluster_dir: Path) -> bool:
    try:
        same_uid = Path(f"/proc/{pid}").stat().st_uid == cluster_dir.stat().st_uid
        return same_uid and Path(f"/proc/{pid}/comm").read_text() == "postgres\n"
    except (FileNotFoundError, ProcessLookupError):
        return False


def postmaster(cluster_dir: Path) -> int | None:
    """Return the process id of the running postmaster, None when none runs."""
    pid = noted_postmaster(cluster_dir)
    return pid if pid is not None and is_server(pid, cluster_dir) else None


def all_of(cluster_dir: Path) -> list[int]:
    """Return every process of the server, orphans of a killed postmaster included."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if is_server(pid, cluster_dir)]


def send_signal(pid: int, cluster_dir: Path, number: signal.Signals) -> bool:
    """Signal a process of the server; False when it is none, or no more."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # Judged after the handle is open: the id cannot pass to a stranger between the judgement and the signal.
        if not is_server(pid, cluster_dir):
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        return True
    finally:
        os.close(handle)
