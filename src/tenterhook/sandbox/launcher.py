"""Prepares one process and becomes Node in it. Runs as ``python -I -S launcher.py PLAN``, alone, with no threads.

It is a program of its own, and not code between fork and exec, because the host has threads: only a fresh process may
take locks, import and mount in safety. It imports nothing of ours. The order below matters:

    die with the host ─ the channel becomes descriptor 3 (the host closed all others) ─ (root: private mounts) ─ limits ─ (root: own uid) ─ no new
    privileges ─ die with the host, again (a change of uid forgets it) ─ is the host still there? ─ exec

PLAN is JSON and holds paths and numbers, no secrets. Whatever fails ends the process with status 111 and one line on
stderr, which the host shows.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any

_FAILED = 111
_CHANNEL = 3

# linux/sched.h, linux/mount.h, linux/prctl.h
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    result = _libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data))
    _check(result, f"mount {target}")


def _die_with_host() -> None:
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl PDEATHSIG")


def _make_private_mounts(plan: dict[str, Any]) -> None:
    """Bind what Node needs to where any uid can reach it: the originals may lie under a home of mode 0700.

    Sources are opened before anything is mounted, for a new mount may cover the folder they lie in; and after the
    unshare, for the kernel binds only what belongs to the mount namespace that it binds in (EINVAL otherwise).
    """
    _check(_libc.unshare(_CLONE_NEWNS), "unshare mounts")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    sources = [(os.open(source, os.O_PATH | os.O_CLOEXEC), target) for source, target in plan["binds"]]
    root, scratch = plan["mount_root"], plan["scratch_dir"]
    _mount(
        "tmpfs",
        scratch,
        "tmpfs",
        _MS_NOSUID | _MS_NODEV | _MS_NOEXEC,
        f"size={plan['scratch_bytes']},mode=1777",
    )
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    for descriptor, target in sources:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
        _mount(f"/proc/self/fd/{descriptor}", target, None, _MS_BIND)
        _mount("none", target, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
        os.close(descriptor)
    _mount("none", root, None, _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")


def _limit(plan: dict[str, Any]) -> None:
    for name, value in plan["rlimits"].items():
        number = getattr(resource, f"RLIMIT_{name}")
        _soft, hard = resource.getrlimit(number)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (bound, bound))


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _prepare(plan: dict[str, Any]) -> None:
    _die_with_host()
    if plan["channel"] != _CHANNEL:
        os.dup2(plan["channel"], _CHANNEL)  # inheritable, as dup2 makes it
        os.close(plan["channel"])
    if plan["binds"]:
        os.umask(0o022)  # the folders made for the mounts must let the hook's uid through
        _make_private_mounts(plan)
    os.umask(0o077)
    os.chdir(plan["scratch_dir"])
    _limit(plan)
    if plan["uid"] is not None:
        _become(plan["uid"])
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl NO_NEW_PRIVS")
    _die_with_host()
    if os.getppid() != plan["parent"]:
        sys.exit(_FAILED)  # the host died before we asked to die with it


def main() -> None:
    """Prepare this process as the plan says, and exec."""
    plan = json.loads(sys.argv[1])
    try:
        _prepare(plan)
        if plan["argv"]:
            os.execve(plan["argv"][0], plan["argv"], plan["environment"])
    except OSError as error:
        os.write(2, f"launcher: {error}\n".encode())
        sys.exit(_FAILED)


if __name__ == "__main__":
    main()
