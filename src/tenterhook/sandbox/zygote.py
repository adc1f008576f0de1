"""The zygote: a small process with one thread that starts jails, and waits for their ends.

It is forked from the supervisor before that has any thread, because only a process with one thread may copy itself
without ``execve``; a copy costs a millisecond where a new Python costs thirty. It holds the mount namespace with the tree that
all jails share (``jail/tree.py``), and blocks in poll(2) on its supervisor and on one pidfd per jail.

    supervisor ─ spawn {id, plan} + channel, stderr ─► clone ─► cgroup, modules ─► "go" ─► the copy confines itself
    supervisor ◄─ spawned {id, pid} + pidfd · failed {id, error} · mounted {id, token, error?} · exited {id, status, …}

It dies with its supervisor, and every jail dies with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import os
import select
import signal
import socket
import time
from typing import Any, NoReturn

import tenterhook.sandbox.jail.filter as seccomp
from tenterhook.sandbox.jail import cgroups, landlock, libc, namespaces, wire
from tenterhook.sandbox.jail.confine import Inheritance, confine
from tenterhook.sandbox.jail.plan import Ground, Mode, Plan
from tenterhook.sandbox.jail.protections import Protection
from tenterhook.sandbox.jail.syscalls import current_architecture
from tenterhook.sandbox.jail.tree import Trees

_NAMESPACES = {
    Protection.MOUNT_NAMESPACE: namespaces.CLONE_NEWNS,
    Protection.PID_NAMESPACE: namespaces.CLONE_NEWPID,
    Protection.NETWORK_NAMESPACE: namespaces.CLONE_NEWNET,
    Protection.IPC_NAMESPACE: namespaces.CLONE_NEWIPC,
    Protection.UTS_NAMESPACE: namespaces.CLONE_NEWUTS,
}
_PATIENCE_SECONDS = 2.0
WATCH_MS = 200
"""How often memory and threads are looked at where no cgroup bounds them."""
NODE_RESIDENT_BYTES = 96 * 1024 * 1024
"""What Node itself keeps in memory, counted by a cgroup before the tenant's first byte."""


@dataclasses.dataclass(kw_only=True)
class _Jail:
    """A process that lives."""

    number: int
    pid: int
    pidfd: int
    go: int
    """Our end of the pipe by which it sees that we live."""
    cgroup: cgroups.Cgroup | None
    memory_bytes: int
    """What it and the kernel on its behalf may keep in memory, where no cgroup counts that."""
    threads: int
    """How many it may have, where the kernel does not count them."""
    over: str | None = None
    """The limit for which it was killed here: ``memory`` or ``threads``."""


class Zygote:
    """Serves one supervisor until that closes its end."""

    def __init__(self, ground: Ground, supervisor: socket.socket, listeners: socket.socket) -> None:
        """Prepare what all jails stand on."""
        self._ground = ground
        self._supervisor = supervisor
        self._listeners = listeners
        self._jails: dict[int, _Jail] = {}
        self._poll = select.poll()
        self._flags = 0
        self._trees: Trees | None = None
        self._user_ids: tuple[int, int] | None = None
        # Remembered here, they cost each copy of this process a fraction of a millisecond.
        seccomp.strict_filter(current_architecture(), own_pid=1, gate_mode=ground.mode is Mode.GATE)
        if ground.mode is not Mode.NONE:
            landlock.handled()
        self._cgroups: cgroups.CgroupParent | None = None
        self._unremoved: list[cgroups.Cgroup] = []
        if ground.cgroups and ground.holds(Protection.CGROUP):
            found = cgroups.CgroupParent.find()
            if isinstance(found, cgroups.Unavailable):
                # Probing had one: a tier that is promised is not taken back in silence.
                raise OSError(f"No cgroup can be made any more: {found.reason}")
            self._cgroups = found
        if ground.mode is Mode.NAMESPACES:
            self._enter_namespaces()

    def _enter_namespaces(self) -> None:
        ground = self._ground
        for protection, flag in _NAMESPACES.items():
            if ground.holds(protection):
                self._flags |= flag
        if ground.own_uids:
            libc.unshare(namespaces.CLONE_NEWNS)
        else:
            namespaces.enter_own_user_and_mount_namespace()
            self._flags |= namespaces.CLONE_NEWUSER
            self._user_ids = (0, 0)  # as seen from the zygote's own user namespace, in which it is root
        if ground.holds(Protection.MOUNT_NAMESPACE):
            self._trees = Trees(ground)

    def serve(self) -> None:
        """Answer until the supervisor is gone."""
        self._poll.register(self._supervisor, select.POLLIN)
        gc.freeze()  # copies of this process share its pages as long as nobody counts in them
        by_pidfd: dict[int, _Jail] = {}
        while True:
            watching = self._cgroups is None and bool(self._jails)
            for descriptor, _events in self._poll.poll(WATCH_MS if watching else None):
                if descriptor == self._supervisor.fileno():
                    message, descriptors = wire.receive(self._supervisor)
                    if message is None:
                        return
                    self._receive(message, descriptors, by_pidfd)
                elif descriptor in by_pidfd:
                    self._bury(by_pidfd.pop(descriptor))
            if watching:
                self._watch()

    def _watch(self) -> None:
        """End who has outgrown its limits, where no cgroup does that.

        RLIMIT_DATA forgets what mprotect(2) makes read-only and never knew of page tables; RLIMIT_NPROC counts all of a
        uid, which in gate mode is the server's own.
        """
        for jail in self._jails.values():
            try:
                used = _usage(jail.pid)
            except OSError:
                continue  # it has ended, and is about to be buried
            if used.memory_bytes > jail.memory_bytes and self._ground.holds(Protection.MEMORY_LIMIT):
                jail.over = "memory"
            elif used.threads > jail.threads and self._ground.holds(Protection.THREADS_LIMIT):
                jail.over = "threads"
            if jail.over is not None:
                signal.pidfd_send_signal(jail.pidfd, signal.SIGKILL)

    def _receive(self, message: dict[str, Any], descriptors: list[int], by_pidfd: dict[int, _Jail]) -> None:
        number = message["id"]
        try:
            match message["do"]:
                case "spawn":
                    jail = self._spawn(number, Plan.from_json(message["plan"]), descriptors)
                    by_pidfd[jail.pidfd] = jail
                    self._poll.register(jail.pidfd, select.POLLIN)
                    wire.send(
                        self._supervisor, {"event": "spawned", "id": number, "pid": jail.pid}, [jail.pidfd]
                    )
                case "mount":
                    self._mount(number, message)
        except OSError as error:
            wire.send(self._supervisor, {"event": "failed", "id": number, "error": str(error)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _spawn(self, number: int, plan: Plan, descriptors: list[int]) -> _Jail:
        if len(descriptors) != 2:
            raise OSError(errno.EMFILE, "Too many open files in the process that starts hooks")
        channel, errors = descriptors
        slot = None
        cgroup = None
        go, go_write = os.pipe()
        pid = None
        try:
            if self._trees is not None:
                slot = self._trees.open_slot(number)
                for path in plan.modules:
                    self._trees.add_module_set(number, path)
            cgroup = self._make_cgroup(number, plan)
            own = Inheritance(
                number=number,
                channel=channel,
                errors=errors,
                listeners=self._listeners.fileno(),
                go=go,
                root=None if self._trees is None else self._trees.root,
                slot=slot,
                user_ids=self._user_ids,
                cgroup=cgroup if cgroup is not None and cgroup.joined_from_inside else None,
            )
            pid = namespaces.clone(self._flags)
            if pid == 0:
                os.close(go_write)
                confine(self._ground, plan, own)
            pidfd = os.pidfd_open(pid)
            if cgroup is not None and own.cgroup is None:
                cgroup.add(pid)
            os.write(go_write, b"g")
        except OSError:
            os.close(go_write)
            if pid is not None:
                os.waitpid(pid, 0)  # it read the end of the file instead of "go", and ended
            if cgroup is not None:
                self._remove(cgroup)
            if slot is not None and self._trees is not None:
                self._trees.close_slot(number)
            raise
        finally:
            os.close(go)
        jail = _Jail(
            number=number,
            pid=pid,
            pidfd=pidfd,
            go=go_write,
            cgroup=cgroup,
            memory_bytes=plan.memory_bytes + NODE_RESIDENT_BYTES,
            threads=plan.threads,
        )
        self._jails[number] = jail
        return jail

    def _make_cgroup(self, number: int, plan: Plan) -> cgroups.Cgroup | None:
        if self._cgroups is None:
            return None
        return self._cgroups.create(
            str(number),
            cgroups.CgroupLimits(
                memory_bytes=plan.memory_bytes + NODE_RESIDENT_BYTES,
                processes=plan.threads,
                cpu_percent=plan.cpu_percent,
            ),
        )

    def _mount(self, number: int, message: dict[str, Any]) -> None:
        answer = {"event": "mounted", "id": number, "token": message["token"]}
        try:
            if self._trees is not None and number in self._jails:
                for path in message["modules"]:
                    self._trees.add_module_set(number, path)
        except OSError as error:
            answer["error"] = str(error)
        wire.send(self._supervisor, answer)

    def _bury(self, jail: _Jail) -> None:
        _pid, status = os.waitpid(jail.pid, 0)
        self._poll.unregister(jail.pidfd)
        os.close(jail.pidfd)
        os.close(jail.go)
        del self._jails[jail.number]
        oom_kills = 0
        if jail.cgroup is not None:
            oom_kills = jail.cgroup.oom_kills()
            self._remove(jail.cgroup)
        if self._trees is not None:
            self._trees.close_slot(jail.number)
        wire.send(
            self._supervisor,
            {
                "event": "exited",
                "id": jail.number,
                "status": os.waitstatus_to_exitcode(status),
                "oom_kills": oom_kills,
                "over": jail.over,
            },
        )

    def _remove(self, cgroup: cgroups.Cgroup) -> None:
        """Remove a group, now or with the next one: what was in it may take a moment to be gone."""
        self._unremoved = [each for each in (*self._unremoved, cgroup) if not each.remove()]

    def close(self) -> None:
        """End every jail, wait for it, and leave nothing behind."""
        for jail in list(self._jails.values()):
            signal.pidfd_send_signal(jail.pidfd, signal.SIGKILL)
            os.waitpid(jail.pid, 0)
        if self._cgroups is not None:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            # What was killed leaves its group a moment after it was waited for.
            while not self._cgroups.remove() and time.monotonic() < deadline:
                time.sleep(0.005)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Usage:
    memory_bytes: int
    threads: int


_COUNTED = frozenset({"RssAnon", "RssShmem", "VmSwap", "VmPTE"})


def _usage(pid: int) -> _Usage:
    """Return what a process uses; file pages are not counted, for the kernel can drop them (proc_pid_status(5))."""
    with open(f"/proc/{pid}/status", "rb") as file:
        rows = dict(line.split(":", 1) for line in file.read().decode().splitlines())
    kilobytes = sum(int(rows[name].split()[0]) for name in _COUNTED if name in rows)
    return _Usage(memory_bytes=kilobytes * 1024, threads=int(rows.get("Threads", "0")))


def run(ground: Ground, supervisor: socket.socket, listeners: socket.socket) -> NoReturn:
    """Be the zygote; called in a fresh copy of the supervisor."""
    status = 1
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)  # it ends with its supervisor, and not before
        zygote = Zygote(ground, supervisor, listeners)
        wire.send(supervisor, {"event": "ready", "id": 0})
        zygote.serve()
        zygote.close()
        status = 0
    except Exception as error:  # noqa: BLE001 - whatever it was, the host is told, and this copy must not live on
        with contextlib.suppress(OSError):
            wire.send(supervisor, {"event": "unable", "id": 0, "error": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(status)
