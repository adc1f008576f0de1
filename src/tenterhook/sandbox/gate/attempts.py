"""Connections on their way: those a thread waits for, and those a process waits for by itself.

- **awaited**: the process's socket is blocking, so its thread stands still until we answer. The socket is ours alone
  until it is connected; then it is put in and the call returns 0.
- **watched**: the process's socket does not block; it has the connecting socket already and was told ``EINPROGRESS``.
  We keep a second descriptor only to say later whether the other side ever took the connection, since nothing can have
  left the machine before that. It is let go as soon as that is known.

Of a watched socket only ``TCP_INFO`` is read. ``SO_ERROR`` would be taken away from the process by reading it.
"""

from __future__ import annotations

import dataclasses
import errno
import select
import socket
import struct
import time
from collections.abc import Callable

from tenterhook.sandbox.gate.notifications import Notification

MAX_AWAITED = 32
"""Blocking connects of one process at a time; each holds one of its threads."""
MAX_WATCHED = 32
"""Descriptors that we keep for one process; beyond them, and beyond the time, the outcome stays unknown."""
AWAIT_SECONDS = 30.0
"""How long a blocking connect may take; the kernel itself would go on for two minutes."""
WATCH_SECONDS = 30.0
"""How long we keep a descriptor for the outcome's sake."""
_CHECK_SECONDS = 1.0
"""How often we look whether the thread of an awaited connection still waits (a signal may have called it away)."""

_SYN_SENT, _CLOSE = 2, 7  # net/tcp_states.h
_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120  # struct tcp_info, since Linux 4.1
_TCP_INFO_LENGTH = _BYTES_ACKED_AT + _BYTES_ACKED.size


def state(tcp: socket.socket) -> int:
    """Return the state of a TCP socket (net/tcp_states.h)."""
    return tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def progress(tcp: socket.socket) -> int:
    """Return what connect(2) says to a socket that is not fresh: ``EALREADY``, ``EISCONN``, or 0 for a fresh one."""
    now = state(tcp)
    if now == _CLOSE:
        return 0
    return errno.EALREADY if now == _SYN_SENT else errno.EISCONN


def was_established(tcp: socket.socket) -> bool:
    """Say whether the other side has taken the connection, even if it is over by now.

    A closed socket tells by the bytes that were acknowledged: our SYN counts as one.
    """
    info = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_LENGTH)
    if info[0] not in {_SYN_SENT, _CLOSE}:
        return True
    return bool(_BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0] > 0)


def outcome(tcp: socket.socket, error: int) -> bool | None:
    """Return whether a watched connection was established; ``error`` is what ``Attempt.finish`` was called with."""
    if was_established(tcp):
        return True
    still_on_its_way = state(tcp) == _SYN_SENT
    return None if still_on_its_way and error != errno.ESRCH else False


@dataclasses.dataclass(kw_only=True, slots=True)
class Attempt:
    """A connection on its way."""

    socket: socket.socket
    """Ours, or our second descriptor of the process's."""
    deadline: float
    """When we stop, on the monotonic clock."""
    finish: Callable[[int], None]
    """Awaited: called with 0 or the errno, while the socket is still open."""
    waiting: Notification | None
    """The call that waits; None when the connection is only watched."""


class Attempts:
    """All connections on their way of one process, in one epoll. Used by the gate's thread alone."""

    def __init__(self, epoll: select.epoll, still_waits: Callable[[Notification], bool]) -> None:
        self._epoll = epoll
        self._still_waits = still_waits
        self._by_descriptor: dict[int, Attempt] = {}
        self._checked_at = time.monotonic()
        self.awaited = 0
        """How many threads of the process stand still."""

    def __len__(self) -> int:
        return len(self._by_descriptor)

    @property
    def can_watch(self) -> bool:
        """Whether one more may be watched."""
        return len(self._by_descriptor) - self.awaited < MAX_WATCHED

    def add(self, attempt: Attempt) -> None:
        """Take an attempt, and its socket."""
        self._by_descriptor[attempt.socket.fileno()] = attempt
        self.awaited += attempt.waiting is not None
        self._epoll.register(attempt.socket.fileno(), select.EPOLLOUT | select.EPOLLONESHOT)

    def ready(self, descriptor: int) -> None:
        """Finish the attempt whose socket has become writable, or has failed."""
        attempt = self._by_descriptor.get(descriptor)
        if attempt is not None:
            self._finish(attempt, None)

    def expire(self) -> None:
        """Finish what has taken too long; forget what nobody waits for any more."""
        now = time.monotonic()
        check = now - self._checked_at >= _CHECK_SECONDS
        if check:
            self._checked_at = now
        for attempt in list(self._by_descriptor.values()):
            if now >= attempt.deadline:
                self._finish(attempt, errno.ETIMEDOUT)
            elif check and attempt.waiting is not None and not self._still_waits(attempt.waiting):
                self._finish(attempt, errno.EINTR)

    def next_deadline(self) -> float | None:
        """Return after how many seconds to call ``expire``."""
        if not self._by_descriptor:
            return None
        first = min(attempt.deadline for attempt in self._by_descriptor.values()) - time.monotonic()
        return max(0.0, min(first, _CHECK_SECONDS) if self.awaited else first)

    def _finish(self, attempt: Attempt, error: int | None) -> None:
        del self._by_descriptor[attempt.socket.fileno()]
        self.awaited -= attempt.waiting is not None
        self._epoll.unregister(attempt.socket.fileno())
        with attempt.socket:
            if attempt.waiting is not None and error is None:
                # Nobody else has this socket yet, so its error is ours to take.
                error = attempt.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            attempt.finish(error or 0)

    def close(self, *, process_ended: bool) -> None:
        """Finish all, with ``ESRCH`` when the process has ended, so that nothing of its can follow."""
        for attempt in list(self._by_descriptor.values()):
            self._finish(attempt, errno.ESRCH if process_ended else errno.ECONNABORTED)
