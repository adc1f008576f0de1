"""Where control groups can be made, on the kinds of machines there are: texts of /proc, and folders that stand for them."""

from __future__ import annotations

import os

import pytest

from tenterhook.sandbox.jail import cgroups
from tenterhook.sandbox.jail.cgroup_layout import ASIDE, Layout, Unavailable, find_layout
from tenterhook.sandbox.jail.cgroups import Cgroup, CgroupLimits

ROOT, SOMEBODY = 0, 424242
LIMITS = CgroupLimits(memory_bytes=256 << 20, processes=64, cpu_percent=50)


@pytest.fixture
def tree(tmp_path):
    """A folder that stands for /sys/fs/cgroup; ``make`` adds a group with its controllers."""

    def make(path: str, controllers: str = "cpuset cpu io memory pids"):
        folder = tmp_path / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.controllers").write_text(controllers + "\n")
        return folder

    make("")
    return make


def _second(tmp_path, *, root="/") -> str:
    return f"30 23 0:26 {root} {tmp_path} rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def _find(mountinfo, membership, uid=ROOT):
    return find_layout(mountinfo=mountinfo, membership=membership, uid=uid)


def test_version_2_as_root_in_a_session_uses_the_top(tree, tmp_path):
    tree("user.slice/session-1.scope")
    found = _find(_second(tmp_path), "0::/user.slice/session-1.scope\n")
    assert found == Layout(version=2, folders=dict.fromkeys(("memory", "pids", "cpu"), tmp_path))


def test_version_2_in_a_container_uses_what_it_sees_as_the_top(tree, tmp_path):
    found = _find(_second(tmp_path), "0::/\n")
    assert isinstance(found, Layout)
    assert set(found.folders.values()) == {tmp_path}


def test_version_2_with_systemds_mark_of_delegation_uses_its_own_group(tree, tmp_path):
    own = tree("system.slice/tenterhook.service", "memory pids")
    os.setxattr(own, "user.delegate", b"1")
    found = _find(_second(tmp_path), "0::/system.slice/tenterhook.service\n")
    assert found == Layout(version=2, folders={"memory": own, "pids": own})


def test_version_2_of_an_ordinary_user_needs_a_group_of_his_own(tree, tmp_path):
    own = tree("user.slice/app.service")
    text = "0::/user.slice/app.service\n"
    mine = _find(_second(tmp_path), text, uid=own.stat().st_uid or SOMEBODY)
    if own.stat().st_uid:
        assert isinstance(mine, Layout) and mine.folders["memory"] == own
    others = _find(_second(tmp_path), text, uid=SOMEBODY)
    assert isinstance(others, Unavailable)
    assert "Delegate=yes" in others.reason


def test_version_2_once_moved_aside_is_found_again(tree, tmp_path):
    own = tree("system.slice/tenterhook.service")
    os.setxattr(own, "user.delegate", b"1")
    tree(f"system.slice/tenterhook.service/{ASIDE}")
    found = _find(_second(tmp_path), f"0::/system.slice/tenterhook.service/{ASIDE}\n")
    assert isinstance(found, Layout)
    assert found.folders["memory"] == own


def test_version_2_that_was_given_no_controller_says_so(tree, tmp_path):
    own = tree("service", "cpuset")
    os.setxattr(own, "user.delegate", b"1")
    found = _find(_second(tmp_path), "0::/service\n")
    assert isinstance(found, Unavailable)
    assert "memory" in found.reason


def test_hybrid_machines_use_version_1(tree, tmp_path):
    tree("unified", "hugetlb")
    for name in ("memory/own", "pids", "cpu,cpuacct"):
        (tmp_path / name).mkdir(parents=True)
    mountinfo = (
        f"41 31 0:38 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n"
        f"32 31 0:29 / {tmp_path}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        f"35 31 0:32 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"39 31 0:36 / {tmp_path}/pids rw - cgroup cgroup rw,pids\n"
        f"40 31 0:37 / {tmp_path}/systemd rw - cgroup cgroup rw,name=systemd\n"
    )
    found = _find(mountinfo, "9:name=systemd:/\n8:pids:/\n4:memory:/own\n1:cpu,cpuacct:/\n0::/\n")
    assert found == Layout(
        version=1,
        folders={
            "cpu": tmp_path / "cpu,cpuacct",
            "memory": tmp_path / "memory/own",
            "pids": tmp_path / "pids",
        },
    )


def test_version_1_in_a_container_takes_off_what_the_mount_hides(tmp_path):
    (tmp_path / "memory").mkdir()
    mountinfo = f"35 31 0:32 /docker/abc {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
    assert _find(mountinfo, "4:memory:/docker/abc\n") == Layout(
        version=1, folders={"memory": tmp_path / "memory"}
    )
    assert isinstance(_find(mountinfo, "4:memory:/docker/other\n"), Unavailable)


def test_folders_with_spaces_are_read(tmp_path):
    (tmp_path / "a b").mkdir()
    mountinfo = f"35 31 0:32 / {tmp_path}/a\\040b rw - cgroup cgroup rw,memory\n"
    found = _find(mountinfo, "4:memory:/\n")
    assert isinstance(found, Layout)
    assert found.folders["memory"] == tmp_path / "a b"


def test_without_any_mount_there_is_nothing():
    found = _find("22 1 0:20 / / rw - ext4 /dev/sda rw\n", "0::/\n")
    assert isinstance(found, Unavailable)


def test_limits_of_version_2_are_written_as_its_documentation_says():
    settings = {each.file: each.value for each in cgroups._settings(2, LIMITS)}
    assert settings == {
        "memory.max": 256 << 20,
        "memory.swap.max": 0,
        "memory.oom.group": 1,
        "pids.max": 64,
        "cpu.max": 50_000,
    }


def test_limits_of_version_1_set_memory_before_memory_and_swap():
    files = [each.file for each in cgroups._settings(1, LIMITS)]
    assert files.index("memory.limit_in_bytes") < files.index("memory.memsw.limit_in_bytes")
    assert files.index("cpu.cfs_period_us") < files.index("cpu.cfs_quota_us")


def test_kills_of_version_2_are_counted(tmp_path):
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 17\noom 2\noom_kill 2\noom_group_kill 1\n")
    assert Cgroup(version=2, folders={"memory": tmp_path}).oom_kills() == 2


def test_without_the_memory_controller_no_kills_are_known(tmp_path):
    assert Cgroup(version=2, folders={"pids": tmp_path}).oom_kills() == 0
