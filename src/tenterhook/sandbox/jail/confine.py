"""What a new process does to itself before it becomes Node: the order in which rights are given up.

    die with the zygote ─► wait until outside is ready (cgroup, folder of modules) ─► user namespace's map ─► own tree
    ─► descriptors: null, null, stderr, the channel, nothing else ─► limits ─► capabilities and uid ─► no new privileges
    ─► die with the zygote, again (a change of uid forgets it) ─► Landlock ─► seccomp: the connect gate, whose
    descriptor goes to the supervisor ─► seccomp: the list of permitted calls ─► execve

Mounting needs privileges that the uid takes away; Landlock needs files that the tree has moved; the gate's descriptor is
sent with sendmsg(2), which the last filter refuses. Whatever fails ends the process with status 111 and one line on
stderr: no process ever runs with less than it was to have.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import fcntl
import os
import resource
import select
import signal
import socket
from typing import NoReturn

import tenterhook.sandbox.jail.filter as seccomp
from tenterhook.sandbox.jail import cgroups, landlock, libc, namespaces, tree
from tenterhook.sandbox.jail.plan import TREE_NODE, TREE_SCRATCH, Ground, Mode, Plan
from tenterhook.sandbox.jail.protections import Protection
from tenterhook.sandbox.jail.syscalls import current_architecture

FAILED = 111
"""Exit status of a process that could not be confined."""
_CHANNEL, _LISTENERS = 3, 4
_LAST_CAPABILITY = 63
# Idle, Node 24 counts 585 MiB of data against RLIMIT_DATA (reserved, hardly touched); the budget comes on top.
NODE_RESERVED_BYTES = 585 * 1024 * 1024
# Node reserves 1.5 GiB and 10 GiB for each WebAssembly memory; what is reserved costs page tables, a 512th when touched.
_ADDRESS_SPACE_BYTES = 128 * 1024 * 1024 * 1024
_BURST_OF_THREADS = 2048
_NICENESS = 5
"""Hooks give way to the API, which answers people."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inheritance:
    """What the zygote leaves to the new process: descriptors, and where its tree is."""

    number: int
    channel: int
    errors: int
    listeners: int
    """A SEQPACKET socket to the supervisor, which takes the gate's descriptor."""
    go: int
    """Read end of a pipe: a byte when outside is ready, the end of file when the zygote has died."""
    root: str | None
    slot: str | None
    user_ids: tuple[int, int] | None
    """uid and gid of the zygote, where a user namespace must be mapped."""
    cgroup: cgroups.Cgroup | None
    """To be joined; None where there is none, or the zygote has put us into it."""


def confine(ground: Ground, plan: Plan, own: Inheritance) -> NoReturn:
    """Give up everything but what the plan grants, and become Node."""
    try:
        _confine(ground, plan, own)
        environment = dict(plan.environment)
        if not ground.holds(Protection.CLEAN_ENVIRONMENT):
            environment = {**os.environ, **environment}
        os.execve(plan.argv[0], plan.argv, environment)  # noqa: S606 - becoming Node is the purpose
    except BaseException as error:  # noqa: BLE001 - whatever it is, this copy of the zygote must not live on
        with contextlib.suppress(OSError):
            os.write(2, f"jail: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(FAILED)


def _confine(ground: Ground, plan: Plan, own: Inheritance) -> None:
    _begin(ground, own)
    if own.user_ids is not None:
        namespaces.map_ids(namespaces.INSIDE_UID, *own.user_ids)
    if os.read(own.go, 1) == b"":
        os._exit(FAILED)
    if own.cgroup is not None:
        own.cgroup.join()
    os.umask(0o077)
    os.setsid()
    if own.root is not None and own.slot is not None:
        tree.enter(ground, own.root, own.slot, plan.scratch_bytes)
    else:
        os.chdir("/")
    if ground.mode is Mode.NAMESPACES and ground.holds(Protection.UTS_NAMESPACE):
        libc.set_host_name(b"hook")
    keep_going = _settle_descriptors(ground, own)
    _limit(ground, plan)
    _drop_privileges(ground, plan)
    _die_with_zygote(ground)
    if select.select([keep_going], [], [], 0)[0]:
        os._exit(FAILED)  # the zygote died before we asked to die with it: its end of the pipe is closed
    os.close(keep_going)
    if ground.mode is not Mode.NONE:
        if ground.holds(Protection.LANDLOCK):
            _restrict_files(ground, plan)
        _filter_system_calls(ground, own.number)


def _begin(ground: Ground, own: Inheritance) -> None:
    # First of all, so that whatever goes wrong is told to the host and not to the zygote's terminal.
    os.dup2(own.errors, 2)
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    _die_with_zygote(ground)


def _die_with_zygote(ground: Ground) -> None:
    if ground.holds(Protection.PARENT_DEATH_SIGNAL):
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)


def _settle_descriptors(ground: Ground, own: Inheritance) -> int:
    """Leave 0 to 3 as Node finds them, 4 for the gate, and return the pipe that tells whether the zygote lives."""
    # Away from the numbers that are about to be taken.
    channel, listeners, go = (_move_up(each) for each in (own.channel, own.listeners, own.go))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(channel, _CHANNEL)
    os.dup2(listeners, _LISTENERS, inheritable=False)
    os.dup2(go, _LISTENERS + 1, inheritable=False)
    if ground.holds(Protection.CLOSED_DESCRIPTORS):
        os.closerange(_LISTENERS + 2, 1 << 20)
    return _LISTENERS + 1


def _move_up(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 16)


def _limit(ground: Ground, plan: Plan) -> None:
    # Not 0: that a kernel which hands cores to a program (apport, systemd-coredump) overlooks; 1 it heeds (core(5)).
    limits = {resource.RLIMIT_CORE: 1}
    if ground.holds(Protection.OPEN_FILES_LIMIT):
        limits[resource.RLIMIT_NOFILE] = plan.open_files
    if ground.holds(Protection.FILE_SIZE_LIMIT):
        limits[resource.RLIMIT_FSIZE] = plan.scratch_bytes
    if ground.holds(Protection.MEMORY_LIMIT):
        limits[resource.RLIMIT_DATA] = NODE_RESERVED_BYTES + plan.memory_bytes
        limits[resource.RLIMIT_AS] = _ADDRESS_SPACE_BYTES
    # Counted per uid and user namespace: under the host's own it would count the host's processes.
    alone = plan.uid is not None or (ground.mode is Mode.NAMESPACES and not ground.own_uids)
    if ground.holds(Protection.THREADS_LIMIT):
        if alone:
            limits[resource.RLIMIT_NPROC] = plan.threads
        elif ground.mode is Mode.GATE:
            # The zygote counts this process's own threads now and then; this bounds what can be made in between.
            limits[resource.RLIMIT_NPROC] = _tasks_of_own_uid() + _BURST_OF_THREADS
    for number, value in limits.items():
        _soft, hard = resource.getrlimit(number)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (bound, bound))
    os.nice(_NICENESS)


def _tasks_of_own_uid() -> int:
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == os.getuid():
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _drop_privileges(ground: Ground, plan: Plan) -> None:
    privileged = ground.own_uids or ground.mode is Mode.NAMESPACES
    if privileged and ground.holds(Protection.CAPABILITIES):
        for capability in range(_LAST_CAPABILITY + 1):
            try:
                libc.prctl(libc.PR_CAPBSET_DROP, capability)
            except OSError:
                break  # EINVAL: this kernel has no more
        libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    if plan.uid is not None and ground.holds(Protection.OWN_UID):
        os.setgroups([])
        os.setresgid(plan.uid, plan.uid, plan.uid)
        os.setresuid(plan.uid, plan.uid, plan.uid)
    if privileged and ground.holds(Protection.CAPABILITIES):
        libc.drop_capabilities()
    if ground.holds(Protection.NO_NEW_PRIVILEGES) or ground.mode is not Mode.NONE:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)


def _restrict_files(ground: Ground, plan: Plan) -> None:
    """Let Landlock say once more what the tree says; in gate mode it is the only one to say it."""
    devices = ("/dev/null", "/dev/random", "/dev/urandom")
    if ground.mode is Mode.NAMESPACES and ground.holds(Protection.MOUNT_NAMESPACE):
        executables = (TREE_NODE, *ground.libraries)
        readable: tuple[str, ...] = ("/",)
        writable: tuple[str, ...] = (TREE_SCRATCH,)
    else:
        executables = (ground.node, *ground.libraries)
        files = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ld.so.cache")
        readable = (
            ground.runtime_dir,
            *(plan.modules if ground.holds(Protection.TENANT_MODULES) else ground.module_dirs),
            *(() if ground.ca_file is None else (ground.ca_file,)),
            *(file for file in files if os.path.exists(file)),
        )
        writable = ()
    landlock.restrict(
        executable=executables, readable=(*readable, *devices), writable=(*writable, devices[0])
    )


def _filter_system_calls(ground: Ground, number: int) -> None:
    architecture = current_architecture()
    if ground.holds(Protection.CONNECT_GATE):
        listener = seccomp.install(seccomp.listener_filter(architecture), listener=True)
        with socket.socket(fileno=_LISTENERS) as supervisor:
            supervisor.sendmsg(
                [str(number).encode()],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))],
            )
        os.close(listener)
    else:
        os.close(_LISTENERS)
    if ground.holds(Protection.SECCOMP):
        program = seccomp.strict_filter(architecture, own_pid=os.getpid(), gate_mode=ground.mode is Mode.GATE)
        seccomp.install(program, listener=False)
