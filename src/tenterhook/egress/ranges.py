"""Ranges: which addresses are public, and what the others are.

One table of ours decides, and nothing else: ``ipaddress.is_global`` follows the registries at a distance and changes
between Python's patch releases (CPython issues 113171, 124217, 151049), and it calls public what no hook has business
with (anycast of NAT gateways, an IPv4 address inside a 6to4 address). The rows come from

- IANA IPv4 Special-Purpose Address Registry, iana.org/assignments/iana-ipv4-special-registry
- IANA IPv6 Special-Purpose Address Registry, iana.org/assignments/iana-ipv6-special-registry
- IANA IPv4 Multicast and IPv6 Address Space registries (224.0.0.0/4, and unicast from 2000::/3 alone)
- the clouds' own pages for what they put into public or shared space (the metadata rows)

**Stricter than the registries:** a block that is in one of them is refused also where it says "globally reachable":
these are anycast services of the network itself (AMT, AS112, PCP, TURN) and may end at the operator's own gateway.
The one exception is NAT64's 64:ff9b::/96, the only way to IPv4 from a network without it; there the IPv4 address
inside decides. The longest prefix wins, as in routing, so a row may sit inside another.

**What a grant may open** is a property of the range (``Opening``): link-local and metadata addresses hold the
machine's own credentials and open one by one, never as part of a network nor through a name; what is no single host's
address (multicast, broadcast, "this host") never opens. "This host" is more than pedantry: Linux takes a connection
to 0.0.0.0 for one to 127.0.0.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from typing import Final

from tenterhook.egress.addresses import Address, Network, inner_addresses


class Opening(StrEnum):
    """What lets a connection through to a range."""

    PUBLIC = "public"
    """Nothing is needed."""
    GRANT = "grant"
    """A grant of any kind: address, network or name."""
    EXACT = "exact"
    """A grant that names the very address."""
    INNER = "inner"
    """Nothing is needed if the IPv4 address inside is public; otherwise nothing helps."""
    NEVER = "never"
    """Nothing."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """A block of addresses and what it is."""

    network: Network
    """From the first address to the last."""
    name: str
    """What an address in it is, to follow "is"."""
    source: str
    """Who says so: an RFC, or a cloud's name."""
    opening: Opening
    """What lets a connection through to it."""


def _row(network: str, name: str, source: str, opening: Opening = Opening.GRANT) -> Range:
    return Range(network=ip_network(network), name=name, source=source, opening=opening)


RANGES: Final[tuple[Range, ...]] = (
    _row("0.0.0.0/0", "public", "RFC 791", Opening.PUBLIC),
    _row("0.0.0.0/8", "an address of “this network”", "RFC 791", Opening.NEVER),
    _row("10.0.0.0/8", "private", "RFC 1918"),
    _row("100.64.0.0/10", "shared address space of a provider's NAT", "RFC 6598"),
    _row("100.100.100.200/32", "a cloud's metadata service", "Alibaba Cloud", Opening.EXACT),
    _row("127.0.0.0/8", "loopback", "RFC 1122"),
    _row("168.63.129.16/32", "a cloud's metadata service", "Microsoft Azure", Opening.EXACT),
    _row(
        "169.254.0.0/16", "link-local, where clouds keep their metadata services", "RFC 3927", Opening.EXACT
    ),
    _row("172.16.0.0/12", "private", "RFC 1918"),
    _row("192.0.0.0/24", "for IETF protocols", "RFC 6890"),
    _row("192.0.0.192/32", "a cloud's metadata service", "Oracle Cloud", Opening.EXACT),
    _row("192.0.2.0/24", "for documentation", "RFC 5737"),
    _row("192.31.196.0/24", "anycast of the AS112 project", "RFC 7535"),
    _row("192.52.193.0/24", "anycast of multicast tunnels (AMT)", "RFC 7450"),
    _row("192.88.99.0/24", "anycast of 6to4 relays", "RFC 7526"),
    _row("192.168.0.0/16", "private", "RFC 1918"),
    _row("192.175.48.0/24", "anycast of the AS112 project", "RFC 7534"),
    _row("198.18.0.0/15", "for benchmarks", "RFC 2544"),
    _row("198.51.100.0/24", "for documentation", "RFC 5737"),
    _row("203.0.113.0/24", "for documentation", "RFC 5737"),
    _row("224.0.0.0/4", "multicast", "RFC 5771", Opening.NEVER),
    _row("240.0.0.0/4", "reserved", "RFC 1112", Opening.NEVER),
    _row("255.255.255.255/32", "broadcast", "RFC 919", Opening.NEVER),
    _row("::/0", "outside of public IPv6 space (2000::/3)", "RFC 4291", Opening.NEVER),
    _row("::/96", "IPv4-compatible, a form given up", "RFC 4291", Opening.NEVER),
    _row("::/128", "unspecified", "RFC 4291", Opening.NEVER),
    _row("::1/128", "loopback", "RFC 4291"),
    _row("::ffff:0:0/96", "IPv4-mapped", "RFC 4291", Opening.INNER),
    _row("::ffff:0:0:0/96", "IPv4-translated (SIIT)", "RFC 2765", Opening.NEVER),
    _row("64:ff9b::/96", "an IPv4 address behind NAT64", "RFC 6052", Opening.INNER),
    _row("64:ff9b:1::/48", "an IPv4 address behind the network's own NAT64", "RFC 8215"),
    _row("100::/64", "discard-only", "RFC 6666", Opening.NEVER),
    _row("100:0:0:1::/64", "a dummy prefix", "RFC 9780", Opening.NEVER),
    _row("2000::/3", "public", "RFC 4291", Opening.PUBLIC),
    _row("2001::/23", "for IETF protocols", "RFC 2928"),
    _row("2001::/32", "an IPv4 address behind Teredo", "RFC 4380", Opening.NEVER),
    _row("2001:2::/48", "for benchmarks", "RFC 5180"),
    _row("2001:3::/32", "anycast of multicast tunnels (AMT)", "RFC 7450"),
    _row("2001:4:112::/48", "anycast of the AS112 project", "RFC 7535"),
    _row("2001:10::/28", "an identifier (ORCHID), not an address", "RFC 4843", Opening.NEVER),
    _row("2001:20::/28", "an identifier (ORCHIDv2), not an address", "RFC 7343", Opening.NEVER),
    _row("2001:30::/28", "an identifier of drones (DRIP), not an address", "RFC 9374", Opening.NEVER),
    _row("2001:db8::/32", "for documentation", "RFC 3849"),
    _row("2002::/16", "an IPv4 address behind 6to4", "RFC 7526", Opening.NEVER),
    _row("2620:4f:8000::/48", "anycast of the AS112 project", "RFC 7534"),
    _row("3fff::/20", "for documentation", "RFC 9637"),
    _row("5f00::/16", "an instruction of segment routing (SRv6)", "RFC 9602", Opening.NEVER),
    _row("fc00::/7", "unique local", "RFC 4193"),
    _row("fd00:42::42/128", "a cloud's metadata service", "Scaleway", Opening.EXACT),
    _row("fd00:c1::a9fe:a9fe/128", "a cloud's metadata service", "Oracle Cloud", Opening.EXACT),
    _row("fd00:ec2::/32", "a cloud's metadata service", "Amazon EC2", Opening.EXACT),
    _row("fd20:ce::254/128", "a cloud's metadata service", "Google Cloud", Opening.EXACT),
    _row("fe80::/10", "link-local", "RFC 4291", Opening.NEVER),
    _row("fec0::/10", "site-local, a form given up", "RFC 3879"),
    _row("ff00::/8", "multicast", "RFC 4291", Opening.NEVER),
)
"""Every row, IPv4 first and in the order of addresses; ``docs/explanation/egress.md`` shows the same."""

# As numbers, longest prefix first: the gate asks for each new connection.
_SEARCHED: Final = {
    version: tuple(
        (int(row.network.network_address), int(row.network.broadcast_address), row)
        for row in sorted(RANGES, key=lambda row: -row.network.prefixlen)
        if row.network.version == version
    )
    for version in (4, 6)
}


def range_of(address: Address) -> Range:
    """Return the smallest range that holds an address; there always is one."""
    number = int(address)
    return next(row for first, last, row in _SEARCHED[address.version] if first <= number <= last)


def opening_of(address: Address) -> Opening:
    """Return what lets a connection through to an address, what it carries inside considered; never ``INNER``."""
    opening = range_of(address).opening
    inner = [range_of(carried).opening for carried in inner_addresses(address)]
    public_inside = all(carried is Opening.PUBLIC for carried in inner)
    if opening is Opening.INNER:
        return Opening.PUBLIC if public_inside else Opening.NEVER
    if opening is Opening.PUBLIC and not public_inside:
        return Opening.EXACT
    if opening is Opening.GRANT and Opening.EXACT in inner:
        return Opening.EXACT
    return opening
