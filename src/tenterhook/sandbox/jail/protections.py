"""What protects the host from a Node process, one name for each thing that can be taken away, but for one.

All of them are on, always. A test that shows an attempt to fail takes the protection away and shows it to succeed; it
passes ``removed`` to the constructor of the pool. No setting, environment variable or command line reaches that.
"""

from __future__ import annotations

import enum


class Protection(enum.StrEnum):
    """One protection; its sentence says what it does."""

    MOUNT_NAMESPACE = "mount_namespace"
    """The process sees a tree of its own, with only what Node needs."""
    PID_NAMESPACE = "pid_namespace"
    """The process sees no other process, and nothing outlives it."""
    NETWORK_NAMESPACE = "network_namespace"
    """The process has no network but the connections that were handed to it."""
    IPC_NAMESPACE = "ipc_namespace"
    """Shared memory, semaphores and queues of others have no name inside."""
    UTS_NAMESPACE = "uts_namespace"
    """The host's name is not known inside."""
    READ_ONLY_TREE = "read_only_tree"
    """Nothing in the tree but the scratch folder can be written."""
    NO_EXEC_SCRATCH = "no_exec_scratch"
    """Nothing written to the scratch folder can be run or mapped as code."""
    SCRATCH_SIZE = "scratch_size"
    """The scratch folder holds a limited number of bytes and files."""
    NO_PROC = "no_proc"
    """There is no /proc inside."""
    LANDLOCK = "landlock"
    """The kernel's second opinion on files, TCP ports, abstract sockets and signals."""
    SECCOMP = "seccomp"
    """Only the system calls that Node needs, with checked arguments."""
    CONNECT_GATE = "connect_gate"
    """connect(2) is answered by the supervisor."""
    EGRESS_POLICY = "egress_policy"
    """The supervisor refuses addresses that are not permitted."""
    NO_NEW_PRIVILEGES = "no_new_privileges"
    """Set-uid programs and file capabilities give nothing. Stays where it is removed, but in unsafe mode: the kernel takes
    Landlock and filters of a process without capabilities only after it."""
    CAPABILITIES = "capabilities"
    """No capability is left, and none can be had again."""
    OWN_UID = "own_uid"
    """As root: a user id that nobody else has."""
    MEMORY_LIMIT = "memory_limit"
    """RLIMIT_DATA bounds what can be allocated."""
    THREADS_LIMIT = "threads_limit"
    """RLIMIT_NPROC bounds the threads."""
    OPEN_FILES_LIMIT = "open_files_limit"
    """RLIMIT_NOFILE bounds the descriptors."""
    FILE_SIZE_LIMIT = "file_size_limit"
    """RLIMIT_FSIZE bounds one file."""
    CGROUP = "cgroup"
    """Memory, processes and processor time are bounded by the kernel as a whole."""
    PARENT_DEATH_SIGNAL = "parent_death_signal"
    """The process is killed when the one that started it ends."""
    CLOSED_DESCRIPTORS = "closed_descriptors"
    """No descriptor but the channel is inherited."""
    CLEAN_ENVIRONMENT = "clean_environment"
    """No variable of the host's environment is inherited."""
    TENANT_MODULES = "tenant_modules"
    """Only the module sets of the process's own tenant are mounted, or readable; without it all of the store are."""


NONE_REMOVED: frozenset[Protection] = frozenset()
