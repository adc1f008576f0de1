"""Options that a process set on its socket before connect(2), carried over to the one it is given instead.

Copied is what a program sets for its own good. Not copied is what chooses a way or an identity: interface, mark,
source address, ``SO_LINGER`` (whoever closes last waits, and that may be we), ``IP_OPTIONS`` (source routes), fast open, filters, congestion control. What is not in the table is left
at the kernel's default.
"""

from __future__ import annotations

import functools
import socket
import struct

BUFFER_BYTES = 128 * 1024
"""Of each direction of a connection: the socket is made by us, so no limit of the process counts what the kernel keeps for it."""
MOST_BUFFER_BYTES = 256 * 1024
"""What a process may ask for."""
_SO_BUF_LOCK = 72
"""Which of the buffers' sizes was set by hand (Linux 5.14); linux/socket.h."""
_LOCKED = ((1, socket.SO_SNDBUF), (2, socket.SO_RCVBUF))
_INT = struct.Struct("=i")

# The numbers that Python has no name for are from linux/in.h, linux/in6.h and linux/tcp.h.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_TCLASS = 10, 23, 67

_OPTIONS: tuple[tuple[int, int, int], ...] = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 4),
    (socket.SOL_SOCKET, socket.SO_REUSEADDR, 4),
    (socket.SOL_SOCKET, socket.SO_OOBINLINE, 4),
    (socket.SOL_SOCKET, socket.SO_RCVLOWAT, 4),
    (socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16),
    (socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 4),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 4),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 4),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_SYNCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_LINGER2, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 4),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 4),
    # Last of TCP's: with it, what is sent is held back, and the others should already hold.
    (socket.IPPROTO_TCP, socket.TCP_CORK, 4),
)
_OF_FAMILY: dict[int, tuple[tuple[int, int, int], ...]] = {
    socket.AF_INET: (
        (socket.IPPROTO_IP, socket.IP_TOS, 4),
        (socket.IPPROTO_IP, socket.IP_TTL, 4),
        (socket.IPPROTO_IP, _IP_MTU_DISCOVER, 4),
    ),
    socket.AF_INET6: (
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 4),
        (socket.IPPROTO_IPV6, _IPV6_TCLASS, 4),
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 4),
        (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, 4),
    ),
}


@functools.cache
def _defaults(family: int) -> tuple[tuple[int, int, int, bytes], ...]:
    """Return the options of a family with what a new socket of ours has; the few set ones are told by it."""
    with socket.socket(family, socket.SOCK_STREAM) as fresh:
        return tuple(
            (level, option, size, fresh.getsockopt(level, option, size))
            for level, option, size in (*_OPTIONS, *_OF_FAMILY[family])
        )


def carry_over(theirs: socket.socket, ours: socket.socket) -> None:
    """Set on our socket what differs on theirs from a new socket.

    A value that the kernel took from the process and does not take from us is left out: nothing to refuse a
    connection for.
    """
    for level, option, size, default in _defaults(ours.family):
        value = theirs.getsockopt(level, option, size)
        if value != default:
            _set(ours, level, option, value)
    by_hand = _buffers_set_by_hand(theirs)
    for bit, option in _LOCKED:
        size = BUFFER_BYTES
        if by_hand & bit:
            # The kernel doubles what is set and tells the double.
            (doubled,) = _INT.unpack(theirs.getsockopt(socket.SOL_SOCKET, option, _INT.size))
            size = min(doubled // 2, MOST_BUFFER_BYTES)
        _set(ours, socket.SOL_SOCKET, option, _INT.pack(size))


def _buffers_set_by_hand(theirs: socket.socket) -> int:
    """Return the bits of ``SO_BUF_LOCK``; on kernels before 5.14 none, so that the kernel goes on tuning them."""
    try:
        return theirs.getsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK)
    except OSError:
        return 0


def _set(ours: socket.socket, level: int, option: int, value: bytes) -> None:
    try:
        ours.setsockopt(level, option, value)
    except OSError:
        return
