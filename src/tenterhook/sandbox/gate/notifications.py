"""Seccomp's user notifications: a system call of another process, waiting for our answer.

    receive ─► read what it points at ─► still waiting? ─► put a descriptor in ─► answer

The structures and numbers are those of ``linux/seccomp.h``. An ioctl number is made of direction, size, type and
number in the same way on x86_64 and arm64 (both use ``asm-generic/ioctl.h``), so one set serves both.

There is no ``SECCOMP_USER_NOTIF_FLAG_CONTINUE`` here, and none may come: the kernel would read the arguments again
from memory that another thread of the process has changed meanwhile. Whatever is done, we do, with our own copy.

A waiting call can vanish at any moment: its thread was killed, or interrupted by a signal (it may then come again, as
a new notification with a new id). ``receive``, ``put_descriptor`` and ``answer`` say so by an ``OSError`` with
``ENOENT``; what happened to the process between is its own affair.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import fcntl
import os
import struct

from tenterhook.sandbox.jail import libc
from tenterhook.sandbox.jail.syscalls import current_architecture

_SECCOMP_GET_NOTIF_SIZES = 3
RECEIVE, SEND, ID_VALID, ADDFD, SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103, 0x40082104
_SYNCHRONOUS_WAKE_UP = 1
_ADDFD_SETFD = 1

# struct seccomp_notif: id, pid, flags; struct seccomp_data: nr, arch, instruction pointer, six arguments.
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_DESCRIPTOR = struct.Struct("=QIIII")
_ID = struct.Struct("=Q")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """A system call that waits for an answer."""

    id: int
    """Its cookie; valid as long as the call waits."""
    thread: int
    """The calling thread, numbered as this process sees it; 0 where it cannot be seen."""
    number: int
    """The system call."""
    audit_arch: int
    """``AUDIT_ARCH_*`` of the call."""
    arguments: tuple[int, ...]
    """Its six registers, unsigned. Pointers point into memory that may change at any moment."""


def _kernel_size() -> int:
    """Return how large the kernel's ``struct seccomp_notif`` is; it may have grown beyond ours."""
    sizes = ctypes.create_string_buffer(6)
    number = current_architecture().table["seccomp"]
    libc.check(libc.syscall(number, _SECCOMP_GET_NOTIF_SIZES, 0, sizes), "seccomp GET_NOTIF_SIZES")
    return max(int(struct.unpack("=HHH", sizes.raw)[0]), _NOTIFICATION.size)


class Listener:
    """The descriptor on which the notifications of one filter arrive. It is owned from here on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._blank = bytes(_kernel_size())
        with contextlib.suppress(OSError):  # since Linux 6.6
            # Caller and answerer never run at the same time: tell the scheduler, so that neither waits for a
            # processor that the other one is just leaving.
            fcntl.ioctl(descriptor, SET_FLAGS, _SYNCHRONOUS_WAKE_UP)
        # The size is part of the ioctl's number; the kernel takes the number it was built with.
        self._receive = (RECEIVE & ~(0x3FFF << 16)) | (len(self._blank) << 16)

    def fileno(self) -> int:
        """Return the descriptor, to wait for it to be readable."""
        return self._descriptor

    def receive(self) -> Notification | None:
        """Take a notification; None when the call that made the listener readable has vanished.

        Only to be called when the listener is readable, and by one thread: otherwise it waits.
        """
        buffer = bytearray(self._blank)  # the kernel insists on zeros
        try:
            fcntl.ioctl(self._descriptor, self._receive, buffer)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EINTR}:
                return None
            raise
        cookie, thread, _, number, arch, _, *arguments = _NOTIFICATION.unpack_from(buffer)
        return Notification(
            id=cookie, thread=thread, number=number, audit_arch=arch, arguments=tuple(arguments)
        )

    def waits(self, notification: Notification) -> bool:
        """Say whether the call still waits; what was read of its process before is then really its own."""
        try:
            fcntl.ioctl(self._descriptor, ID_VALID, _ID.pack(notification.id))
        except OSError:
            return False
        return True

    def put_descriptor(self, notification: Notification, source: int, *, at: int) -> None:
        """Put our descriptor ``source`` into the waiting process as its number ``at``, replacing what was there.

        Like all that we put in, it is closed by execve.

        Waits until the waiting thread itself has run and taken it.
        """
        request = _DESCRIPTOR.pack(notification.id, _ADDFD_SETFD, source, at, os.O_CLOEXEC)
        fcntl.ioctl(self._descriptor, ADDFD, request)

    def answer(self, notification: Notification, error: int) -> None:
        """Let the call return 0, or -1 with the errno ``error``."""
        fcntl.ioctl(self._descriptor, SEND, _RESPONSE.pack(notification.id, 0, -error, 0))

    def close(self) -> None:
        """Close; calls that wait, and later ones, fail with ENOSYS."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
