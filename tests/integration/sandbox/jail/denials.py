"""What a container refuses, applied by the test itself: no container engine runs where these tests do.

The list is what Docker's documentation names as blocked by its default profile, and what the profile's text
(moby/profiles, ``seccomp/default_linux.go``, of 2026) leaves out besides. Kernel attack surface that hooks and the
sandbox never ask for (``create_module`` and the like) makes no difference here and is left out.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from tenterhook.sandbox.jail import filter as seccomp
from tenterhook.sandbox.jail import libc
from tenterhook.sandbox.jail.bpf import Comparison, Program
from tenterhook.sandbox.jail.syscalls import current_architecture

DOCKER = """
    acct add_key bpf clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick init_module
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind
    get_mempolicy set_mempolicy mount mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree
    perf_event_open pidfd_getfd pivot_root process_madvise quotactl quotactl_fd reboot request_key setdomainname sethostname
    setns settimeofday swapoff swapon syslog umount2 unshare userfaultfd vhangup
"""
NEW_NAMESPACES = 0x7E020000
"""All CLONE_NEW* flags of clone(2)."""
DOCKERS_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31})
"""By number: what root keeps in Docker's default. Not among them: CAP_SYS_ADMIN (21), CAP_SYS_PTRACE (19)."""


def deny(calls: Iterable[str], *, namespaces: bool = False, notification: bool = False) -> None:
    """Refuse calls to this process for good; ``namespaces``: clone with new ones; ``notification``: seccomp listeners."""
    table = current_architecture().table
    program = Program()
    program.load(0)
    for call in calls:
        if call in table:
            following = program.fresh("next")
            program.test(Comparison.EQUAL, table[call], then="refuse", otherwise=following)
            program.place(following)
    if namespaces:
        program.test(Comparison.EQUAL, table["clone3"], then="absent", otherwise="not clone3")
        program.place("not clone3")
        program.test(Comparison.EQUAL, table["clone"], then="flags", otherwise="not clone")
        program.place("flags")
        program.load(16)
        program.test(Comparison.ANY_BIT, NEW_NAMESPACES, then="refuse", otherwise="allow")
        program.place("not clone")
    if notification:
        program.test(Comparison.EQUAL, table["seccomp"], then="filter", otherwise="allow")
        program.place("filter")
        program.load(24)
        program.test(Comparison.ANY_BIT, 1 << 3, then="refuse", otherwise="allow")
    program.jump("allow")
    program.place("refuse")
    program.answer(seccomp.ERROR | errno.EPERM)
    program.place("absent")
    program.answer(seccomp.ERROR | errno.ENOSYS)
    program.place("allow")
    program.answer(seccomp.ALLOW)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(program.assemble(), listener=False)


def like_docker(*, notification: bool = False) -> None:
    """Refuse what Docker's default profile refuses, and ``notification`` too where asked."""
    deny(DOCKER.split(), namespaces=True, notification=notification)


def keep_dockers_capabilities() -> None:
    """Let root have no more than in Docker's default."""
    for capability in range(41):
        if capability not in DOCKERS_CAPABILITIES:
            libc.prctl(libc.PR_CAPBSET_DROP, capability)
    kept = sum(1 << capability for capability in DOCKERS_CAPABILITIES)
    header = (0x20080522).to_bytes(4, "little") + bytes(4)
    words = b"".join((kept >> shift & 0xFFFFFFFF).to_bytes(4, "little") for shift in (0, 0, 0, 32, 32, 32))
    libc.check(libc.syscall(current_architecture().table["capset"], header, words), "capset")


def become_ordinary() -> None:
    """Take an ordinary user's id, for good; the process stays readable for itself, as after an execve."""
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    libc.prctl(libc.PR_SET_DUMPABLE, 1)
