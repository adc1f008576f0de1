"""Attempts on other processes: their memory, descriptors, signals, limits, and making new ones."""

from __future__ import annotations

from tenterhook.sandbox.jail.protections import Protection
from tests.escapes.attempt import EVERYWHERE, NAMESPACES, Attempt, Mode, changed, killed, learned

FOREIGN = frozenset(
    {
        Protection.PID_NAMESPACE,
        Protection.SECCOMP,
        Protection.LANDLOCK,
        Protection.OWN_UID,
        Protection.CAPABILITIES,
    }
)
"""Others are invisible, the calls are refused, Landlock's domain may not, the user is another."""
CHILDREN = frozenset({Protection.SECCOMP, Protection.THREADS_LIMIT, Protection.LANDLOCK})

USER_NAMESPACE = "A process in a user namespace has no rights over those outside; gate mode shows it."
OUTSIDE = frozenset({Mode.ROOT, Mode.GATE})

_READ = """
    const { pid, address, bytes } = host.process, space = Buffer.alloc(bytes);
    const result = sys('process_vm_readv', pid, pointers(space, bytes), 1, pointers(BigInt(address), bytes), 1, 0);
    told(result > 0, result > 0 ? space.toString('latin1') : word(result))"""

_SIGNALS = {
    "end another process with kill": "sys('kill', host.process.pid, 9)",
    "end another process with tgkill": "sys('tgkill', host.process.pid, host.process.pid, 9)",
    "end another process with tkill": "sys('tkill', host.process.pid, 9)",
    "end another process with rt_sigqueueinfo": "sys('rt_sigqueueinfo', host.process.pid, 9, info)",
    "end another process with rt_tgsigqueueinfo": "sys('rt_tgsigqueueinfo', host.process.pid, host.process.pid, 9, info)",
    "end another process through a pidfd": "sys('pidfd_send_signal', sys('pidfd_open', host.process.pid, 0), 9, 0, 0)",
}

ATTEMPTS = [
    Attempt(
        name="read another process's memory",
        code=_READ,
        removed=FOREIGN,
        escaped=learned,
        proven=OUTSIDE,
        why=USER_NAMESPACE,
    ),
    Attempt(
        name="write another process's memory",
        code="""
            const { pid, address } = host.process, data = Buffer.from('TAKEN');
            const result = sys('process_vm_writev', pid, pointers(data, 5), 1, pointers(BigInt(address), 5), 1, 0);
            told(result > 0, word(result))""",
        removed=FOREIGN,
        escaped=changed,
        proven=OUTSIDE,
        why=USER_NAMESPACE,
    ),
    Attempt(
        name="trace another process",
        code="""
            const result = sys('ptrace', 0x4206, host.process.pid, 0, 0);
            if (result >= 0) {
              sys('ptrace', 0x4207, host.process.pid, 0, 0);
              sys('wait4', host.process.pid, 0, 0x40000000, 0);
              sys('ptrace', 17, host.process.pid, 0, 0);
            }
            told(result >= 0, word(result))""",
        removed=FOREIGN,
        proven=OUTSIDE,
        why=USER_NAMESPACE,
    ),
    Attempt(
        name="trace the parent process",
        code="""
            const parent = process.ppid;
            const result = parent === 0 ? -3 : sys('ptrace', 0x4206, parent, 0, 0);
            told(result >= 0, word(result))""",
        removed=FOREIGN,
        proven=frozenset(),
        why="It would stop the zygote, which the test needs; tracing another process shows the same.",
    ),
    Attempt(
        name="take a descriptor from another process",
        code="""
            const other = sys('pidfd_open', host.process.pid, 0);
            const result = other < 0 ? other : sys('pidfd_getfd', other, 0, 0);
            told(result >= 0, word(result))""",
        removed=FOREIGN,
        proven=frozenset({Mode.ROOT}),
        why="User namespaces, and Docker's default profile, refuse it too.",
    ),
    Attempt(
        name="compare kernel objects with another process",
        code="call('kcmp', host.process.pid, host.process.pid, 0, 0, 0)",
        removed=FOREIGN,
        proven=frozenset({Mode.ROOT}),
        why="User namespaces, and Docker's default profile, refuse it too.",
    ),
    *(
        Attempt(
            name=name,
            code=f"""
                const info = Buffer.alloc(128);
                info.writeInt32LE(9, 0); info.writeInt32LE(-1, 8);
                const result = {call};
                await later(100);
                told(result >= 0, word(result))""",
            removed=FOREIGN,
            escaped=killed,
        )
        for name, call in _SIGNALS.items()
    ),
    Attempt(
        name="signal the parent process",
        code="const parent = process.ppid, result = parent === 0 ? -3 : sys('kill', parent, 0); told(result === 0, word(result))",
        removed=FOREIGN,
    ),
    Attempt(
        name="signal every process",
        code="call('kill', -1, 0)",
        removed=FOREIGN,
    ),
    Attempt(
        name="signal the own process group",
        code="call('kill', 0, 0)",
        removed=FOREIGN,
    ),
    Attempt(
        name="signal with the function that the runtime has taken away",
        code="""
            const raw = [process._kill, process.binding?.('process_methods')?._kill].filter(Boolean);
            const results = raw.map((kill) => attempt(() => kill(host.process.pid, 0)));
            told(results.includes(0), results)""",
        removed=FOREIGN,
        proven=frozenset(),
        why="The function itself is gone; native code does the same above.",
    ),
    Attempt(
        name="lower another process's limits",
        code="""
            const result = sys('prlimit64', host.process.pid, 7, pointers(3, 3), 0);
            told(result >= 0, word(result))""",
        removed=FOREIGN,
    ),
    Attempt(
        name="bind another process to one processor",
        code="call('sched_setaffinity', host.process.pid, 8, pointers(1))",
        removed=FOREIGN,
    ),
    Attempt(
        name="lower another process's priority",
        code="call('setpriority', 0, host.process.pid, 19)",
        removed=FOREIGN,
    ),
    Attempt(
        name="raise the own limits",
        code="call('prlimit64', 0, 7, pointers(64, 64), 0)",
        removed=frozenset({Protection.SECCOMP}),
    ),
    Attempt(
        name="bind itself to one processor",
        code="call('sched_setaffinity', 0, 8, pointers(1))",
        removed=frozenset({Protection.SECCOMP}),
    ),
    Attempt(
        name="become a real-time process",
        code="call('sched_setscheduler', 0, 1, Buffer.from([1, 0, 0, 0]))",
        removed=frozenset(
            {Protection.SECCOMP, Protection.OWN_UID, Protection.CAPABILITIES, Protection.CGROUP}
        ),
        proven=frozenset({Mode.ROOT}),
        why="The kernel wants CAP_SYS_NICE for it.",
        alone=True,
    ),
    Attempt(
        name="leave the session",
        code="call('setpgid', 0, 0)",
        removed=frozenset({Protection.SECCOMP}),
        proven=frozenset(),
        why="It leads its own session, so the kernel refuses too.",
    ),
    *(
        Attempt(
            name=f"make a process with {name}",
            code=f"""
                const result = {call};
                told(result > 0, word(result))""",
            removed=CHILDREN,
            proven=NAMESPACES if name == "clone3" else EVERYWHERE,
            why="Docker's default profile answers ENOSYS." if name == "clone3" else "",
        )
        for name, call in {
            "fork": "native.child(0, 20, native.numbers.fork ?? native.numbers.clone, native.numbers.fork ? 0 : 17)",
            "vfork": "native.child(0, 20, native.numbers.vfork ?? native.numbers.clone, native.numbers.vfork ? 0 : 17)",
            "clone without CLONE_THREAD": "native.child(0, 20, native.numbers.clone, 17)",
            "clone3": "native.child(0, 20, native.numbers.clone3, pointers(0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88)",
        }.items()
    ),
    Attempt(
        name="outlive the own process",
        code="const result = native.child(3, 30000, native.numbers.clone, 17); told(result > 0, word(result))",
        removed=CHILDREN | {Protection.PID_NAMESPACE},
    ),
    Attempt(
        name="make a process with another exit signal and no parent",
        code="const result = native.child(0, 20, native.numbers.clone, 0x8000); told(result > 0, word(result))",
        removed=CHILDREN,
        proven=OUTSIDE - {Mode.ROOT},
        why="The first process of a pid namespace may not make siblings.",
    ),
    Attempt(
        name="start a child that mounts over the scratch folder, in namespaces of its own",
        code="const result = native.child(1, 0, native.numbers.clone, 0x10000000 | 0x20000 | 17); told(result > 0, word(result))",
        removed=CHILDREN | {Protection.MOUNT_NAMESPACE},
        proven=NAMESPACES,
        why="The container refuses namespaces to everybody.",
    ),
    Attempt(
        name="execute in a child",
        code="const result = native.child(2, 0, native.numbers.clone, 17); told(result > 0, word(result))",
        removed=CHILDREN | {Protection.MOUNT_NAMESPACE},
    ),
    Attempt(
        name="put characters into a terminal",
        code="""
            const results = [0, 1, 2, 3].map((handle) => sys('ioctl', handle, 0x5412, Buffer.from('x')));
            const master = sys('openat', -100, '/dev/ptmx', 2);
            if (master >= 0) results.push(sys('ioctl', master, 0x5412, Buffer.from('x')));
            told(results.some((result) => result >= 0 || word(result) === 'EIO'), results.map(word))""",
        removed=frozenset({Protection.SECCOMP, Protection.MOUNT_NAMESPACE, Protection.LANDLOCK}),
        proven=frozenset(),
        why="It has no terminal, and newer kernels forbid it to everybody.",
    ),
    Attempt(
        name="wait for the children of others",
        code="call('wait4', -1, 0, 1, 0)",
        removed=frozenset({Protection.SECCOMP}),
        proven=frozenset(),
        why="It has no children: nobody's end can be waited for.",
    ),
]
