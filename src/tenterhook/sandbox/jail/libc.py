"""The few calls of libc that Python's ``os`` lacks, each with its failure as an ``OSError``.

Used in processes of one thread: between ``clone`` and ``execve`` nothing else of the host runs.
"""

from __future__ import annotations

import ctypes
import os
import struct

from tenterhook.sandbox.jail.syscalls import current_architecture

_libc = ctypes.CDLL(None, use_errno=True)

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4

# linux/mount.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_BIND, MS_REC = 32, 1024, 4096, 16384
MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_RELATIME = 1 << 18, 1 << 19, 1 << 20, 1 << 21
MNT_DETACH = 2


def check(result: int, what: str) -> int:
    """Return the result of a call, or raise its errno with what was tried."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call by its number; negative results set errno (see ``check``)."""
    values = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(_libc.syscall(ctypes.c_long(number), *values))


def prctl(option: int, *arguments: int) -> int:
    """Set or ask something of this process."""
    values = [ctypes.c_ulong(each) for each in (*arguments, 0, 0, 0, 0)[:4]]
    return check(_libc.prctl(ctypes.c_int(option), *values), f"prctl {option}")


def unshare(flags: int) -> None:
    """Leave the namespaces that are named by ``CLONE_NEW*`` flags for new ones."""
    check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount something, or change a mount."""

    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    result = _libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data))
    check(result, f"mount {target}")


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """Take a mount off."""
    check(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), f"umount {target}")


def pivot_root_here() -> None:
    """Make the working folder, which is a mount, the root; the old root is taken off."""
    check(syscall(current_architecture().table["pivot_root"], b".", b"."), "pivot_root")
    umount(".")
    os.chdir("/")


def drop_capabilities() -> None:
    """Empty the effective, permitted and inheritable sets of capabilities (capset(2), version 3)."""
    header = struct.pack("=Ii", 0x20080522, 0)
    data = struct.pack("=6I", 0, 0, 0, 0, 0, 0)
    check(_libc.capset(header, data), "capset")


def set_host_name(name: bytes) -> None:
    """Name this UTS namespace."""
    check(_libc.sethostname(name, ctypes.c_size_t(len(name))), "sethostname")
