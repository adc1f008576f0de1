"""Addresses: one address has one form here, and IPv4 addresses are found wherever IPv6 can hide them.

An IPv4-mapped address (``::ffff:10.0.0.1``) *is* its inner IPv4 address: the kernel sends IPv4. So it is replaced by
it before anything else looks (``canonical``), grants and lists included. Every other form that carries an IPv4 address
stays IPv6, and whoever judges it also looks at ``inner_addresses``: some gateway would take it out again.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_IPV4_COMPATIBLE = IPv6Network("::/96")
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")
_IPV4_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_TEREDO = IPv6Network("2001::/32")
_SIX_TO_FOUR = IPv6Network("2002::/16")
# RFC 5214 §6.1: the interface identifier [02]00:5efe and an IPv4 address, under any prefix whatever.
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
_LOW_32 = 0xFFFF_FFFF


def canonical(address: str | Address) -> Address | None:
    """Return the one form of an address; None: it cannot be read, or has a zone (``fe80::1%eth0``).

    Text is read strictly: four decimal numbers without leading zeros, or IPv6. ``127.1``, ``0x7f.1`` and
    ``2130706433`` are no addresses.
    """
    if isinstance(address, str):
        try:
            address = ip_address(address)
        except ValueError:
            return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def has_zone(address: str | Address) -> bool:
    """Say whether a zone (an interface's name or number) is written behind the address."""
    return "%" in str(address)


def inner_addresses(address: Address) -> Iterator[IPv4Address]:
    """Return every IPv4 address that something on the way could take out of an IPv6 address.

    The local-use NAT64 block is one /48, inside which each network chooses its own prefix length, and so the place of
    the IPv4 address (RFC 6052 §2.2; 8 bits, the "u" octet, are left out in the middle): all of its places are given.
    A Teredo address carries two: its server's, and its client's with all bits turned round (RFC 4380 §4).
    """
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    low = IPv4Address(number & _LOW_32)
    if address in _NAT64 or address in _IPV4_TRANSLATED or address in _IPV4_MAPPED:
        yield low
    elif address in _IPV4_COMPATIBLE:
        if number > 1:
            yield low
    elif address in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & _LOW_32)
    elif address in _TEREDO:
        yield IPv4Address(number >> 64 & _LOW_32)
        yield IPv4Address(~number & _LOW_32)
    elif address in _LOCAL_NAT64:
        yield low
        yield IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)  # /48
        yield IPv4Address((number >> 64 & 0xFF) << 24 | number >> 32 & 0xFF_FFFF)  # /56
        yield IPv4Address(number >> 24 & _LOW_32)  # /64
    if number >> 32 & _LOW_32 in _ISATAP:
        yield low
