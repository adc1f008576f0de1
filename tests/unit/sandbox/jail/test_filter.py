"""Every call and both sides of every checked argument, on both processors, by running the filter's code."""

from __future__ import annotations

import errno

import pytest

from tenterhook.sandbox.jail import filter as seccomp
from tenterhook.sandbox.jail import rules
from tenterhook.sandbox.jail.rules import Rule
from tenterhook.sandbox.jail.syscalls import ARCHITECTURES
from tests.unit.sandbox.jail.interpreter import run

OWN = 4711
HIGH = 1 << 32
"""The lowest bit that the kernel drops from an int."""
EPERM, EACCES, ENOSYS, EINVAL = (
    seccomp.ERROR | each for each in (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL)
)
ALLOW = seccomp.ALLOW
POINTER = 0x7F00_0000_1000

MOST_REACHABLE = {
    ("x86_64", False): 124,
    ("x86_64", True): 119,
    ("aarch64", False): 105,
    ("aarch64", True): 101,
}
"""How much of the kernel a hook can talk to. These figures may only fall."""

both_processors = pytest.mark.parametrize("name", sorted(ARCHITECTURES))
both_modes = pytest.mark.parametrize("gate_mode", [False, True], ids=["namespaces", "gate"])


def _ask(name, call, *arguments, gate_mode=False, without=()):
    architecture = ARCHITECTURES[name]
    program = seccomp.strict_filter(architecture, own_pid=OWN, gate_mode=gate_mode, without=without)
    number = architecture.table[call] if isinstance(call, str) else call
    return run(program, arch=architecture.audit_arch, number=number, arguments=arguments)


THREAD = 0x3D0F00  # what glibc's pthread_create passes

PERMITTED_ARGUMENTS = [
    ("socket", 2, 1, 0),
    ("socket", 10, 1, 6),
    ("socket", 2, 1 | 0o2000000 | 0o4000, 6),
    ("socket", HIGH | 2, HIGH | 1, HIGH | 6),
    ("sendto", 3, POINTER, 10, 0x4000 | 0x40 | 0x8000, 0, 0),
    ("sendto", 3, POINTER, 10, HIGH | 0x4000, 0, 16),
    ("recvfrom", 3, POINTER, 10, 2 | 0x20 | 0x40 | 0x100 | 0x4000, POINTER, POINTER),
    *(("setsockopt", 3, 1, option) for option in (2, 7, 8, 9, 20, 21, 66, 67)),
    *(("setsockopt", 3, 6, option) for option in (1, 3, 4, 5, 6, 8, 12, 18, 25)),
    ("setsockopt", 3, 0, 1),
    ("setsockopt", 3, 41, 26),
    ("setsockopt", 3, 41, 67),
    ("getsockopt", 3, 1, 4),
    ("getsockopt", 3, 6, 11),
    ("clone", THREAD),
    ("clone", HIGH | THREAD),
    ("clone", 0x10F00),
    ("clone", 0x7D0F00),
    ("kill", OWN, 10),
    ("tgkill", OWN, OWN + 3, 6),
    ("kill", HIGH | OWN, 10),
    ("prctl", 15, POINTER),
    ("prctl", 16, POINTER),
    ("prctl", 0x53564D41, 0, POINTER, 4096, POINTER),
    ("ioctl", 3, 0x5401),
    ("ioctl", 3, 0x5421),
    ("ioctl", 3, HIGH | 0x5451),
    *(("fcntl", 3, command) for command in (0, 1, 2, 3, 4, 1030)),
    ("prlimit64", 0, 7, 0, POINTER),
    ("prlimit64", OWN, 7, 0, POINTER),
    ("sched_getaffinity", 0),
    ("sched_getaffinity", OWN),
    ("getpriority", 0, 0),
    ("getpriority", 0, OWN),
    ("mmap", 0, 4096, 7, 0x22, -1, 0),
    ("mmap", 0, 4096, 3, 0x20022, -1, 0),  # MAP_STACK
    ("mmap", 0, 4096, 1, 0x01, 3, 0),
    ("mmap", 0, 4096, 3, 0x02, 3, 0),
    ("futex", POINTER, 128),
    ("futex", POINTER, 9 | 128 | 256),
    *(("madvise", POINTER, 4096, advice) for advice in (0, 4, 8, 10, 14, 16, 102, 103)),
]

REFUSED_ARGUMENTS = [
    *((EACCES, "socket", family, 1, 0) for family in (0, 1, 3, 11, 16, 17, 38, 40, 43, 44, 9, HIGH | 1)),
    *((EACCES, "socket", 2, kind, 0) for kind in (0, 2, 3, 4, 5, 6, 10, 1 | 0x10, 1 | 0x40000000)),
    *((EACCES, "socket", 10, 1, protocol) for protocol in (1, 5, 7, 17, 132, 255, 256, 262, -1)),
    (EPERM, "sendto", 3, POINTER, 10, 0, POINTER, 16),
    (EPERM, "sendto", 3, POINTER, 10, 0, 1 << 32, 16),
    (EPERM, "sendto", 3, POINTER, 10, 0, 1, 16),
    (EPERM, "sendto", 3, POINTER, 10, 0x20000000, 0, 0),  # MSG_FASTOPEN
    (EPERM, "sendto", 3, POINTER, 10, 1, 0, 0),  # MSG_OOB
    (EPERM, "sendto", 3, POINTER, 10, 0x4000000, 0, 0),  # MSG_ZEROCOPY
    (EPERM, "recvfrom", 3, POINTER, 10, 1, 0, 0),  # MSG_OOB
    (EPERM, "recvfrom", 3, POINTER, 10, 0x2000, 0, 0),  # MSG_ERRQUEUE
    *((EPERM, "setsockopt", 3, 1, option) for option in (1, 5, 6, 12, 15, 25, 26, 27, 32, 36, 50, 60, 79)),
    *((EPERM, "setsockopt", 3, 6, option) for option in (2, 13, 14, 19, 23, 30, 31, 33, 35, 38)),
    *((EPERM, "setsockopt", 3, 0, option) for option in (2, 3, 4, 10, 11, 19, 24, 35, 64, HIGH | 4)),
    *((EPERM, "setsockopt", 3, 41, option) for option in (1, 6, 20, 57, 64, 80)),
    *((EPERM, "setsockopt", 3, level, 1) for level in (17, 132, 255, 263, 270, 273, 282, 284)),
    *(
        (EPERM, "getsockopt", 3, 1, option) for option in (17, 31, 59, 77)
    ),  # PEERCRED, PEERSEC, PEERGROUPS, PEERPIDFD
    (EPERM, "getsockopt", 3, 6, 35),  # TCP_ZEROCOPY_RECEIVE
    (EPERM, "clone", 17),  # fork
    (EPERM, "clone", THREAD & ~0x10000),  # not a thread
    (EPERM, "clone", THREAD & ~0x100),  # a memory of its own
    (EPERM, "clone", THREAD | 17),
    *((EPERM, "clone", THREAD | flag) for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000)),  # CLONE_NEW*
    *((EPERM, "clone", THREAD | flag) for flag in (0x10000000, 0x20000000, 0x40000000, 0x80)),  # CLONE_NEW*
    *((EPERM, "clone", THREAD | flag) for flag in (0x1000, 0x2000, 0x4000, 0x8000, 0x800000, 0x80000000)),
    *((EPERM, call, pid, 9) for call in ("kill", "tgkill") for pid in (0, 1, -1, -OWN, OWN - 1, OWN + 1)),
    *(
        (EPERM, "prctl", option)
        for option in (0, 1, 2, 4, 8, 14, 17, 22, 23, 24, 28, 35, 36, 38, 47, 52, 53, 59)
    ),
    (EPERM, "prctl", 0x53564D41, 1),
    (EPERM, "prctl", 0x59616D61, OWN),  # PR_SET_PTRACER
    *(
        (EPERM, "ioctl", 3, command)
        for command in (0x5402, 0x5412, 0x5413, 0x541C, 0x5423, 0x8933, 0x40049409)
    ),
    (EPERM, "setsockopt", 3, 1, 13),  # LINGER: the gate may be the last to close
    *(
        (EPERM, "fcntl", 3, command) for command in (5, 6, 7, 36, 37, 38)
    ),  # locks: kernel memory that nobody counts
    *((EPERM, "fcntl", 3, command) for command in (8, 9, 10, 11, 15, 16, 1024, 1026, 1031, 1033, 1040)),
    (EPERM, "prlimit64", 0, 7, POINTER, 0),
    (EPERM, "prlimit64", 0, 7, 1 << 32, 0),
    (EPERM, "prlimit64", OWN + 1, 7, 0, POINTER),
    (EPERM, "sched_getaffinity", OWN + 1),
    (EPERM, "getpriority", 1, 0),
    (EPERM, "getpriority", 0, OWN + 1),
    (EPERM, "mmap", 0, 4096, 3, 0x22 | 0x40000, -1, 0),
    (EPERM, "mmap", 0, 4096, 3, 0x22 | 0x100, -1, 0),  # MAP_GROWSDOWN
    (EPERM, "mmap", 0, 4096, 3, 0x21, -1, 0),  # MAP_SHARED | MAP_ANONYMOUS
    (EPERM, "mmap", 0, 4096, 1, 0x21, -1, 0),  # may become writable by mprotect
    (EPERM, "mmap", 0, 4096, 3, 0x01, 3, 0),
    (EPERM, "mmap", 0, 4096, 3, 0x03, 3, 0),  # MAP_SHARED_VALIDATE
    *((EPERM, "futex", POINTER, operation) for operation in (2, 6, 7, 8, 11, 12, 13, 128 | 6)),
    *((EPERM, "madvise", POINTER, 4096, advice) for advice in (9, 12, 18, 20, 21, 22, 23, 25, 100, 101)),
    (ENOSYS, "clone3", POINTER, 88),
    (ENOSYS, "io_uring_setup", 8, POINTER),
    (ENOSYS, "copy_file_range", 3, 0, 4, 0, 100, 0),
    (EINVAL, "sendfile", 3, 4, 0, 100),
    (EACCES, "bind", 3, POINTER, 16),
    (EACCES, "listen", 3, 1),
    (EACCES, "accept4", 3, 0, 0, 0),
    (EACCES, "socketpair", 1, 1, 0, POINTER),
]


@both_modes
@both_processors
@pytest.mark.parametrize("call", PERMITTED_ARGUMENTS, ids=lambda call: "-".join(map(str, call)))
def test_permitted_arguments_pass(name, gate_mode, call):
    assert _ask(name, *call, gate_mode=gate_mode) == ALLOW


@both_modes
@both_processors
@pytest.mark.parametrize("case", REFUSED_ARGUMENTS, ids=lambda case: "-".join(map(str, case[1:])))
def test_refused_arguments_do_not_pass(name, gate_mode, case):
    answer, *call = case
    assert _ask(name, *call, gate_mode=gate_mode) == answer


@both_processors
@pytest.mark.parametrize("case", REFUSED_ARGUMENTS, ids=lambda case: "-".join(map(str, case[1:])))
def test_without_its_rule_a_refused_call_passes(name, case):
    _answer, *call = case
    rule = seccomp.rule_of(call[0], gate_mode=False)
    assert _ask(name, *call, without={rule}) == ALLOW


@both_modes
@both_processors
def test_every_known_call_is_answered_by_its_rule(name, gate_mode):
    for call in ARCHITECTURES[name].table:
        if call in rules.CHECKED:
            continue
        rule = seccomp.rule_of(call, gate_mode=gate_mode)
        answer = _ask(name, call, *[POINTER] * 6, gate_mode=gate_mode)
        assert (answer == ALLOW) == (rule is None), call
        if rule is not None:
            assert answer & 0xFFFF0000 == seccomp.ERROR, call
            assert _ask(name, call, gate_mode=gate_mode, without={rule}) == ALLOW, call


@both_processors
def test_unknown_numbers_do_not_exist(name):
    known = set(ARCHITECTURES[name].table.values())
    unknown = [number for number in range(1000) if number not in known]
    assert len(unknown) > 300
    for number in [*unknown, 0x3FFFFFFF]:
        assert _ask(name, number) == ENOSYS
        assert _ask(name, number, without={Rule.UNKNOWN}) == ALLOW


def test_x32_calls_end_the_process():
    for number in (0x40000000, 0x40000001, 0x40000200, 0xFFFFFFFF):
        assert _ask("x86_64", number) == seccomp.KILL_PROCESS
        assert _ask("x86_64", number, without={Rule.X32}) == ALLOW
    assert _ask("x86_64", 0x3FFFFFFF) == ENOSYS


@both_processors
@pytest.mark.parametrize("foreign", [0x40000003, 0x40000028, 0xC000003E, 0xC00000B7, 0xC00000F3, 0])
def test_foreign_architectures_end_the_process(name, foreign):
    architecture = ARCHITECTURES[name]
    if foreign == architecture.audit_arch:
        return
    for program in (
        seccomp.strict_filter(architecture, own_pid=OWN, gate_mode=False),
        seccomp.listener_filter(architecture),
    ):
        for number in (0, 1, architecture.table["getpid"]):
            assert run(program, arch=foreign, number=number) == seccomp.KILL_PROCESS
    removed = seccomp.listener_filter(architecture, without={Rule.FOREIGN_ARCHITECTURE})
    assert run(removed, arch=foreign, number=0) == ALLOW


@both_processors
def test_listener_asks_for_connect_and_for_nothing_else(name):
    architecture = ARCHITECTURES[name]
    program = seccomp.listener_filter(architecture)
    for call, number in architecture.table.items():
        answer = run(program, arch=architecture.audit_arch, number=number, arguments=(3, POINTER, 16))
        assert answer == (seccomp.NOTIFY if call == "connect" else ALLOW), call
    if name == "x86_64":
        x32_connect = 0x40000000 | architecture.table["connect"]
        assert run(program, arch=architecture.audit_arch, number=x32_connect) == seccomp.KILL_PROCESS


GATE_ONLY = ["chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat"]


@both_processors
def test_gate_mode_refuses_what_landlock_overlooks(name):
    for call in GATE_ONLY:
        if call in ARCHITECTURES[name].table:
            assert _ask(name, call, gate_mode=False) == ALLOW
            assert _ask(name, call, gate_mode=True) == EPERM
            assert _ask(name, call, gate_mode=True, without={Rule.METADATA}) == ALLOW


DANGEROUS = """
    ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd pidfd_send_signal kcmp bpf perf_event_open userfaultfd
    io_uring_setup io_uring_enter io_uring_register mount umount2 pivot_root chroot open_tree move_mount fsopen fsmount
    unshare setns clone3 fork vfork execveat seccomp landlock_create_ruleset landlock_restrict_self keyctl add_key
    memfd_create memfd_secret splice vmsplice tee sendmsg recvmsg sendmmsg recvmmsg bind listen accept accept4 socketpair
    open_by_handle_at name_to_handle_at personality quotactl inotify_init1 fanotify_init shmget msgget semget mq_open
    swapon reboot init_module kexec_load tkill rt_sigqueueinfo rt_tgsigqueueinfo setrlimit truncate setxattr chown mknodat
"""


@both_processors
@both_modes
def test_dangerous_calls_are_out_of_reach(name, gate_mode):
    reachable = set(seccomp.reachable_syscalls(ARCHITECTURES[name], gate_mode=gate_mode))
    assert not reachable & set(DANGEROUS.split())


@both_processors
@both_modes
def test_reachable_calls_only_become_fewer(name, gate_mode):
    reachable = seccomp.reachable_syscalls(ARCHITECTURES[name], gate_mode=gate_mode)
    assert len(reachable) <= MOST_REACHABLE[name, gate_mode]


def test_every_named_call_exists():
    known = set().union(*(architecture.table for architecture in ARCHITECTURES.values()))
    named = rules.PERMITTED | rules.PERMITTED_UNLESS_GATE | set(rules.CHECKED) | set(rules.ERROR_OF_CALL)
    named = named.union(*rules.REFUSED.values())
    assert not named - known


def test_no_call_is_named_twice():
    groups = [rules.PERMITTED, rules.PERMITTED_UNLESS_GATE, frozenset(rules.CHECKED), *rules.REFUSED.values()]
    assert sum(map(len, groups)) == len(frozenset().union(*groups))


def test_every_rule_refuses_something():
    assert set(Rule) - {Rule.FOREIGN_ARCHITECTURE, Rule.X32, Rule.UNKNOWN} == {
        rule
        for architecture in ARCHITECTURES.values()
        for call in architecture.table
        if (rule := seccomp.rule_of(call, gate_mode=True)) is not None
    }


def test_own_pid_is_not_baked_in():
    architecture = ARCHITECTURES["x86_64"]
    first, second = (seccomp.strict_filter(architecture, own_pid=pid, gate_mode=False) for pid in (1, 2))
    number = architecture.table["kill"]
    for program, own, other in ((first, 1, 2), (second, 2, 1)):
        assert run(program, arch=architecture.audit_arch, number=number, arguments=(own, 9)) == ALLOW
        assert run(program, arch=architecture.audit_arch, number=number, arguments=(other, 9)) == EPERM
