"""Messages between host, supervisor and zygote: JSON objects with descriptors, one per packet.

The sockets are AF_UNIX SEQPACKET pairs that only our own processes hold; what comes through them is taken at its word.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

MAX_MESSAGE_BYTES = 128 * 1024
"""Longest message of the host; a policy with a thousand names has a tenth of that."""
_PACKET_BYTES = MAX_MESSAGE_BYTES + 4096
"""Longest packet: what is passed on grows a little."""
_MAX_DESCRIPTORS = 4


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a packet socket."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _PACKET_BYTES)
    return ends


def encode(message: Mapping[str, Any], *, most_bytes: int = _PACKET_BYTES) -> bytes:
    """Return the packet of a message.

    Raises:
        ValueError: it is too long.
    """
    packet = json.dumps(message, separators=(",", ":")).encode()
    if len(packet) > most_bytes:
        raise ValueError(f"A message of {len(packet)} bytes; at most {most_bytes} are allowed.")
    return packet


def send(end: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send a message; blocks, or raises BlockingIOError, as the socket is set."""
    send_packet(end, encode(message), descriptors)


def send_packet(end: socket.socket, packet: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send what ``encode`` made."""
    ancillary = []
    if descriptors:
        ancillary.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)))
    end.sendmsg([packet], ancillary)


def receive_packet(end: socket.socket) -> tuple[bytes, list[int]]:
    """Return the next packet and the descriptors that came with it; an empty packet means that the other end closed."""
    numbers = array.array("i")
    packet, ancillary, _flags, _address = end.recvmsg(
        _PACKET_BYTES, socket.CMSG_SPACE(_MAX_DESCRIPTORS * numbers.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return packet, list(numbers)


def receive(end: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Return the next message, None when the other end closed, and the descriptors that came with it."""
    packet, descriptors = receive_packet(end)
    if not packet:
        for descriptor in descriptors:
            os.close(descriptor)
        return None, []
    return json.loads(packet), descriptors
