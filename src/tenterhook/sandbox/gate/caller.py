"""The process whose call waits: its memory, its descriptors, its socket. All of it is what an attacker says it is.

Nothing here waits for a lock of ours, but reading memory takes the process's own ``mmap_lock``; whoever holds that
(another of its threads, throttled by a cgroup) makes the reader wait. Hence the gate's thread per process.

A file descriptor is looked up by its number while other threads of the process may close it and open another one.
What we learn of it decides nothing about *where* a connection may go; it decides what the process itself gets back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from pathlib import Path

from tenterhook.sandbox.jail import libc
from tenterhook.sandbox.jail.syscalls import current_architecture


class _Span(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
_read = _libc.process_vm_readv
_read.argtypes = (
    ctypes.c_int,
    ctypes.POINTER(_Span),
    ctypes.c_ulong,
    ctypes.POINTER(_Span),
    ctypes.c_ulong,
    ctypes.c_ulong,
)
_read.restype = ctypes.c_ssize_t


def read_memory(thread: int, address: int, length: int) -> bytes:
    """Return bytes of a thread's memory.

    The number of a thread that has ended may be another's: ask afterwards whether the call still waits.

    Raises:
        OSError: ``EFAULT`` where the memory is not all there, ``ESRCH`` where there is no thread, ``EPERM``.
    """
    buffer = ctypes.create_string_buffer(length)
    ours = _Span(ctypes.addressof(buffer), length)
    theirs = _Span(address, length)
    done = _read(thread, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
    if libc.check(done, "process_vm_readv") < length:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
    return buffer.raw


class Caller:
    """The process behind a listener."""

    def __init__(self, pid: int) -> None:
        """Take hold of the process; that its number may be given to another later does not matter then.

        Raises:
            ProcessLookupError: it has ended.
        """
        self.pid = pid
        self._process = os.pidfd_open(pid)
        self._pidfd_getfd = current_architecture().table["pidfd_getfd"]

    def has_thread(self, thread: int) -> bool:
        """Say whether a thread belongs to this process, and not to one that it started."""
        return thread == self.pid or (thread > 0 and Path(f"/proc/{self.pid}/task/{thread}").exists())

    def socket(self, number: int) -> socket.socket | None:
        """Return a second descriptor, ours, of what the process has open as ``number``.

        None where the kernel lets us not (no ``CAP_SYS_PTRACE`` over it, or a security module says no).

        Raises:
            OSError: as connect(2) would say: ``EBADF``, ``ENOTSOCK``; ``ESRCH`` when the process has ended.
        """
        try:
            descriptor = libc.check(libc.syscall(self._pidfd_getfd, self._process, number, 0), "pidfd_getfd")
        except OSError as error:
            if error.errno in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
                return None
            raise
        try:
            return socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            raise

    def blocks(self, number: int) -> bool:
        """Say whether a descriptor of the process lacks ``O_NONBLOCK``, where ``socket`` cannot show it.

        Raises:
            OSError: there is no such descriptor, or no process, or /proc does not show it.
        """
        try:
            text = Path(f"/proc/{self.pid}/fdinfo/{number}").read_bytes()
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
        flags = next(line for line in text.splitlines() if line.startswith(b"flags:"))
        return not int(flags[6:], 8) & os.O_NONBLOCK

    def sockets(self) -> frozenset[int]:
        """Return the inodes of all sockets that the process has open.

        Raises:
            OSError: the process has ended, or /proc does not show it.
        """
        folder = f"/proc/{self.pid}/fd"
        found = set()
        for name in os.listdir(folder):  # noqa: PTH208 - hundreds of entries, many times a second in a flood
            try:
                target = os.readlink(f"{folder}/{name}")  # noqa: PTH115 - as above
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
        return frozenset(found)

    def close(self) -> None:
        """Let go of the process."""
        if self._process >= 0:
            os.close(self._process)
            self._process = -1


def is_tcp(theirs: socket.socket) -> bool:
    """Say whether a socket is TCP, and nothing that speaks like it (MPTCP, SMC, SCTP)."""
    return theirs.type == socket.SOCK_STREAM and theirs.proto == socket.IPPROTO_TCP
