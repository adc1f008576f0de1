"""Control groups in the kernel. As root only; as an ordinary user under version 1 there are none, and that is tested.

What was run depends on the machine. On one with version 1 (memory, pids, cpu) every limit is; of version 2 then only
what needs none of these controllers: making, moving aside, killing, removing, with another controller in their place.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tenterhook.sandbox.jail import cgroups
from tenterhook.sandbox.jail.cgroup_layout import ASIDE, Layout
from tenterhook.sandbox.jail.cgroups import CgroupLimits, CgroupParent, Unavailable
from tests.integration.sandbox.jail import denials
from tests.integration.sandbox.jail.forked import in_child

IS_ROOT = os.geteuid() == 0
MIB = 1 << 20


def _limits(**changes) -> CgroupLimits:
    return CgroupLimits(**{"memory_bytes": 64 * MIB, "processes": 16, "cpu_percent": 100, **changes})


@contextlib.contextmanager
def _sleeper():
    """A process that waits to be killed."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _until(holds) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _in_group(group, body):
    """Run a body in a child that first puts itself under the group's limits."""

    def inside():
        if group.joined_from_inside:  # as jails do
            group.join()
        else:
            group.add(os.getpid())
        return body()

    return in_child(inside)


if IS_ROOT:

    @pytest.fixture
    def parent():
        found = CgroupParent.find()
        assert isinstance(found, CgroupParent), found
        yield found
        _until(found.remove)

    def test_memory_beyond_the_limit_is_killed_and_counted(parent):
        group = parent.create("memory", _limits())
        assert group.oom_kills() == 0

        def hog():
            return len([bytearray(os.urandom(1) * MIB) for _ in range(256)])

        assert _in_group(group, hog) == {"killed by": -signal.SIGKILL}
        assert group.oom_kills() == 1
        roomy = parent.create("roomy", _limits(memory_bytes=512 * MIB))
        assert _in_group(roomy, hog) == 256
        assert roomy.oom_kills() == 0

    def test_processes_beyond_the_limit_are_refused(parent):
        group = parent.create("processes", _limits(processes=4))

        def spread():
            children, reading = [], os.pipe()[0]
            try:
                for _ in range(10):
                    pid = os.fork()
                    if pid == 0:
                        os.read(reading, 1)
                        os._exit(0)
                    children.append(pid)
            except BlockingIOError:
                return len(children)
            finally:
                for child in children:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
            return -1

        assert _in_group(group, spread) == 3

    def test_processor_time_is_bounded(parent):
        group = parent.create("cpu", _limits(cpu_percent=1))
        if parent.version == 1:
            folder = group._folders["cpu"]
            period = int((folder / "cpu.cfs_period_us").read_text())
            assert int((folder / "cpu.cfs_quota_us").read_text()) == period // 100
            throttled = folder / "cpu.stat"
        else:
            throttled = group._folders["cpu"] / "cpu.stat"

        def spin():
            end = time.process_time() + 0.01
            while time.process_time() < end:
                pass
            return True

        assert _in_group(group, spin) is True
        counts = dict(line.split() for line in throttled.read_text().splitlines())
        assert int(counts["nr_throttled"]) > 0

    def test_swap_does_not_extend_memory(parent):
        group = parent.create("swap", _limits())
        folder = group._folders["memory"]
        file = "memory.memsw.limit_in_bytes" if parent.version == 1 else "memory.swap.max"
        if (folder / file).exists():
            assert int((folder / file).read_text()) == (64 * MIB if parent.version == 1 else 0)

    def test_a_group_with_processes_is_emptied_and_removed(parent):
        group = parent.create("busy", _limits())
        with _sleeper() as pid:
            group.add(pid)
            group.remove()
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        _until(group.remove)
        assert not any(folder.exists() for folder in group._folders.values())

    def test_a_limit_that_is_refused_leaves_nothing_behind(parent):
        with pytest.raises(OSError, match="Invalid argument"):
            parent.create("wrong", _limits(memory_bytes=-5 if parent.version == 2 else -(1 << 70)))
        assert not any((folder / "wrong").exists() for folder in parent._folders.values())

    def test_what_a_dead_owner_left_is_removed_by_the_next(parent):
        def leave_behind():
            left = CgroupParent.find()
            left.create("1", _limits())
            return [str(folder) for folder in left._folders.values()]

        left = [Path(each) for each in in_child(leave_behind)]
        assert all(folder.is_dir() for folder in left)
        second = CgroupParent.find()
        assert not any(folder.exists() for folder in left)
        assert second._folders == parent._folders
        assert all(folder.is_dir() for folder in parent._folders.values()), "that of a living owner stays"

    def test_what_was_left_in_a_group_beside_ours_is_removed_too(parent):
        base = parent._folders["memory"].parent
        namespace = parent._folders["memory"].name.split("-")[1]
        beside = base.parent / f"test-of-tenterhook-{os.getpid()}"
        left = beside / f"tenterhook-{namespace}-{os.getpid()}-1"
        if base == base.parent.parent / "memory":  # our group is the top, which has nothing beside it
            beside = base
            left = base / left.name
        left.mkdir(parents=True)
        try:
            CgroupParent.find()
            assert not left.exists()
        finally:
            if beside != base:
                beside.rmdir()

    def test_a_pid_that_was_given_out_again_is_not_the_owner(parent):
        base = parent._folders["memory"].parent
        namespace, pid, start = parent._folders["memory"].name.split("-")[1:]
        older = base / f"tenterhook-{namespace}-{pid}-{int(start) - 1}"
        elsewhere = base / f"tenterhook-{int(namespace) + 1}-{pid}-{int(start) - 1}"
        older.mkdir()
        elsewhere.mkdir()
        try:
            CgroupParent.find()
            assert not older.exists()
            assert elsewhere.exists(), "the pids of another pid namespace mean nothing here"
        finally:
            elsewhere.rmdir()

    def test_a_probe_finds_without_rearranging(parent):
        found = CgroupParent.find(rearrange=False)
        assert isinstance(found, CgroupParent)
        assert found.controllers == parent.controllers == {"memory", "pids", "cpu"}

    def test_an_ordinary_user_is_told_why_there_is_none():
        def ask():
            denials.become_ordinary()
            found = CgroupParent.find()
            return found.reason if isinstance(found, Unavailable) else "found"

        assert "Permission denied" in in_child(ask) or "Delegate=yes" in in_child(ask)

    def _second_version() -> tuple[Path, str] | None:
        """Where version 2 is mounted, and a controller that it has."""
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                point = Path(fields.split()[4])
                controllers = (point / "cgroup.controllers").read_text().split()
                if controllers:
                    return point, controllers[0]
        return None

    if _second_version() is not None:

        @pytest.fixture
        def second():
            """A group of version 2 with a process in it, and the layout that makes it a base."""
            point, controller = _second_version()
            (point / "cgroup.subtree_control").write_text(f"+{controller}")
            base = point / f"test-of-tenterhook-{os.getpid()}"
            base.mkdir()
            with _sleeper() as pid:
                (base / "cgroup.procs").write_text(str(pid))
                yield base, Layout(version=2, folders={controller: base}), pid
            _until(lambda: cgroups._remove_tree(base))

        def test_version_2_moves_processes_aside_to_limit_children(second):
            base, layout, pid = second
            found = CgroupParent.make(layout)
            assert isinstance(found, CgroupParent) and found.ready
            assert str(pid) in (base / ASIDE / "cgroup.procs").read_text().split()
            assert (base / "cgroup.procs").read_text() == ""
            _until(found.remove)

        def test_version_2_is_not_rearranged_by_a_probe(second):
            base, layout, pid = second
            found = CgroupParent.make(layout, rearrange=False)
            assert isinstance(found, CgroupParent) and not found.ready
            assert str(pid) in (base / "cgroup.procs").read_text().split()
            assert not (base / ASIDE).exists()
            _until(found.remove)

        def test_version_2_kills_a_whole_group(second):
            _base, layout, _pid = second
            found = CgroupParent.make(layout)
            group = found.create("one", _limits())
            with _sleeper() as first, _sleeper() as other:
                group.add(first)
                group.add(other)
                group.kill()
                for each in (first, other):
                    assert os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) == -signal.SIGKILL
            _until(group.remove)
            _until(found.remove)
