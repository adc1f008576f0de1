"""Where a connect(2) wants to go: the bytes of its ``sockaddr``, read once and judged as a value of ours."""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import socket
import struct
from ipaddress import IPv4Address, IPv6Address

LONGEST = 128
"""``sizeof(struct sockaddr_storage)``; the kernel takes no longer one."""

_FAMILY = struct.Struct("=H")
_NSCD = b"/var/run/nscd/socket\0"
"""glibc asks there before it asks the DNS, and goes on when there is nobody: nothing that a hook did."""
_IPV4 = struct.Struct(">2xH4s")
_IPV6 = struct.Struct(">2xH4x16s")
_SCOPE = struct.Struct("=I")
# The kernel's own minimum lengths: sizeof(struct sockaddr_in) and SIN6_LEN_RFC2133, a sockaddr without the scope.
_IPV4_LENGTH, _IPV6_LENGTH, _SCOPE_AT = 16, 24, 24


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """A numeric address and a port, as they stood in the sockaddr (a v4-mapped address stays one of IPv6)."""

    family: socket.AddressFamily
    """``AF_INET`` or ``AF_INET6``."""
    address: IPv4Address | IPv6Address
    """Without a scope."""
    port: int
    """0 is possible."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Unserved:
    """A sockaddr that cannot be judged, and is refused."""

    errno: int
    """What the call fails with."""
    what: str
    """What it was, in place of an address."""
    explanation: str | None = None
    """Set when it was an attempt worth telling, not just a wrong argument."""


def parse(raw: bytes) -> Destination | Unserved:
    """Return the destination that a sockaddr of at most ``LONGEST`` bytes names."""
    if len(raw) < _FAMILY.size:
        return _TOO_SHORT
    (family,) = _FAMILY.unpack_from(raw)
    if family == socket.AF_INET:
        return _parse_ipv4(raw)
    if family == socket.AF_INET6:
        return _parse_ipv6(raw)
    return _unserved(family, raw)


_TOO_SHORT = Unserved(errno=errno.EINVAL, what="too short")


def _parse_ipv4(raw: bytes) -> Destination | Unserved:
    if len(raw) < _IPV4_LENGTH:
        return _TOO_SHORT
    port, packed = _IPV4.unpack_from(raw)
    return Destination(family=socket.AF_INET, address=ipaddress.IPv4Address(packed), port=port)


def _parse_ipv6(raw: bytes) -> Destination | Unserved:
    if len(raw) < _IPV6_LENGTH:
        return _TOO_SHORT
    port, packed = _IPV6.unpack_from(raw)
    address = ipaddress.IPv6Address(packed)
    if len(raw) >= _SCOPE_AT + _SCOPE.size and _SCOPE.unpack_from(raw, _SCOPE_AT) != (0,):
        # A scope chooses a network interface: only addresses of the local network have one.
        return Unserved(
            errno=errno.EACCES,
            what=str(address),
            explanation="Hooks cannot connect to an address with a scope: it belongs to the local network.",
        )
    return Destination(family=socket.AF_INET6, address=address, port=port)


def _unserved(family: int, raw: bytes) -> Unserved:
    if family == socket.AF_UNIX:
        of_libc = raw[_FAMILY.size :].startswith(_NSCD)
        return Unserved(
            errno=errno.EACCES,
            what="AF_UNIX",
            explanation=None
            if of_libc
            else "Hooks cannot connect to Unix sockets: they lead to other programs of the machine.",
        )
    if family == socket.AF_UNSPEC:
        return Unserved(
            errno=errno.EAFNOSUPPORT,
            what="AF_UNSPEC",
            explanation="Hooks cannot take a connection back from a socket; close it and make another.",
        )
    return Unserved(
        errno=errno.EAFNOSUPPORT,
        what=f"address family {family}",
        explanation="Hooks can connect over IPv4 and IPv6 only.",
    )
