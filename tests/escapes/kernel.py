"""Attempts on the kernel: system calls that a hook has no business with, and other ways to make them."""

from __future__ import annotations

from typing import Any

from tenterhook.sandbox.jail.protections import Protection
from tests.escapes.attempt import EVERYWHERE, NAMESPACES, Attempt, Mode, Need, harmed

FILTER = frozenset({Protection.SECCOMP})
ALL_RIGHTS = frozenset({Protection.SECCOMP, Protection.LANDLOCK, Protection.OWN_UID, Protection.CAPABILITIES})
"""As root these remove everything between a hook and the whole machine's administration."""

_ONLY_ROOT = (
    "The kernel lets only root do it; Node is executed as another, and so loses what a namespace gave."
)
_CONTAINER = "Docker's default profile refuses it to everybody in the container."
_ROOTS = "The kernel lets only root do it."
_ROOT_ONLY = frozenset({Mode.ROOT})


def _refused(
    name: str,
    code: str,
    *,
    removed: frozenset[Protection] = FILTER,
    proven: frozenset[Mode] = EVERYWHERE,
    why: str = "",
    **more: Any,
) -> Attempt:
    return Attempt(name=name, code=code, removed=removed, proven=proven, why=why, **more)


ATTEMPTS = [
    # New and rarely needed parts of the kernel, where most of its holes were found.
    _refused(
        "start an io_uring",
        "call('io_uring_setup', 8, Buffer.alloc(120))",
        proven=NAMESPACES,
        why=_CONTAINER,
    ),
    _refused("start an asynchronous I/O context", "call('io_setup', 8, Buffer.alloc(8))"),
    _refused(
        "load a program into the kernel with bpf",
        "const result = sys('bpf', 0, Buffer.from(Uint32Array.of(2, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0).buffer), 48); told(result >= 0, word(result))",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why="The kernel wants CAP_BPF for it, and Docker's profile refuses it.",
    ),
    _refused(
        "measure the machine with perf_event_open",
        "const what = Buffer.alloc(128); what.writeUInt32LE(1, 0); what.writeUInt32LE(128, 4); what.writeBigUInt64LE(2n, 8); call('perf_event_open', what, -1, 0, -1, 0)",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why="The kernel wants CAP_PERFMON for it, and Docker's profile refuses it.",
    ),
    _refused(
        "take over page faults with userfaultfd",
        "call('userfaultfd', 1)",
        proven=NAMESPACES,
        why=_CONTAINER,
    ),
    _refused(
        "keep a key in the kernel",
        "call('add_key', 'user', 'escapes', 'x', 1, -2)",
        proven=NAMESPACES,
        why=_CONTAINER,
    ),
    _refused("read the kernel's keyrings", "call('keyctl', 0, -3, 1)", proven=NAMESPACES, why=_CONTAINER),
    _refused(
        "install a filter of its own",
        "const result = sys('seccomp', 2, 0, pointers(0)); told(considered(result), word(result))",
    ),
    _refused(
        "move pages between pipes",
        "const ends = Buffer.alloc(8); sys('pipe2', ends, 0); const data = Buffer.from('x'); const result = sys('vmsplice', ends.readInt32LE(4), pointers(data, 1), 1, 0); told(result === 1, word(result))",
    ),
    _refused(
        "change the execution domain", "call('personality', 0x0040000)", proven=NAMESPACES, why=_CONTAINER
    ),
    _refused("map at random places no more (personality)", "call('personality', 0xffffffff)"),
    _refused(
        "change the memory map with prctl",
        "const result = sys('prctl', 35, 4, 0, 0, 0); told(considered(result), word(result))",
        removed=ALL_RIGHTS,
        proven=frozenset(),
        why="The kernel wants CAP_SYS_RESOURCE for it, which even root may lack.",
    ),
    _refused(
        "become dumpable again",
        "const result = sys('prctl', 4, 1, 0, 0, 0); told(result === 0, word(result))",
    ),
    _refused(
        "outlive the parent", "const result = sys('prctl', 1, 0, 0, 0, 0); told(result === 0, word(result))"
    ),
    _refused(
        "let anybody trace it",
        "const result = sys('prctl', 0x59616d61, -1, 0, 0, 0); told(considered(result), word(result))",
    ),
    _refused(
        "adopt orphans", "const result = sys('prctl', 36, 1, 0, 0, 0); told(result === 0, word(result))"
    ),
    _refused(
        "enter strict seccomp by prctl",
        "const result = sys('prctl', 22, 1, 0, 0, 0); told(result === 0, word(result))",
        alone=True,
        proven=frozenset(),
        why="The kernel refuses a second mode under a filter; without one it ends Node at once.",
    ),
    _refused(
        "change a segment of the processor",
        "const result = sys('modify_ldt', 0, Buffer.alloc(64), 64); told(result >= 0, word(result))",
        proven=NAMESPACES | {Mode.GATE},
        needs=frozenset({Need.IA32}),
    ),
    _refused(
        "reach input and output ports",
        "call('iopl', 3)",
        removed=ALL_RIGHTS,
        proven=frozenset(),
        why="The kernel wants CAP_SYS_RAWIO, and may be locked down.",
    ),
    # Administration.
    _refused(
        "mount a file system",
        "const result = sys('mount', 'none', require('os').tmpdir(), 'tmpfs', 0, 0); if (result === 0) sys('umount2', require('os').tmpdir(), 2); told(result === 0, word(result))",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ONLY_ROOT,
    ),
    _refused(
        "mount in the new way",
        "call('fsopen', 'tmpfs', 0)",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ONLY_ROOT,
    ),
    _refused(
        "copy the tree of mounts",
        "call('open_tree', -100, '/', 1)",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ONLY_ROOT,
    ),
    _refused(
        "take a mount off",
        "const result = sys('umount2', '/', 8); told(considered(result), word(result))",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ONLY_ROOT,
    ),
    _refused(
        "change the root with pivot_root",
        "const result = sys('pivot_root', '/', '/'); told(considered(result), word(result))",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ONLY_ROOT,
    ),
    _refused(
        "change the root with chroot",
        "call('chroot', '/')",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ONLY_ROOT,
        alone=True,
    ),
    _refused(
        "leave a namespace with unshare",
        "const result = sys('unshare', 0x4000000); told(result === 0, word(result))",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ONLY_ROOT,
        alone=True,
    ),
    _refused(
        "enter a namespace with setns",
        "const result = sys('setns', 0, 0); told(considered(result), word(result))",
        proven=NAMESPACES,
        why=_CONTAINER,
    ),
    _refused(
        "name the machine",
        "const result = sys('sethostname', 'taken', 5); told(result === 0, word(result))",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ONLY_ROOT,
    ),
    _refused(
        "load a kernel module",
        "const result = sys('init_module', 0, 0, ''); told(considered(result), word(result))",
        removed=ALL_RIGHTS,
        proven=frozenset(),
        why="Kernels built without modules answer ENOSYS.",
    ),
    _refused(
        "load another kernel",
        "const result = sys('kexec_load', 0, 0, 0, 0xffff0000); told(considered(result), word(result))",
        removed=ALL_RIGHTS,
        proven=frozenset(),
        why="Kernels built without kexec answer ENOSYS.",
    ),
    _refused(
        "read the kernel's log", "call('syslog', 10, 0, 0)", removed=ALL_RIGHTS, proven=_ROOT_ONLY, why=_ROOTS
    ),
    _refused(
        "set the clock",
        "const result = sys('clock_settime', 0, pointers(-1, 0)); told(considered(result), word(result))",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ROOTS,
    ),
    _refused(
        "swap onto a file",
        "const result = sys('swapon', '/nowhere', 0); told(considered(result), word(result))",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ROOTS,
    ),
    _refused(
        "restart the machine (with wrong magic)",
        "const result = sys('reboot', 0, 0, 0, 0); told(considered(result), word(result))",
        removed=ALL_RIGHTS,
        proven=_ROOT_ONLY,
        why=_ROOTS,
    ),
    _refused(
        "set quotas",
        "const result = sys('quotactl', -1, 0, 0, 0); told(considered(result), word(result))",
        proven=NAMESPACES,
        why=_CONTAINER,
    ),
    # Rights.
    _refused(
        "become root",
        "const result = sys('setresuid', 0, 0, 0); told(result === 0, word(result))",
        removed=FILTER | {Protection.OWN_UID, Protection.CAPABILITIES},
        proven=_ROOT_ONLY,
        why="Nobody's user id is mapped to root's there.",
    ),
    _refused(
        "join the group of root",
        "const result = sys('setgroups', 1, Buffer.alloc(4)); told(result === 0, word(result))",
        removed=FILTER | {Protection.OWN_UID, Protection.CAPABILITIES},
        proven=_ROOT_ONLY,
        why="User namespaces of ordinary users forbid it.",
    ),
    _refused(
        "have a capability again",
        """
            const header = Buffer.from(Uint32Array.of(0x20080522, 0).buffer), data = Buffer.alloc(24);
            sys('capget', header, data);
            data.writeUInt32LE(0xffffffff, 0); data.writeUInt32LE(0xffffffff, 4);
            const all = sys('capset', header, data);
            data.fill(0); data.writeUInt32LE(1 << 21, 0); data.writeUInt32LE(1 << 21, 4);
            const admin = sys('capset', header, data);
            told(all === 0 || admin === 0, [word(all), word(admin)])""",
        removed=FILTER | {Protection.OWN_UID, Protection.CAPABILITIES},
        proven=_ROOT_ONLY,
        why="An ordinary user has none to begin with.",
        alone=True,
    ),
    _refused(
        "look at its own capabilities and user id",
        """
            const header = Buffer.from(Uint32Array.of(0x20080522, 0).buffer), data = Buffer.alloc(24);
            const result = sys('capget', header, data);
            told(result === 0 && (data.readUInt32LE(0) !== 0 || process.getuid() === 0), [word(result), data.readUInt32LE(0), process.getuid()])""",
        removed=FILTER | {Protection.OWN_UID, Protection.CAPABILITIES},
        proven=_ROOT_ONLY,
        why="An ordinary user has none to begin with.",
    ),
    # Other ways into the kernel.
    _refused(
        "make a call by its x32 number",
        "const result = native.syscall(39 | 0x40000000); told(result > 0, word(result))",
        needs=frozenset({Need.X32}),
        alone=True,
        removed=FILTER | {Protection.CONNECT_GATE},
    ),
    _refused(
        "make a call through the 32-bit entry",
        "const result = native.int80(20); told(result > 0, word(result))",
        needs=frozenset({Need.IA32}),
        alone=True,
        removed=FILTER | {Protection.CONNECT_GATE},
    ),
    _refused(
        "open a socket through the 32-bit entry",
        "const result = native.int80(359, 1, 1, 0); told(result > 0, word(result))",
        needs=frozenset({Need.IA32}),
        alone=True,
        removed=FILTER | {Protection.CONNECT_GATE},
    ),
    _refused(
        "make a call whose number has its upper half set",
        "const result = native.syscall(BigInt(native.numbers.ptrace) | (1n << 32n), 0x4206, 999999999, 0, 0); told(considered(result), word(result))",
        proven=EVERYWHERE,
    ),
    _refused(
        "make a call that nobody knows yet",
        "const result = [600, 700, 5000].map((number) => native.syscall(number)); told(result.some((each) => word(each) !== 'ENOSYS'), result.map(word))",
        proven=frozenset(),
        why="No kernel has them yet.",
    ),
    _refused(
        "reach a system call that is not on the list",
        """
            const results = Buffer.alloc(4 * 470, 0x7f);
            native.sweep(results, 470);
            const reached = [];
            for (let number = 0; number < 470; number += 1) {
              const result = results.readInt32LE(4 * number);
              if (result !== 0x7f7f7f7f && considered(result) && !host.reachable.includes(number)) reached.push(number);
            }
            told(reached.length > 0, reached)""",
        alone=True,
    ),
    *(
        _refused(
            f"make random system calls (seed {seed})",
            f"""
                const {{ pid }} = host.process, port = host.port;
                const made = native.fuzz({seed}, 100000, 1200);
                told(false, made + ' calls')""",
            escaped=harmed,
            removed=frozenset(),
            proven=frozenset(),
            why="Without the filter it would be the machine's end; what is shown is that nothing outside is harmed.",
            other="ready({}); setInterval(() => {}, 1000);",
            alone=True,
        )
        for seed in (1, 2, 3)
    ),
]
