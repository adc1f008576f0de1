"""Namespaces: starting a process that is alone.

``clone`` is the raw system call, because the new process must be the first of its pid namespace and still be the
zygote's own child, whose end the zygote waits for. It copies the calling process like fork(2), but runs none of libc's and
Python's fork handlers, so it is only right in a process that has one thread and takes no locks: the zygote.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from tenterhook.sandbox.jail import libc
from tenterhook.sandbox.jail.syscalls import current_architecture

# linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# Keeps the lock of the interpreter: the copy must not find it half released.
_locked_libc = ctypes.PyDLL(None, use_errno=True)

INSIDE_UID = 1000
"""The uid that a process without privileges sees as its own; no name belongs to it inside."""


def clone(flags: int) -> int:
    """Copy this process into new namespaces; return the copy's pid, and 0 in the copy."""
    number = ctypes.c_long(current_architecture().table["clone"])
    zero = ctypes.c_long(0)
    result = _locked_libc.syscall(number, ctypes.c_ulong(flags | signal.SIGCHLD), zero, zero, zero, zero)
    return libc.check(int(result), "clone")


def map_ids(inside: int, outside_uid: int, outside_gid: int) -> None:
    """Give this process's new user namespace its only uid and gid (the ids are those it had outside)."""
    # setgroups must be given up first, or the kernel refuses the map of somebody without privileges (user_namespaces(7)).
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{inside} {outside_uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{inside} {outside_gid} 1", encoding="ascii")


def enter_own_user_and_mount_namespace() -> None:
    """Let an ordinary user's zygote mount: it becomes root of a user namespace that holds nothing but itself."""
    uid, gid = os.geteuid(), os.getegid()
    libc.unshare(CLONE_NEWUSER | CLONE_NEWNS)
    map_ids(0, uid, gid)
