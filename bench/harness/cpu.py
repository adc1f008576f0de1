"""Processor time of processes and their descendants, read from /proc/PID/stat.

The kernel counts in ticks of 10 ms, so one figure must span many sign-ups. A process that ends hands its time to its
parent's ``cutime`` when it is reaped; the sum over a tree therefore loses nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PPID, _UTIME, _STIME, _CUTIME, _CSTIME = 1, 11, 12, 13, 14  # counted after "pid (name)"


def _fields(stat: Path) -> list[str]:
    # The name may hold spaces and parentheses: what follows the last one is regular.
    return stat.read_text().rpartition(")")[2].split()


def tree(root: int) -> set[int]:
    """Return a process and everything that descends from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_fields(entry / "stat")[_PPID])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return found


def of_tree(root: int) -> float:
    """Return the seconds that a process and its descendants have used, the ended ones too."""
    ticks = 0
    for pid in tree(root):
        try:
            fields = _fields(Path(f"/proc/{pid}/stat"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(fields[index]) for index in (_UTIME, _STIME, _CUTIME, _CSTIME))
    return ticks / _TICKS


def of_process(pid: int) -> float:
    """Return the seconds of a process alone, all its threads."""
    fields = _fields(Path(f"/proc/{pid}/stat"))
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS


def of_threads(pid: int) -> dict[int, float]:
    """Return the seconds of each thread; the main thread has the process's id."""
    seconds: dict[int, float] = {}
    for entry in Path(f"/proc/{pid}/task").iterdir():
        fields = _fields(entry / "stat")
        seconds[int(entry.name)] = (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS
    return seconds


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What each part has used so far, in seconds."""

    api_threads: dict[int, float]
    worker: float
    node: float
    postgresql: float

    @classmethod
    def now(cls, *, api: int, worker: int, postmaster: int) -> Usage:
        """Read it; Node is what descends from the worker."""
        own = of_process(worker)
        return cls(
            api_threads=of_threads(api),
            worker=own,
            node=of_tree(worker) - own,
            postgresql=of_tree(postmaster),
        )


def milliseconds_each(before: Usage, after: Usage, count: int, *, hashing_threads: int) -> dict[str, float]:
    """Return milliseconds of processor time per sign-up between two readings.

    The hashing threads are told by their appetite: apart from the main thread, the busiest ``hashing_threads``.
    """
    used = {
        thread: total - before.api_threads.get(thread, 0.0) for thread, total in after.api_threads.items()
    }
    main = min(used)  # a thread's id is never below its process's
    hashing = sum(sorted((used[thread] for thread in used if thread != main), reverse=True)[:hashing_threads])
    api = sum(used.values())

    def each(seconds: float) -> float:
        return round(seconds * 1000 / count, 3)

    postgresql = after.postgresql - before.postgresql
    return {
        "api": each(api),
        "api_hashing_threads": each(hashing),
        "api_beyond_the_hash": each(api - hashing),
        "postgresql": each(postgresql),
        "api_and_postgresql_beyond_the_hash": each(api - hashing + postgresql),
        "worker": each(after.worker - before.worker),
        "node": each(after.node - before.node),
    }
