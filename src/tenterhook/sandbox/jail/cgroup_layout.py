"""Where this process may make control groups: read from /proc, decided here, tried by ``cgroups.py``.

    version 2    one tree. Below our own group if it was delegated to us or is the top we can see (a container's);
                 as root otherwise below the top of the tree, as container engines without systemd do
    version 1    a tree for each controller. Below our own group in each, so that limits from above still hold

Version 2 is taken when it has the memory controller. On hybrid systems it is mounted but empty.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

CONTROLLERS = ("memory", "pids", "cpu")
"""What we limit."""

ASIDE = "tenterhook-platform"
"""The group of version 2 into which the processes of our own are moved: a group with limited children may hold none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Folders in which groups can be made, if the kernel lets us."""

    version: int
    """1 or 2."""
    folders: Mapping[str, Path]
    """By controller; of version 2 all are the same folder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unavailable:
    """There are no control groups for us."""

    reason: str
    """For the operator."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Mount:
    root: str
    """The group that the mount shows as its top."""
    point: Path
    kind: str
    options: frozenset[str]


def find_layout(*, mountinfo: str, membership: str, uid: int) -> Layout | Unavailable:
    """Return where groups can be made, from the texts of /proc/self/mountinfo and /proc/self/cgroup."""
    mounts = _mounts(mountinfo)
    own = _membership(membership)
    unified = next((mount for mount in mounts if mount.kind == "cgroup2"), None)
    if unified is not None and "" in own:
        available = _words(unified.point / "cgroup.controllers")
        if "memory" in available:
            return _second(unified, own[""], available, uid)
    folders = {
        controller: folder
        for mount in mounts
        for controller in CONTROLLERS
        if mount.kind == "cgroup" and controller in mount.options and controller in own
        if (folder := _own_folder(mount, own[controller])) is not None
    }
    if not folders:
        return Unavailable(reason="no control groups are mounted (neither version 2 nor version 1)")
    return Layout(version=1, folders=folders)


def _second(mount: _Mount, own_path: str, at_top: frozenset[str], uid: int) -> Layout | Unavailable:
    own = _own_folder(mount, own_path)
    if own is not None and own.name == ASIDE:
        own = own.parent
    if own is not None and (own == mount.point or _is_delegated(own, uid)):
        base = own
    elif uid == 0:
        base = mount.point
    else:
        return Unavailable(
            reason=f"the control group {own_path} is not ours: start with Delegate=yes (systemd) to be given one"
        )
    offered = at_top if base == mount.point else _words(base / "cgroup.controllers")
    folders = {controller: base for controller in CONTROLLERS if controller in offered}
    if not folders:
        return Unavailable(reason=f"the control group {base} was given none of {', '.join(CONTROLLERS)}")
    return Layout(version=2, folders=folders)


def _is_delegated(folder: Path, uid: int) -> bool:
    """Tell whether a group was handed to us: by its owner, or by the mark that systemd leaves."""
    try:
        if uid != 0 and folder.stat().st_uid == uid:
            return True
        return any(
            f"{space}.delegate" in os.listxattr(folder) and os.getxattr(folder, f"{space}.delegate") == b"1"
            for space in ("trusted", "user")
        )
    except OSError:
        return False


def _own_folder(mount: _Mount, path: str) -> Path | None:
    """Return where a mount shows the group with this path; None if it lies outside of what the mount shows."""
    try:
        below = PurePosixPath(path).relative_to(mount.root)
    except ValueError:
        return None
    folder = mount.point / below
    return folder if folder.is_dir() else None


def _words(file: Path) -> frozenset[str]:
    try:
        return frozenset(file.read_text().split())
    except OSError:
        return frozenset()


def _mounts(mountinfo: str) -> list[_Mount]:
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) >= 6 and len(right) >= 3 and right[0] in ("cgroup", "cgroup2"):
            found.append(
                _Mount(
                    root=_plain(left[3]),
                    point=Path(_plain(left[4])),
                    kind=right[0],
                    options=frozenset(right[2].split(",")),
                )
            )
    return found


def _plain(text: str) -> str:
    """Undo mountinfo's octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)


def _membership(text: str) -> dict[str, str]:
    """Return the path of our group by controller; that of version 2 under the empty name."""
    own = {}
    for line in text.splitlines():
        _number, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    return own
