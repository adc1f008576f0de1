"""Control groups: memory, processes and processor time of each Node process, bounded by the kernel as a whole.

    our own group, or the top ── tenterhook-<pid namespace>-<owner's pid>-<owner's start>      a CgroupParent
                                   ├── 17        one Node process                              a Cgroup
                                   └── 18

The owner is whoever found the parent (the zygote). A pid alone would prove nothing, for it is given out again; with
the time of its start it is one process. Groups of an owner that is no more are emptied and removed when the next one
starts, but only those of our own pid namespace: the pids of another container mean nothing here.

Where the memory controller kills, ``oom_kills`` says so, and the run can be told why it ended. Swap is closed where the
kernel accounts for it, or a limit of memory would only make the machine slow.

Everything here is a few reads and writes of small files and blocks for no longer; it is called from the zygote's loop.
Version 2 forbids processes in a group whose children are limited. If that is our case, all processes of our group
are moved into a child (``ASIDE``), as containers do that run containers.

Known limit: as an ordinary user under version 1 nothing can be made. As root under systemd with version 2, in a service
without Delegate=yes, groups are made at the top of the tree beside systemd's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from tenterhook.sandbox.jail.cgroup_layout import ASIDE, CONTROLLERS, Layout, Unavailable, find_layout

__all__ = ["CONTROLLERS", "Cgroup", "CgroupLimits", "CgroupParent", "Unavailable"]

_PERIOD_MICROSECONDS = 100_000
"""Over which the processor's quota is counted: the kernel's default."""
_NAME = re.compile(r"tenterhook-(\d+)-(\d+)-(\d+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CgroupLimits:
    """What one group may use."""

    memory_bytes: int
    """All memory that the kernel charges: pages, the scratch folder, sockets' buffers. Beyond it the kernel kills."""
    processes: int
    """Threads count as processes."""
    cpu_percent: int = 100
    """Of one core. All groups have the same weight."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Setting:
    controller: str
    file: str
    value: int
    optional: bool = False
    """The kernel may be built without it."""


def _settings(version: int, limits: CgroupLimits) -> list[_Setting]:
    quota = limits.cpu_percent * _PERIOD_MICROSECONDS // 100
    if version == 2:
        return [
            _Setting(controller="memory", file="memory.max", value=limits.memory_bytes),
            _Setting(controller="memory", file="memory.swap.max", value=0, optional=True),
            _Setting(controller="memory", file="memory.oom.group", value=1, optional=True),
            _Setting(controller="pids", file="pids.max", value=limits.processes),
            _Setting(controller="cpu", file="cpu.max", value=quota),  # the period stays
        ]
    return [
        _Setting(controller="memory", file="memory.limit_in_bytes", value=limits.memory_bytes),
        # Memory and swap together, so after the limit of memory, which may not exceed it.
        _Setting(
            controller="memory", file="memory.memsw.limit_in_bytes", value=limits.memory_bytes, optional=True
        ),
        _Setting(controller="memory", file="memory.swappiness", value=0, optional=True),
        _Setting(controller="pids", file="pids.max", value=limits.processes),
        _Setting(controller="cpu", file="cpu.cfs_period_us", value=_PERIOD_MICROSECONDS),
        _Setting(controller="cpu", file="cpu.cfs_quota_us", value=quota),
    ]


class Cgroup:
    """One group, for one Node process."""

    def __init__(self, *, version: int, folders: dict[str, Path]) -> None:
        self._version = version
        self._folders = folders

    def add(self, pid: int) -> None:
        """Put a process with all its threads, and what it will start, under the limits."""
        for folder in _distinct(self._folders):
            (folder / "cgroup.procs").write_text(str(pid))

    @property
    def joined_from_inside(self) -> bool:
        """Whether a process is put in by ``join``; else by ``add``."""
        return self._version == 1

    def join(self) -> None:
        """Put the calling process, which must have one thread, under the limits (version 1 only).

        Moving another process makes the kernel wait until no processor is in a fork any more (an RCU grace period, 13 ms
        where ``join`` takes half of one); moving oneself needs no such wait (``cgroup_procs_write_start``).
        """
        for folder in _distinct(self._folders):
            (folder / "tasks").write_text("0")

    def oom_kills(self) -> int:
        """Return how often the kernel killed for want of memory; 0 also where memory is not limited."""
        folder = self._folders.get("memory")
        if folder is None:
            return 0
        text = (folder / ("memory.events" if self._version == 2 else "memory.oom_control")).read_text()
        counts = dict(line.split(maxsplit=1) for line in text.splitlines())
        return int(counts.get("oom_kill", 0))

    def kill(self) -> None:
        """Kill whatever is left inside."""
        for folder in _distinct(self._folders):
            _kill_all(folder)

    def remove(self) -> bool:
        """Kill what is left and remove the group. False: something in it has not ended yet; try again later."""
        return _remove_all(list(_distinct(self._folders)))


class CgroupParent:
    """The group above those of one owner's processes."""

    def __init__(self, *, version: int, folders: dict[str, Path], ready: bool = True) -> None:
        self._folders = folders
        self.version = version
        """Of control groups: 1 or 2."""
        self.ready = ready
        """Whether limits can be set; only false where nothing was rearranged."""

    @property
    def controllers(self) -> frozenset[str]:
        """What can be limited here; some of ``CONTROLLERS``."""
        return frozenset(self._folders)

    @classmethod
    def find(cls, *, proc: Path = Path("/proc"), rearrange: bool = True) -> Self | Unavailable:
        """Make a parent for this process as the owner, and remove what dead owners left.

        With ``rearrange`` false no process is moved aside: a probe must not change what it looks at. Where only that
        is missing, the parent is returned, and limits cannot be set in it yet.
        """
        layout = find_layout(
            mountinfo=(proc / "self" / "mountinfo").read_text(),
            membership=(proc / "self" / "cgroup").read_text(),
            uid=os.geteuid(),
        )
        if isinstance(layout, Unavailable):
            return layout
        return cls.make(layout, proc=proc, rearrange=rearrange)

    @classmethod
    def make(
        cls, layout: Layout, *, proc: Path = Path("/proc"), rearrange: bool = True
    ) -> Self | Unavailable:
        """Make a parent where a layout says."""
        name = owner_name(proc, os.getpid())
        made: dict[str, Path] = {}
        refused: list[str] = []
        if layout.version == 2:
            refused = _open_to_children(layout, rearrange=rearrange)
        for controller, base in layout.folders.items():
            try:
                _remove_leftovers(base, proc)
                (base / name).mkdir(exist_ok=True)
                made[controller] = base / name
            except OSError as error:
                refused.append(f"{base}: {os.strerror(error.errno or 0)}")
        if not made or (refused and rearrange and layout.version == 2):
            _remove_all([base / name for base in _distinct(layout.folders) if (base / name).is_dir()])
            return Unavailable(reason="; ".join(dict.fromkeys(refused)))
        parent = next(iter(made.values()))
        if layout.version == 2 and not refused:
            _enable(parent, made)
        _give_way(layout.version, made)
        return cls(version=layout.version, folders=made, ready=not refused)

    def create(self, name: str, limits: CgroupLimits) -> Cgroup:
        """Make a group with these limits, with nothing in it yet.

        Raises:
            OSError: the kernel refuses a limit; nothing is left behind.
        """
        folders = {controller: parent / name for controller, parent in self._folders.items()}
        group = Cgroup(version=self.version, folders=folders)
        try:
            for folder in _distinct(folders):
                folder.mkdir()
            for setting in _settings(self.version, limits):
                if setting.controller in folders:
                    _write(folders[setting.controller] / setting.file, setting)
        except OSError:
            group.remove()
            raise
        return group

    def remove(self) -> bool:
        """Remove this parent with all below. False: something in it has not ended yet; try again later."""
        gone = [_remove_tree(folder) for folder in _distinct(self._folders)]
        return all(gone)


def owner_name(proc: Path, pid: int) -> str:
    """Return the name of the parent of an owner."""
    namespace = (proc / "self" / "ns" / "pid").stat().st_ino
    return f"tenterhook-{namespace}-{pid}-{_start_of(proc, pid)}"


def _start_of(proc: Path, pid: int) -> int | None:
    """Return when a process started, in clock ticks since the machine did; None if there is no such process."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name in brackets may hold anything; what follows it are fields 3 and up, and the start is the 22nd.
    return int(text.rpartition(")")[2].split()[19])


def _remove_leftovers(base: Path, proc: Path) -> None:
    """Remove what dead owners left, here and in the groups beside ours.

    Beside ours: somebody who starts the program from a shell has a group of his own for each session, and what was
    left in an earlier one would keep that from being removed.
    """
    namespace = (proc / "self" / "ns" / "pid").stat().st_ino
    for folder in {*base.glob("tenterhook-*-*-*"), *base.parent.glob("*/tenterhook-*-*-*")}:
        found = _NAME.fullmatch(folder.name)
        if found is None or int(found.group(1)) != namespace:
            continue
        if _start_of(proc, int(found.group(2))) != int(found.group(3)):
            with contextlib.suppress(OSError):  # not ours to remove; it is in nobody's way here
                _remove_tree(folder)


def _open_to_children(layout: Layout, *, rearrange: bool) -> list[str]:
    """Let the children of the base be limited (version 2); return why that cannot be."""
    base = next(iter(layout.folders.values()))
    try:
        _enable(base, layout.folders)
    except OSError as error:
        if error.errno != errno.EBUSY or not rearrange:
            return [f"{base}/cgroup.subtree_control: {os.strerror(error.errno or 0)}"]
        try:
            _move_aside(base)
            _enable(base, layout.folders)
        except OSError as second:
            return [f"{base}: {os.strerror(second.errno or 0)}"]
    return []


def _enable(folder: Path, controllers: Iterable[str]) -> None:
    """Let these controllers limit the children of a group (version 2)."""
    enabled = (folder / "cgroup.subtree_control").read_text().split()
    wanted = [each for each in controllers if each not in enabled]
    if wanted:
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in wanted))


def _give_way(version: int, folders: Mapping[str, Path]) -> None:
    """Let all hooks together weigh half of what the platform does: the API answers people."""
    if "cpu" in folders:
        file, weight = ("cpu.weight", 50) if version == 2 else ("cpu.shares", 512)
        _write(folders["cpu"] / file, _Setting(controller="cpu", file=file, value=weight, optional=True))


def _move_aside(base: Path) -> None:
    """Move the processes of a group into its child; one that ends meanwhile is no loss, one that starts is caught."""
    aside = base / ASIDE
    aside.mkdir(exist_ok=True)
    for _round in range(10):
        pids = (base / "cgroup.procs").read_text().split()
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (aside / "cgroup.procs").write_text(pid)


def _write(file: Path, setting: _Setting) -> None:
    try:
        file.write_text(str(setting.value))
    except OSError:
        if not setting.optional:
            raise


def _distinct(folders: Mapping[str, Path]) -> Iterator[Path]:
    return iter(dict.fromkeys(folders.values()))


def _kill_all(folder: Path) -> None:
    """Kill all processes of a group: at once where the kernel can (version 2, Linux 5.14), else one by one."""
    try:
        # Opened without O_CREAT: in no control group does a missing file come into being.
        descriptor = os.open(folder / "cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        with contextlib.suppress(OSError):
            for pid in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    else:
        with contextlib.suppress(OSError):
            os.write(descriptor, b"1")
        os.close(descriptor)


def _remove_tree(folder: Path) -> bool:
    """Remove a parent and the groups in it."""
    if not folder.is_dir():
        return True
    below = [each for each in folder.iterdir() if each.is_dir()]
    return _remove_all([*below, folder])


def _remove_all(folders: list[Path]) -> bool:
    gone = True
    for folder in folders:
        _kill_all(folder)
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            gone = False  # EBUSY: killed, but not ended yet
    return gone
