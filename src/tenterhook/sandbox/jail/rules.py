"""Which system calls a hook's process may make, and with which arguments.

An allow-list: what is not named here is refused. It was found by running Node 24 over files, sockets, TLS, HTTP/2, DNS,
cryptography, compression, threads, WebAssembly, SQLite and a native addon, and by reading what glibc, V8, libuv and
c-ares do elsewhere: on arm64 (which lacks ``open``, ``stat`` and the like) and in newer versions of glibc.

Arguments are judged as the kernel reads them. Most are C ints, of which it drops the upper 32 bits, so only the lower
word is compared; of a pointer both words are. What a pointer points to cannot be judged by a filter at all, which is why
``connect`` goes to the supervisor and ``sendmsg`` is refused.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
from collections.abc import Mapping


class Rule(enum.StrEnum):
    """What the filter refuses, one name for each kind of attempt; a test takes one away by its name."""

    FOREIGN_ARCHITECTURE = "foreign_architecture"
    """32-bit calls: their numbers mean other things."""
    X32 = "x32"
    """The x32 ABI of x86_64: a second set of numbers for the same calls."""
    UNKNOWN = "unknown"
    """Numbers that had no name when the tables were made."""
    OTHER = "other"
    """Known calls that Node does not need."""
    SOCKET = "socket"
    """Sockets other than TCP over IPv4 or IPv6; SCTP, MPTCP and SMC are other protocols, which Landlock overlooks."""
    SOCKETPAIR = "socketpair"
    """Pairs of sockets: with them come SCM_RIGHTS and the AF_UNIX garbage collector."""
    SERVING = "serving"
    """bind, listen, accept."""
    SENDING = "sending"
    """Sending to an address, MSG_FASTOPEN (a connect by the back door) and out-of-band data (CVE-2025-38236)."""
    MESSAGES = "messages"
    """sendmsg, recvmsg: they carry addresses and descriptors behind a pointer, where a filter cannot look."""
    SOCKET_OPTIONS = "socket_options"
    """Options that route, filter, bind to devices, load protocols (TCP_ULP), or name the peer's process."""
    PROCESSES = "processes"
    """New processes; threads are permitted."""
    NEW_STYLE_CLONE = "new_style_clone"
    """clone3: its flags lie behind a pointer. ENOSYS lets glibc take clone."""
    EXECUTION_BY_DESCRIPTOR = "execution_by_descriptor"
    """execveat, which needs no path."""
    SIGNALS = "signals"
    """Signals to other processes, and those with a forged sender."""
    PRCTL = "prctl"
    """Options of prctl other than names; above all those that outlive the parent, the dumpable flag and PR_SET_MM."""
    ARCH_PRCTL = "arch_prctl"
    """Anything but the thread pointer."""
    DEVICE_CONTROL = "device_control"
    """ioctl: a second kernel interface for each driver."""
    DESCRIPTOR_CONTROL = "descriptor_control"
    """fcntl that sends signals, takes leases, watches folders or seals."""
    RESOURCE_LIMITS = "resource_limits"
    """Changing limits, or those of another process."""
    SCHEDULING = "scheduling"
    """Priorities and processors."""
    MAPPING = "mapping"
    """Huge pages of the machine's pool, which no memory limit counts."""
    MEMORY_ADVICE = "memory_advice"
    """Advice that merges, poisons or punches."""
    FUTEXES = "futexes"
    """Futexes that lend priority: glibc needs them for no default mutex, and CVE-2014-3153 was there."""
    MEMORY_FILES = "memory_files"
    """Files without a name, which could be executed from no folder."""
    METADATA = "metadata"
    """Gate mode: modes, times and lengths by name. Landlock overlooks them, and the uid is the platform's."""
    OWNERSHIP = "ownership"
    """chown, extended attributes, and locks that bind other processes."""
    IDENTITY = "identity"
    """uid, gid, groups, capabilities, sessions, keys."""
    INTROSPECTION = "introspection"
    """Another process's memory, descriptors and state: ptrace, process_vm_*, pidfd_*, kcmp."""
    KERNEL_PROGRAMS = "kernel_programs"
    """bpf, perf, io_uring, userfaultfd: the sources of most kernel escapes."""
    MOUNTING = "mounting"
    """The old and the new mount calls, chroot and pivot_root."""
    NAMESPACES = "namespaces"
    """unshare and setns."""
    FILE_HANDLES = "file_handles"
    """Files by handle, which pass every folder's permissions."""
    WATCHING = "watching"
    """inotify and fanotify."""
    SHARED_MEMORY = "shared_memory"
    """System V and POSIX queues, semaphores and shared memory."""
    SPLICING = "splicing"
    """Moving pages between pipes and files."""
    CONFINING = "confining"
    """More seccomp filters or Landlock domains: both stack, and both have had holes in stacking."""
    ADMINISTRATION = "administration"
    """Modules, swap, clocks, quotas, reboot, accounting."""
    PERSONALITY = "personality"
    """Execution domains and descriptor tables: no randomised addresses, mappings at zero."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Word:
    """The lower 32 bits of an argument, masked, are one of these values."""

    argument: int
    one_of: tuple[int, ...]
    mask: int = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True, kw_only=True)
class Null:
    """A pointer is null: both its words are nought."""

    argument: int


Check = Word | Null

OWN_PID = 0xFFFFFFF1
"""Stands for the process's own id in a check; no process can have it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Permission:
    """A call that is permitted when all checks of one alternative hold."""

    rule: Rule
    any_of: tuple[tuple[Check, ...], ...]


def _unmasked(argument: int, permitted: int) -> Word:
    """Return a check that no bit but the permitted ones is set."""
    return Word(argument=argument, one_of=(0,), mask=0xFFFFFFFF & ~permitted)


def _calls(names: str) -> frozenset[str]:
    return frozenset(names.split())


PERMITTED = _calls(
    """
    read write pread64 pwrite64 readv writev preadv pwritev lseek close dup dup2 dup3 pipe pipe2 eventfd2
    open openat stat lstat fstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents64 statfs fstatfs
    mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat ftruncate fsync fdatasync
    umask getcwd chdir fchdir
    epoll_create1 epoll_ctl epoll_wait epoll_pwait poll ppoll select pselect6
    connect shutdown getsockname getpeername
    mprotect munmap mremap brk
    set_robust_list set_tid_address rseq sched_yield sched_getparam sched_getscheduler getcpu
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time
    getpid gettid getppid getuid geteuid getgid getegid getgroups getrusage getrlimit times sysinfo uname getrandom
    execve exit exit_group
    """
)
"""Permitted with any arguments.

execve is how Node is started; what can be executed, the tree and Landlock decide. sched_getparam and
sched_getscheduler ask about a thread by its id, which cannot be checked; Abseil inside V8 complains on stderr without
them, and in gate mode they tell whether an id is in use.
"""

PERMITTED_UNLESS_GATE = _calls("chmod fchmod fchmodat fchmodat2 utimensat")
"""Permitted in a tree of one's own; refused (METADATA) where other files of the same uid can be named."""

# asm-generic/mman-common.h, linux/mman.h; special are GROWSDOWN, HUGETLB and SYNC
_PROT_WRITE, _MAP_SHARED, _MAP_PRIVATE, _MAP_TYPE, _MAP_ANONYMOUS = 2, 1, 2, 0xF, 0x20
_MAP_SPECIAL = 0x100 | 0x40000 | 0x80000

# linux/socket.h, asm-generic/socket.h, linux/in.h, linux/tcp.h, linux/in6.h
_AF_INET, _AF_INET6, _SOCK_STREAM = 2, 10, 1
_SOCK_FLAGS = 0o2000000 | 0o4000  # SOCK_CLOEXEC, SOCK_NONBLOCK
_SOL_SOCKET, _IPPROTO_IP, _IPPROTO_TCP, _IPPROTO_IPV6 = 1, 0, 6, 41
_MSG_PEEK, _MSG_TRUNC, _MSG_DONTWAIT, _MSG_WAITALL, _MSG_NOSIGNAL, _MSG_MORE = (
    2,
    0x20,
    0x40,
    0x100,
    0x4000,
    0x8000,
)


def _options(*by_level: tuple[int, tuple[int, ...]]) -> tuple[tuple[Check, ...], ...]:
    return tuple(
        (Word(argument=1, one_of=(level,)), Word(argument=2, one_of=options)) for level, options in by_level
    )


_ONLY_OWN = Word(argument=0, one_of=(0, OWN_PID))

# linux/sched.h. What pthread_create asks for, and nothing else: no CLONE_NEW*, no signal at its end, no pidfd.
_THREAD_FLAGS = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000  # VM, FS, FILES, SIGHAND, THREAD
_THREAD_EXTRAS = (
    0x40000 | 0x80000 | 0x100000 | 0x200000 | 0x400000
)  # SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID, DETACHED

CHECKED: Mapping[str, Permission] = {
    "socket": Permission(
        rule=Rule.SOCKET,
        any_of=(
            (
                Word(argument=0, one_of=(_AF_INET, _AF_INET6)),
                Word(argument=1, one_of=(_SOCK_STREAM,), mask=0xFFFFFFFF & ~_SOCK_FLAGS),
                Word(argument=2, one_of=(0, _IPPROTO_TCP)),
            ),
        ),
    ),
    "sendto": Permission(
        rule=Rule.SENDING,
        any_of=((Null(argument=4), _unmasked(3, _MSG_DONTWAIT | _MSG_NOSIGNAL | _MSG_MORE)),),
    ),
    "recvfrom": Permission(
        rule=Rule.SENDING,
        any_of=((_unmasked(3, _MSG_PEEK | _MSG_TRUNC | _MSG_DONTWAIT | _MSG_WAITALL | _MSG_NOSIGNAL),),),
    ),
    "setsockopt": Permission(
        rule=Rule.SOCKET_OPTIONS,
        any_of=_options(
            # REUSEADDR, SNDBUF, RCVBUF, KEEPALIVE, and RCVTIMEO, SNDTIMEO with old and 64-bit times. Never LINGER: the gate
            # may be the last to close a socket, and would wait for its other side as long as the process said.
            (_SOL_SOCKET, (2, 7, 8, 9, 20, 21, 66, 67)),
            # NODELAY, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, LINGER2, QUICKACK, USER_TIMEOUT, NOTSENT_LOWAT
            (_IPPROTO_TCP, (1, 3, 4, 5, 6, 8, 12, 18, 25)),
            (_IPPROTO_IP, (1,)),  # TOS
            (_IPPROTO_IPV6, (26, 67)),  # V6ONLY, TCLASS
        ),
    ),
    "getsockopt": Permission(
        rule=Rule.SOCKET_OPTIONS,
        any_of=_options(
            # The same, and TYPE, ERROR, ACCEPTCONN, PROTOCOL, DOMAIN. Never PEERCRED, PEERSEC or PEERPIDFD of the channel.
            (_SOL_SOCKET, (2, 3, 4, 7, 8, 9, 13, 20, 21, 30, 38, 39, 66, 67)),
            (_IPPROTO_TCP, (1, 2, 3, 4, 5, 6, 8, 11, 12, 18, 25)),  # and MAXSEG, INFO; never ZEROCOPY_RECEIVE
            (_IPPROTO_IP, (1,)),
            (_IPPROTO_IPV6, (26, 67)),
        ),
    ),
    "clone": Permission(
        rule=Rule.PROCESSES,
        any_of=((Word(argument=0, one_of=(_THREAD_FLAGS,), mask=0xFFFFFFFF & ~_THREAD_EXTRAS),),),
    ),
    # Not (-1), not 0 (the group): the process itself. Thread ids are not checked: they are its own threads'.
    "kill": Permission(rule=Rule.SIGNALS, any_of=((Word(argument=0, one_of=(OWN_PID,)),),)),
    "tgkill": Permission(rule=Rule.SIGNALS, any_of=((Word(argument=0, one_of=(OWN_PID,)),),)),
    "prctl": Permission(
        rule=Rule.PRCTL,
        any_of=(
            (Word(argument=0, one_of=(15, 16)),),  # SET_NAME, GET_NAME
            (Word(argument=0, one_of=(0x53564D41,)), Word(argument=1, one_of=(0,))),  # SET_VMA, ANON_NAME
        ),
    ),
    "arch_prctl": Permission(rule=Rule.ARCH_PRCTL, any_of=((Word(argument=0, one_of=(0x1002,)),),)),  # SET_FS
    "ioctl": Permission(  # TCGETS (isatty), FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
        rule=Rule.DEVICE_CONTROL,
        any_of=((Word(argument=1, one_of=(0x5401, 0x541B, 0x5421, 0x5450, 0x5451)),),),
    ),
    "fcntl": Permission(  # DUPFD, GETFD, SETFD, GETFL, SETFL, GETLK, SETLK, SETLKW, OFD locks, DUPFD_CLOEXEC
        rule=Rule.DESCRIPTOR_CONTROL,
        any_of=((Word(argument=1, one_of=(0, 1, 2, 3, 4, 1030)),),),
    ),
    "prlimit64": Permission(rule=Rule.RESOURCE_LIMITS, any_of=((_ONLY_OWN, Null(argument=2)),)),
    "sched_getaffinity": Permission(rule=Rule.SCHEDULING, any_of=((_ONLY_OWN,),)),
    "getpriority": Permission(  # PRIO_PROCESS
        rule=Rule.SCHEDULING,
        any_of=((Word(argument=0, one_of=(0,)), Word(argument=1, one_of=(0, OWN_PID))),),
    ),
    # RLIMIT_DATA, the bound of memory where there is no cgroup, does not count shared mappings and stacks. So a mapping is
    # private and does not grow down, or it is shared, of a file, and not writable. Never MAP_HUGETLB or MAP_SYNC.
    "mmap": Permission(
        rule=Rule.MAPPING,
        any_of=(
            (Word(argument=3, one_of=(_MAP_PRIVATE,), mask=_MAP_TYPE | _MAP_SPECIAL),),
            (
                Word(argument=3, one_of=(_MAP_SHARED,), mask=_MAP_TYPE | _MAP_SPECIAL | _MAP_ANONYMOUS),
                Word(argument=2, one_of=(0,), mask=_PROT_WRITE),
            ),
        ),
    ),
    "futex": Permission(  # WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET; PRIVATE, CLOCK_REALTIME
        rule=Rule.FUTEXES,
        any_of=((Word(argument=1, one_of=(0, 1, 3, 4, 5, 9, 10), mask=0xFFFFFFFF & ~(128 | 256)),),),
    ),
    "madvise": Permission(  # NORMAL to DONTNEED, FREE, DONTFORK, DOFORK, (NO)HUGEPAGE, DO(NT)DUMP, GUARD_*
        rule=Rule.MEMORY_ADVICE,
        any_of=((Word(argument=2, one_of=(0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 102, 103)),),),
    ),
}
"""Permitted with checked arguments."""

REFUSED: Mapping[Rule, frozenset[str]] = {
    rule: _calls(names)
    for rule, names in {
        Rule.SOCKETPAIR: "socketpair",
        Rule.SERVING: "bind listen accept accept4",
        Rule.MESSAGES: "sendmsg sendmmsg recvmsg recvmmsg",
        Rule.PROCESSES: "fork vfork wait4 waitid",
        Rule.NEW_STYLE_CLONE: "clone3",
        Rule.EXECUTION_BY_DESCRIPTOR: "execveat",
        Rule.SIGNALS: "tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal",
        Rule.RESOURCE_LIMITS: "setrlimit",
        Rule.SCHEDULING: "setpriority sched_setaffinity sched_setscheduler sched_setparam sched_setattr sched_getattr "
        "ioprio_set ioprio_get mbind set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages",
        Rule.MEMORY_ADVICE: "process_madvise process_mrelease mincore mlock mlock2 mlockall munlock munlockall "
        "cachestat remap_file_pages fadvise64 readahead",
        Rule.MEMORY_FILES: "memfd_create memfd_secret",
        Rule.METADATA: "truncate utime utimes futimesat",
        Rule.OWNERSHIP: "chown fchown lchown fchownat setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr "
        "fremovexattr removexattrat getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat "
        "file_getattr file_setattr flock mknod mknodat",
        Rule.IDENTITY: "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capget capset "
        "setsid setpgid add_key request_key keyctl lsm_get_self_attr lsm_set_self_attr lsm_list_modules",
        Rule.INTROSPECTION: "ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd kcmp get_robust_list",
        Rule.KERNEL_PROGRAMS: "bpf perf_event_open io_uring_setup io_uring_enter io_uring_register userfaultfd "
        "io_setup io_submit io_destroy io_getevents io_cancel io_pgetevents uretprobe uprobe",
        Rule.MOUNTING: "mount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick "
        "mount_setattr statmount listmount",
        Rule.NAMESPACES: "unshare setns listns",
        Rule.FILE_HANDLES: "name_to_handle_at open_by_handle_at",
        Rule.WATCHING: "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init fanotify_mark",
        Rule.SHARED_MEMORY: "shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open "
        "mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr",
        Rule.SPLICING: "splice vmsplice tee sendfile copy_file_range",
        Rule.CONFINING: "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
        Rule.ADMINISTRATION: "init_module finit_module delete_module create_module kexec_load kexec_file_load swapon swapoff "
        "reboot acct quotactl quotactl_fd settimeofday adjtimex clock_settime clock_adjtime syslog sethostname "
        "setdomainname vhangup iopl ioperm sync syncfs nfsservctl lookup_dcookie",
        Rule.PERSONALITY: "personality modify_ldt set_thread_area get_thread_area map_shadow_stack",
    }.items()
}
"""Refused whatever the arguments; calls that no rule names are OTHER."""

_NETWORK = (Rule.SOCKET, Rule.SOCKETPAIR, Rule.SERVING)
ERROR_OF_RULE: Mapping[Rule, int] = dict.fromkeys(_NETWORK, errno.EACCES) | {Rule.UNKNOWN: errno.ENOSYS}
"""What a refused call returns; EPERM where nothing is said."""

ERROR_OF_CALL: Mapping[str, int] = {
    # "Not in this kernel" makes the callers take another road, which EPERM does not.
    "clone3": errno.ENOSYS,
    "io_uring_setup": errno.ENOSYS,
    "copy_file_range": errno.ENOSYS,
    "membarrier": errno.ENOSYS,
    "mseal": errno.ENOSYS,
    "openat2": errno.ENOSYS,
    # libuv copies by read and write after these.
    "sendfile": errno.EINVAL,
}
"""Calls that return something else than their rule says."""
