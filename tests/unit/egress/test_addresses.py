"""One form for an address, and every IPv4 address inside it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from tenterhook.egress import Policy, canonical, parse_grants
from tenterhook.egress.addresses import inner_addresses


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("10.0.0.1", IPv4Address("10.0.0.1")),
        ("::ffff:10.0.0.1", IPv4Address("10.0.0.1")),
        ("::FFFF:A00:1", IPv4Address("10.0.0.1")),
        ("0:0:0:0:0:ffff:a00:1", IPv4Address("10.0.0.1")),
        ("::10.0.0.1", IPv6Address("::a00:1")),
        ("2600:0::1", IPv6Address("2600::1")),
        ("fe80::1%eth0", None),
        ("::ffff:10.0.0.1%1", None),
        ("10.0.0.1%eth0", None),
        ("10.0.0.1/32", None),
        ("", None),
    ],
)
def test_the_one_form_of_an_address(text, read):
    assert canonical(text) == read
    if read is not None:
        assert canonical(ip_address(text)) == read


@pytest.mark.parametrize(
    ("address", "inner"),
    [
        ("10.0.0.1", []),
        ("2600::1", []),
        ("::", []),
        ("::1", []),
        ("::2", ["0.0.0.2"]),
        ("::10.0.0.1", ["10.0.0.1"]),
        ("::ffff:10.0.0.1", ["10.0.0.1"]),
        ("::ffff:0:10.0.0.1", ["10.0.0.1"]),
        ("64:ff9b::10.0.0.1", ["10.0.0.1"]),
        ("2002:a00:1:2::3", ["10.0.0.1"]),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", ["65.54.227.120", "192.0.2.45"]),  # RFC 4380's own example
        ("2600::5efe:10.0.0.1", ["10.0.0.1"]),
        ("2600::200:5efe:10.0.0.1", ["10.0.0.1"]),
        ("fd00:1:2:3:0:5efe:10.0.0.1", ["10.0.0.1"]),
        ("2600::100:5efe:10.0.0.1", []),
        ("2002:a00:1::5efe:10.0.0.2", ["10.0.0.1", "10.0.0.2"]),
    ],
)
def test_ipv4_inside_ipv6(address, inner):
    assert [str(found) for found in inner_addresses(ip_address(address))] == inner


@pytest.mark.parametrize(
    "address",  # 192.0.2.33 as in RFC 6052 §2.4, at each prefix length that fits into the block
    [
        "64:ff9b:1:c000:2:2100::",
        "64:ff9b:1:3c0:0:221::",
        "64:ff9b:1:344:c0:2:2100::",
        "64:ff9b:1:344::192.0.2.33",
    ],
)
def test_ipv4_behind_a_networks_own_nat64_is_found_at_every_place(address):
    assert IPv4Address("192.0.2.33") in set(inner_addresses(ip_address(address)))


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:3a9:fe:a9fe::",
        "64:ff9b:1:344:a9:fea9:fe00::",
        "64:ff9b:1:344::169.254.169.254",
        "fd00::5efe:169.254.169.254",
    ],
)
def test_no_network_grant_opens_a_metadata_service_inside_an_address(address):
    wide = Policy(grants=parse_grants("[64:ff9b:1::/48]:*,[fc00::/7]:*"))
    assert not wide.judge(address, 80).allowed
    assert Policy(grants=parse_grants(f"[{address}]:80")).judge(address, 80).allowed
