"""The tree that a jailed process sees: built once, copied by the kernel with each mount namespace.

In the zygote's own mount namespace, below a folder that it covers (``base``):

    base/tree      tmpfs, read-only when finished: Node, its libraries, our runtime, a few files of /etc and /dev
    base/modules   tmpfs, shared: one folder for each jail; what is mounted there appears in that jail
    base/aside     where a module set is bound first, to be read-only before any jail sees it

In a jail, after clone(CLONE_NEWNS):

    everything becomes a slave (nothing done here reaches the zygote; what the zygote mounts reaches us)
    ─► own scratch on tree/tmp ─► own folder of base/modules on tree/modules ─► tree is the root, the rest is gone

So a module set can be mounted into a process that runs already, by mounting it outside: the process, its filters and its
lack of privileges are not touched. Sources are opened before anything is mounted, because the mount may cover the folder
they lie in (a clone below /mnt), and after the unshare, because the kernel binds only what belongs to the own mount
namespace. Files of ours are copied, so that their permissions in a private home do not matter.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tenterhook.sandbox.jail import libc
from tenterhook.sandbox.jail.plan import (
    TREE_CA_FILE,
    TREE_MODULES,
    TREE_NODE,
    TREE_RUNTIME,
    TREE_SCRATCH,
    Ground,
)
from tenterhook.sandbox.jail.protections import Protection

# Covered by a private tmpfs in the zygote; the first that exists and is not above what the zygote itself runs from.
_BASES = ("/mnt", "/srv", "/media", "/opt")
_TREE_BYTES = "8m"
# Not /dev/zero: a shared mapping of it is memory that no limit of a process counts.
_DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
_ETC = {
    "resolv.conf": "nameserver 127.0.0.1\noptions use-vc timeout:10 attempts:2\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "hosts: files dns\n",
}
SCRATCH_INODES = 4096
"""Files and folders that fit into a scratch folder."""


class Trees:
    """The zygote's side: builds the tree once, and gives each jail its folder of modules."""

    def __init__(self, ground: Ground) -> None:
        """Build the tree; the process must be alone in its mount namespace already."""
        self._ground = ground
        place = base()
        libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
        binds = {TREE_NODE: ground.node, **{path: path for path in (*ground.libraries, *_DEVICES)}}
        opened = {inside: os.open(path, os.O_PATH | os.O_CLOEXEC) for inside, path in binds.items()}
        copies = {
            f"{TREE_RUNTIME}/{file.name}": file.read_bytes()
            for file in Path(ground.runtime_dir).glob("*.cjs")
        }
        copies |= {f"/etc/{name}": text.encode() for name, text in _ETC.items()}
        if ground.ca_file is not None:
            copies[TREE_CA_FILE] = Path(ground.ca_file).read_bytes()
        self._module_dirs = {
            folder: os.open(folder, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
            for folder in ground.module_dirs
        }
        old = os.umask(0o022)
        libc.mount("tmpfs", place, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "size=1m,mode=755")
        self.root, self._modules, self._aside = f"{place}/tree", f"{place}/modules", f"{place}/aside"
        for folder in (self.root, self._modules, self._aside):
            os.mkdir(folder)
        # Not nodev: a device's node is bound from where it lies, with the flags it has there.
        libc.mount("tmpfs", self.root, "tmpfs", libc.MS_NOSUID, f"size={_TREE_BYTES},mode=755")
        libc.mount("tmpfs", self._modules, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "size=4m,mode=711")
        libc.mount("none", self._modules, None, libc.MS_SHARED)
        self._fill(opened, copies)
        os.umask(old)

    def _fill(self, binds: dict[str, int], copies: dict[str, bytes]) -> None:
        root = self.root
        places = [TREE_SCRATCH, TREE_MODULES, TREE_RUNTIME]
        if not self._ground.holds(Protection.NO_PROC):
            places.append("/proc")
        for folder in places:
            os.makedirs(root + folder, exist_ok=True)
        for inside, content in copies.items():
            os.makedirs(os.path.dirname(root + inside), exist_ok=True)
            Path(root + inside).write_bytes(content)
            os.chmod(root + inside, 0o444)
        for inside, descriptor in binds.items():
            os.makedirs(os.path.dirname(root + inside), exist_ok=True)
            os.close(os.open(root + inside, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
            self._bind(descriptor, root + inside, device=inside in _DEVICES)
            os.close(descriptor)
        if self._ground.holds(Protection.READ_ONLY_TREE):
            libc.mount(
                "none", root, None, libc.MS_REMOUNT | libc.MS_RDONLY | libc.MS_NOSUID, f"size={_TREE_BYTES}"
            )
        else:
            for folder, _folders, _files in os.walk(root):
                os.chmod(folder, 0o777)  # noqa: S103 - a test's wish

    def _bind(self, descriptor: int, target: str, *, device: bool = False) -> None:
        libc.mount(f"/proc/self/fd/{descriptor}", target, None, libc.MS_BIND)
        flags = libc.MS_BIND | libc.MS_REMOUNT | libc.MS_NOSUID
        if not device:
            flags |= libc.MS_NODEV
        if self._ground.holds(Protection.READ_ONLY_TREE):
            flags |= libc.MS_RDONLY
        # In a user namespace the flags that a mount came with are locked and must be named again (mount_namespaces(7)).
        had = os.statvfs(target).f_flag
        for bit, flag in (
            (os.ST_NOEXEC, libc.MS_NOEXEC),
            (os.ST_NOATIME, libc.MS_NOATIME),
            (os.ST_RELATIME, libc.MS_RELATIME),
            (os.ST_NODEV, libc.MS_NODEV),
        ):
            if had & bit:
                flags |= flag
        libc.mount("none", target, None, flags)

    def open_slot(self, number: int) -> str:
        """Make the folder of modules of one jail."""
        slot = f"{self._modules}/{number}"
        os.mkdir(slot, 0o755)
        os.chmod(slot, 0o755)  # noqa: S103 - whatever the umask; it holds names of sets, seen by its jail alone
        if not self._ground.holds(Protection.TENANT_MODULES):
            for folder, descriptor in self._module_dirs.items():
                for each in os.scandir(f"/proc/self/fd/{descriptor}"):
                    if each.is_dir(follow_symlinks=False):
                        self.add_module_set(number, f"{folder}/{each.name}")
        return slot

    def add_module_set(self, number: int, path: str) -> None:
        """Mount a module set into a jail; nothing happens where it is there.

        Raises:
            OSError: it is not in one of the folders of module sets, or has gone.
        """
        folder, name = os.path.split(path)
        holder = self._module_dirs.get(folder)
        if holder is None or name in {"", ".", ".."}:
            raise OSError(f"{path} is not in a folder of module sets.")
        target = f"{self._modules}/{number}/{name}"
        try:
            os.mkdir(target, 0o755)
        except FileExistsError:
            return
        try:
            descriptor = os.open(
                name, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=holder
            )
        except OSError:
            os.rmdir(target)
            raise
        try:
            # Read-only before it can be seen: a remount would not reach the jail. So it is made aside and bound again.
            self._bind(descriptor, self._aside)
            libc.mount(self._aside, target, None, libc.MS_BIND)
            libc.umount(self._aside)
        finally:
            os.close(descriptor)

    def close_slot(self, number: int) -> None:
        """Take the modules of an ended jail away."""
        slot = f"{self._modules}/{number}"
        for name in os.listdir(slot):
            libc.umount(f"{slot}/{name}")
        shutil.rmtree(slot)


def base() -> str:
    """Return the folder that the zygote covers; a try of the mount namespace covers the same.

    Raises:
        OSError: there is none.
    """
    own = [Path(path).resolve() for path in (sys.prefix, sys.base_prefix, __file__)]
    for folder in _BASES:
        if Path(folder).is_dir() and not any(path.is_relative_to(folder) for path in own):
            return folder
    raise OSError(f"None of the folders {', '.join(_BASES)} can be covered with the jails' tree.")


def enter(ground: Ground, root: str, slot: str, scratch_bytes: int) -> None:
    """In the new process: make the tree the only one there is."""
    libc.mount("none", "/", None, libc.MS_REC | libc.MS_SLAVE)
    # A mount that came with the namespace is locked where a user namespace was entered; a bind of it is ours.
    libc.mount(root, root, None, libc.MS_BIND | libc.MS_REC)
    flags = libc.MS_NOSUID | libc.MS_NODEV
    if ground.holds(Protection.NO_EXEC_SCRATCH):
        flags |= libc.MS_NOEXEC
    size = (
        f"size={scratch_bytes},nr_inodes={SCRATCH_INODES}"
        if ground.holds(Protection.SCRATCH_SIZE)
        else "size=1g"
    )
    libc.mount("tmpfs", root + TREE_SCRATCH, "tmpfs", flags, f"{size},mode=1777")
    libc.mount(slot, root + TREE_MODULES, None, libc.MS_BIND | libc.MS_REC)
    flags = libc.MS_BIND | libc.MS_REMOUNT | libc.MS_NOSUID | libc.MS_NODEV
    libc.mount("none", root + TREE_MODULES, None, flags | libc.MS_RDONLY)
    if not ground.holds(Protection.NO_PROC):
        libc.mount("proc", root + "/proc", "proc", libc.MS_NOSUID | libc.MS_NODEV)
    os.chdir(root)
    libc.pivot_root_here()
    os.chdir(TREE_SCRATCH)
