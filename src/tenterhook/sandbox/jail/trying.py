"""Tries the jail's layers, each in a forked child, and prints as JSON how it went. A program of its own: see ``probing.py``.

What is tried is what the jail does, by the same functions and in the same nesting: an ordinary user's child lies in a
user namespace inside of the zygote's. A child that is killed, hangs or raises has shown that its layer does not hold.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tenterhook.sandbox.jail import cgroups, landlock, libc, namespaces
from tenterhook.sandbox.jail import filter as seccomp
from tenterhook.sandbox.jail.syscalls import current_architecture
from tenterhook.sandbox.jail.trying_apart import (
    ALL_NAMESPACES,
    PATIENCE_SECONDS,
    alone,
    change_root,
    has_no_network,
    is_first,
    nothing,
    outcome,
)
from tenterhook.sandbox.jail.trying_connect import become_somebody, exchange

_PR_GET_NO_NEW_PRIVS = 39


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Try:
    name: str
    body: Callable[[], str]
    """Raises OSError where the layer does not hold; returns what it saw."""
    lost: str


def main() -> None:
    """Try everything and print ``{"root": …, "layers": […]}``."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    layers = []
    for attempt in _tries(is_root=os.geteuid() == 0):
        available, detail = outcome(attempt.body)
        layers.append({"name": attempt.name, "available": available, "detail": detail, "lost": attempt.lost})
    json.dump({"root": os.geteuid() == 0, "layers": layers}, sys.stdout)


def _tries(*, is_root: bool) -> list[_Try]:
    own_user = (
        _Try(
            name="own_uid",
            body=lambda: exchange(become_somebody, 0),
            lost="Hooks would run as root, which is refused. In a container, start Tenterhook as an ordinary user.",
        )
        if is_root
        else _Try(
            name="user_namespace",
            body=lambda: exchange(nothing, ALL_NAMESPACES),
            lost="An ordinary user can make no other namespace: hooks share the server's files, processes and network, "
            "held back by seccomp and Landlock alone.",
        )
    )
    return [
        _Try(
            name="seccomp_filter",
            body=_try_filter,
            lost="Hooks could make any system call. Without it hooks are refused.",
        ),
        _Try(
            name="seccomp_notification",
            body=lambda: exchange(nothing, 0),
            lost="Nobody could judge where a hook connects to. Without it hooks are refused.",
        ),
        own_user,
        _Try(
            name="mount_namespace",
            body=change_root,
            lost="Hooks see the host's file names; Landlock refuses to open them. No scratch folder, no limit of its size.",
        ),
        _Try(
            name="pid_namespace",
            body=lambda: alone(namespaces.CLONE_NEWPID, is_first),
            lost="Hooks share the host's process ids; the filter refuses signals to others.",
        ),
        _Try(
            name="network_namespace",
            body=lambda: alone(namespaces.CLONE_NEWNET, has_no_network),
            lost="Sockets of hooks are the host's; nothing but the filter, the gate and Landlock holds them back.",
        ),
        _Try(
            name="ipc_namespace",
            body=lambda: alone(namespaces.CLONE_NEWIPC, nothing),
            lost="System V and POSIX queues of the host have names inside; the filter refuses the calls.",
        ),
        _Try(
            name="uts_namespace",
            body=lambda: alone(namespaces.CLONE_NEWUTS, lambda: libc.set_host_name(b"hook")),
            lost="Hooks can read the host's name.",
        ),
        _Try(
            name="landlock",
            body=_try_landlock,
            lost="Files are held back by the private tree alone. In gate mode hooks are refused without it.",
        ),
        _Try(
            name="landlock_ports",
            body=_try_landlock_ports,
            lost="No second lock on TCP connections (needs Linux 6.7). In gate mode hooks are refused without it.",
        ),
        _Try(
            name="no_new_privileges",
            body=_try_no_new_privileges,
            lost="Set-uid programs would raise a hook's rights. Without it hooks are refused.",
        ),
        _Try(
            name="parent_death_signal",
            body=_try_death_signal,
            lost="Hooks would outlive a killed server. Without it hooks are refused.",
        ),
        _Try(
            name="pidfd_getfd",
            body=_try_pidfd_getfd,
            lost="Options that a hook sets on a socket before connecting (keep-alive, buffers) are not carried over.",
        ),
        _Try(
            name="cgroup_memory",
            body=lambda: _try_cgroup("memory"),
            lost="Memory is bounded by RLIMIT_DATA only: sockets' buffers, page tables and the scratch folder come on top.",
        ),
        _Try(
            name="cgroup_pids",
            body=lambda: _try_cgroup("pids"),
            lost="Threads are bounded by RLIMIT_NPROC only, and not at all where hooks share the server's uid.",
        ),
        _Try(
            name="cgroup_cpu",
            body=lambda: _try_cgroup("cpu"),
            lost="A busy hook takes whole processors until its time limit.",
        ),
    ]


def _try_filter() -> str:
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    program = seccomp.strict_filter(current_architecture(), own_pid=os.getpid(), gate_mode=True)
    seccomp.install(program, listener=False)
    number = current_architecture().table["personality"]
    if libc.syscall(number, 0xFFFFFFFF) != -1 or ctypes.get_errno() != errno.EPERM:
        raise OSError("a refused call passed")
    return f"{len(program) // 8} instructions"


def _try_landlock() -> str:
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict(readable=["/dev"])
    next(Path("/dev").iterdir())
    try:
        next(Path("/").iterdir())
    except PermissionError:
        return f"version {landlock.abi_version()}"
    raise OSError("a folder that was not granted could be read")


def _try_landlock_ports() -> str:
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        try:
            client.connect(("127.0.0.1", 9))
        except PermissionError:
            return f"version {landlock.abi_version()}"
        except OSError as error:
            raise OSError(f"Landlock of version {landlock.abi_version()} let a connection pass") from error
    raise OSError("Landlock let a connection pass")


def _try_no_new_privileges() -> str:
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    if libc.prctl(_PR_GET_NO_NEW_PRIVS) != 1:
        raise OSError("the flag did not stay")
    return "works"


def _try_death_signal() -> str:
    """Start a child with a grandchild, let the child end, and wait for the grandchild's end of a pipe to close."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        ready, tell = os.pipe()
        if os.fork() == 0:
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            os.write(tell, b"x")
            signal.alarm(PATIENCE_SECONDS)
            signal.pause()
        os.read(ready, 1)
        os._exit(0)
    os.close(writing)
    if not select.select([reading], [], [], PATIENCE_SECONDS / 2)[0]:
        raise OSError("a process outlived the one that started it")
    return "works"


def _try_pidfd_getfd() -> str:
    pid = os.fork()
    if pid == 0:
        signal.alarm(PATIENCE_SECONDS)
        signal.pause()
    number = current_architecture().table["pidfd_getfd"]
    try:
        process = os.pidfd_open(pid)
        os.close(libc.check(libc.syscall(number, process, 0, 0), "pidfd_getfd"))
    finally:
        os.kill(pid, signal.SIGKILL)
    return "works"


def _try_cgroup(controller: str) -> str:
    parent = cgroups.CgroupParent.find(rearrange=False)
    if isinstance(parent, cgroups.Unavailable):
        raise OSError(parent.reason)
    try:
        if controller not in parent.controllers:
            raise OSError(f"the controller {controller} was not given to us")
        if not parent.ready:
            return f"version {parent.version}, once the processes of this group have moved aside"
        limits = cgroups.CgroupLimits(memory_bytes=64 * 1024 * 1024, processes=8, cpu_percent=100)
        group = parent.create("probe", limits)
        pid = os.fork()
        if pid == 0:
            signal.pause()
        group.add(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        group.remove()
    finally:
        parent.remove()
    return f"version {parent.version}"
