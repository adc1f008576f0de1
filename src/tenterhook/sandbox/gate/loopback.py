"""Two ends of a TCP connection within this machine: what a process gets for its name server.

It has to be TCP. Tried with Node 24: glibc takes a Unix socket pair in place of its TCP socket, but c-ares reads its
own address from the socket after connecting and gives up with ``ECONNREFUSED`` where that is no IP address.
"""

from __future__ import annotations

import socket
import struct

_HOST = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("@ii", 1, 0)
BUFFER_BYTES = 64 * 1024
"""What our end keeps in the kernel, each way: a process that asks and does not listen costs no more."""
_PATIENCE_SECONDS = 1.0
"""Connecting to oneself takes microseconds; this bounds the case of a listener that strangers crowd."""


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return the process's end and ours.

    For a moment a port of loopback listens, so another program of the machine can connect to it: taken is only the
    connection whose other side has the number of our own socket. The process's end is reset when it is closed; else
    every question to the DNS would keep a port of the machine's for a minute (``TIME_WAIT``).

    Raises:
        OSError: out of descriptors or ports, or a stranger was in the way for a whole second.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            listener.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)  # what it accepts inherits it
        listener.bind((_HOST, 0))
        listener.listen(4)
        listener.settimeout(_PATIENCE_SECONDS)
        inside = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            inside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            inside.settimeout(_PATIENCE_SECONDS)
            inside.connect(listener.getsockname())
            name = inside.getsockname()
            while True:
                ours, peer = listener.accept()
                if peer == name:
                    return inside, ours
                ours.close()
        except BaseException:
            inside.close()
            raise
