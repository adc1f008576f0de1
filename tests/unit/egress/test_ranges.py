"""Both sides of every boundary, written out by hand: a wrong row in the table must not make its own test right."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest

from tenterhook.egress import RANGES, Opening, opening_of, range_of

P, G, X, N = Opening.PUBLIC, Opening.GRANT, Opening.EXACT, Opening.NEVER

# Each line: the range; what lies just before it, its first and last address, what lies just after it.
IPV4 = [
    ("0.0.0.0/8", None, ("0.0.0.0", N), ("0.255.255.255", N), ("1.0.0.0", P)),
    ("10.0.0.0/8", ("9.255.255.255", P), ("10.0.0.0", G), ("10.255.255.255", G), ("11.0.0.0", P)),
    ("100.64.0.0/10", ("100.63.255.255", P), ("100.64.0.0", G), ("100.127.255.255", G), ("100.128.0.0", P)),
    ("100.100.100.200/32", ("100.100.100.199", G), ("100.100.100.200", X), None, ("100.100.100.201", G)),
    ("127.0.0.0/8", ("126.255.255.255", P), ("127.0.0.0", G), ("127.255.255.255", G), ("128.0.0.0", P)),
    ("168.63.129.16/32", ("168.63.129.15", P), ("168.63.129.16", X), None, ("168.63.129.17", P)),
    (
        "169.254.0.0/16",
        ("169.253.255.255", P),
        ("169.254.0.0", X),
        ("169.254.255.255", X),
        ("169.255.0.0", P),
    ),
    ("172.16.0.0/12", ("172.15.255.255", P), ("172.16.0.0", G), ("172.31.255.255", G), ("172.32.0.0", P)),
    ("192.0.0.0/24", ("191.255.255.255", P), ("192.0.0.0", G), ("192.0.0.255", G), ("192.0.1.0", P)),
    ("192.0.0.192/32", ("192.0.0.191", G), ("192.0.0.192", X), None, ("192.0.0.193", G)),
    ("192.0.2.0/24", ("192.0.1.255", P), ("192.0.2.0", G), ("192.0.2.255", G), ("192.0.3.0", P)),
    (
        "192.31.196.0/24",
        ("192.31.195.255", P),
        ("192.31.196.0", G),
        ("192.31.196.255", G),
        ("192.31.197.0", P),
    ),
    (
        "192.52.193.0/24",
        ("192.52.192.255", P),
        ("192.52.193.0", G),
        ("192.52.193.255", G),
        ("192.52.194.0", P),
    ),
    ("192.88.99.0/24", ("192.88.98.255", P), ("192.88.99.0", G), ("192.88.99.255", G), ("192.88.100.0", P)),
    (
        "192.168.0.0/16",
        ("192.167.255.255", P),
        ("192.168.0.0", G),
        ("192.168.255.255", G),
        ("192.169.0.0", P),
    ),
    (
        "192.175.48.0/24",
        ("192.175.47.255", P),
        ("192.175.48.0", G),
        ("192.175.48.255", G),
        ("192.175.49.0", P),
    ),
    ("198.18.0.0/15", ("198.17.255.255", P), ("198.18.0.0", G), ("198.19.255.255", G), ("198.20.0.0", P)),
    (
        "198.51.100.0/24",
        ("198.51.99.255", P),
        ("198.51.100.0", G),
        ("198.51.100.255", G),
        ("198.51.101.0", P),
    ),
    ("203.0.113.0/24", ("203.0.112.255", P), ("203.0.113.0", G), ("203.0.113.255", G), ("203.0.114.0", P)),
    ("224.0.0.0/4", ("223.255.255.255", P), ("224.0.0.0", N), ("239.255.255.255", N), ("240.0.0.0", N)),
    ("240.0.0.0/4", ("239.255.255.255", N), ("240.0.0.0", N), ("255.255.255.254", N), None),
    ("255.255.255.255/32", ("255.255.255.254", N), ("255.255.255.255", N), None, None),
]

FF = "ffff:ffff:ffff:ffff"
IPV6 = [
    ("::/128", None, ("::", N), None, ("::1", G)),
    ("::1/128", ("::", N), ("::1", G), None, ("::2", N)),
    ("::/96", None, ("::2", N), ("::ffff:ffff", N), ("::1:0:0", N)),
    # IPv4-mapped addresses are replaced by their inner one before; here the table alone is asked.
    ("::ffff:0:0/96", ("::fffe:ffff:ffff", N), ("::ffff:0:0", N), ("::ffff:ffff:ffff", N), ("::1:0:0:0", N)),
    ("::ffff:0:0:0/96", ("::fffe:ffff:ffff:ffff", N), ("::ffff:0:0:0", N), ("::ffff:0:ffff:ffff", N), ("::ffff:1:0:0", N)),
    ("64:ff9b::/96", ("64:ff9a:ffff:ffff:" + FF, N), ("64:ff9b::", N), ("64:ff9b::ffff:ffff", N), ("64:ff9b::1:0:0", N)),
    ("64:ff9b:1::/48", ("64:ff9b:0:ffff:" + FF, N), ("64:ff9b:1::", G), ("64:ff9b:1:ffff:" + FF, G), ("64:ff9b:2::", N)),
    ("100::/64", ("ff:ffff:ffff:ffff:" + FF, N), ("100::", N), ("100::" + FF, N), ("100:0:0:1::", N)),
    ("100:0:0:1::/64", ("100::" + FF, N), ("100:0:0:1::", N), ("100::1:" + FF, N), ("100:0:0:2::", N)),
    ("2000::/3", ("1fff:ffff:ffff:ffff:" + FF, N), ("2000::", P), ("3ffe:ffff:ffff:ffff:" + FF, P), ("4000::", N)),
    ("2001::/23", ("2000:ffff:ffff:ffff:" + FF, P), ("2001::", N), ("2001:1ff:ffff:ffff:" + FF, G), ("2001:200::", P)),
    ("2001::/32", ("2000:ffff:ffff:ffff:" + FF, P), ("2001::", N), ("2001:0:ffff:ffff:" + FF, N), ("2001:1::", G)),
    ("2001:2::/48", ("2001:1:ffff:ffff:" + FF, G), ("2001:2::", G), ("2001:2:0:ffff:" + FF, G), ("2001:2:1::", G)),
    ("2001:3::/32", ("2001:2:ffff:ffff:" + FF, G), ("2001:3::", G), ("2001:3:ffff:ffff:" + FF, G), ("2001:4::", G)),
    ("2001:4:112::/48", ("2001:4:111:ffff:" + FF, G), ("2001:4:112::", G), ("2001:4:112:ffff:" + FF, G), ("2001:4:113::", G)),
    ("2001:10::/28", ("2001:f:ffff:ffff:" + FF, G), ("2001:10::", N), ("2001:1f:ffff:ffff:" + FF, N), ("2001:20::", N)),
    ("2001:20::/28", ("2001:1f:ffff:ffff:" + FF, N), ("2001:20::", N), ("2001:2f:ffff:ffff:" + FF, N), ("2001:30::", N)),
    ("2001:30::/28", ("2001:2f:ffff:ffff:" + FF, N), ("2001:30::", N), ("2001:3f:ffff:ffff:" + FF, N), ("2001:40::", G)),
    ("2001:db8::/32", ("2001:db7:ffff:ffff:" + FF, P), ("2001:db8::", G), ("2001:db8:ffff:ffff:" + FF, G), ("2001:db9::", P)),
    ("2002::/16", ("2001:ffff:ffff:ffff:" + FF, P), ("2002::", N), ("2002:ffff:ffff:ffff:" + FF, N), ("2003::", P)),
    ("2620:4f:8000::/48", ("2620:4f:7fff:ffff:" + FF, P), ("2620:4f:8000::", G), ("2620:4f:8000:ffff:" + FF, G), ("2620:4f:8001::", P)),
    ("3fff::/20", ("3ffe:ffff:ffff:ffff:" + FF, P), ("3fff::", G), ("3fff:fff:ffff:ffff:" + FF, G), ("3fff:1000::", P)),
    ("5f00::/16", ("5eff:ffff:ffff:ffff:" + FF, N), ("5f00::", N), ("5f00:ffff:ffff:ffff:" + FF, N), ("5f01::", N)),
    ("fc00::/7", ("fbff:ffff:ffff:ffff:" + FF, N), ("fc00::", G), ("fdff:ffff:ffff:ffff:" + FF, G), ("fe00::", N)),
    ("fd00:c1::a9fe:a9fe/128", ("fd00:c1::a9fe:a9fd", G), ("fd00:c1::a9fe:a9fe", X), None, ("fd00:c1::a9fe:a9ff", G)),
    ("fd00:42::42/128", ("fd00:42::41", G), ("fd00:42::42", X), None, ("fd00:42::43", G)),
    ("fd00:ec2::/32", ("fd00:ec1:ffff:ffff:" + FF, G), ("fd00:ec2::", X), ("fd00:ec2:ffff:ffff:" + FF, X), ("fd00:ec3::", G)),
    ("fd20:ce::254/128", ("fd20:ce::253", G), ("fd20:ce::254", X), None, ("fd20:ce::255", G)),
    ("fe80::/10", ("fe7f:ffff:ffff:ffff:" + FF, N), ("fe80::", N), ("febf:ffff:ffff:ffff:" + FF, N), ("fec0::", G)),
    ("fec0::/10", ("febf:ffff:ffff:ffff:" + FF, N), ("fec0::", G), ("feff:ffff:ffff:ffff:" + FF, G), ("ff00::", N)),
    ("ff00::/8", ("feff:ffff:ffff:ffff:" + FF, G), ("ff00::", N), ("ffff:ffff:ffff:ffff:" + FF, N), None),
]  # fmt: skip

SIDES = [(network, *side) for network, *sides in IPV4 + IPV6 for side in sides if side is not None]


@pytest.mark.parametrize(("network", "address", "opening"), SIDES)
def test_sides_of_every_boundary(network, address, opening):
    assert opening_of(ip_address(address)) is opening


@pytest.mark.parametrize("line", IPV4 + IPV6, ids=lambda line: line[0])
def test_the_sides_above_are_the_sides_of_that_range(line):
    network = ip_network(line[0])
    before, first, last, after = (None if side is None else int(ip_address(side[0])) for side in line[1:])
    assert first in {int(network.network_address), 2}
    assert before in {None, int(network.network_address) - 1}
    if network.prefixlen != 3:  # the end of public IPv6 space is a range of its own, tested as such
        assert last in {None, int(network.broadcast_address), int(network.broadcast_address) - 1}
    assert after in {None, int(network.broadcast_address) + 1}


def test_every_range_of_the_table_is_above():
    everything = {ip_network("0.0.0.0/0"), ip_network("::/0")}
    assert {row.network for row in RANGES} - everything == {ip_network(line[0]) for line in IPV4 + IPV6}


def test_no_range_is_there_twice_and_they_are_in_order():
    networks = [
        (row.network.version, int(row.network.network_address), row.network.prefixlen) for row in RANGES
    ]
    assert networks == sorted(set(networks))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("169.254.169.254", "link-local, where clouds keep their metadata services"),
        ("169.254.170.2", "link-local, where clouds keep their metadata services"),
        ("100.100.100.200", "a cloud's metadata service"),
        ("168.63.129.16", "a cloud's metadata service"),
        ("192.0.0.192", "a cloud's metadata service"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("fd00:ec2::23", "a cloud's metadata service"),
        ("fd20:ce::254", "a cloud's metadata service"),
        ("fd00:42::42", "a cloud's metadata service"),
        ("fd00:c1::a9fe:a9fe", "a cloud's metadata service"),
    ],
)
def test_metadata_services_are_told_apart(address, name):
    assert range_of(ip_address(address)).name == name
    assert opening_of(ip_address(address)) is Opening.EXACT


# Where we are stricter than the registries, so than ``is_global``; the reasons are in the module's docstring.
STRICTER = [
    ip_network(text)
    for text in (
        "168.63.129.16/32", "192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
        "192.175.48.0/24", "224.0.0.0/4",
        "::/3", "2001::/23", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "4000::/2", "8000::/1",
    )
]  # fmt: skip


def _samples():
    for row in RANGES:
        first, last = int(row.network.network_address), int(row.network.broadcast_address)
        top = 2**row.network.max_prefixlen - 1
        make = IPv4Address if row.network.version == 4 else IPv6Address
        numbers = {first - 1, first, first + 1, (first + last) // 2, last - 1, last, last + 1}
        yield from (make(number) for number in numbers if 0 <= number <= top)


def test_what_is_public_here_is_global_for_python():
    assert [str(sample) for sample in _samples() if opening_of(sample) is P and not sample.is_global] == []


def test_what_python_calls_global_is_public_here_but_for_the_known_exceptions():
    differing = [sample for sample in _samples() if sample.is_global and opening_of(sample) is not P]
    known = [
        network
        for network in STRICTER
        if any(network.version == s.version and s in network for s in differing)
    ]
    assert [s for s in differing if not any(s.version == n.version and s in n for n in STRICTER)] == []
    assert known != []


def test_all_of_ipv4_is_covered_without_a_gap():
    """Walk the whole of IPv4 by the ends of ranges: between two of them nothing can change."""
    edges = sorted(
        {0, 2**32}
        | {int(row.network.network_address) for row in RANGES if row.network.version == 4}
        | {int(row.network.broadcast_address) + 1 for row in RANGES if row.network.version == 4}
    )
    total = sum(
        after - start for start, after in itertools.pairwise(edges) if opening_of(IPv4Address(start)) is not P
    )
    # 0/8, 10/8, 127/8, 224/3, 100.64/10, 172.16/12, 198.18/15, 169.254/16, 192.168/16, eight /24, Azure's address.
    assert total == 3 * 2**24 + 2**29 + 2**22 + 2**20 + 2**17 + 2 * 2**16 + 8 * 2**8 + 1


def test_networks_are_of_both_versions():
    assert {type(row.network) for row in RANGES} == {IPv4Network, IPv6Network}
    assert all(row.name and row.source for row in RANGES)
