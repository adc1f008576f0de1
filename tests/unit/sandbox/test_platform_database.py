"""The platform's own database is forbidden to hooks, wherever DATABASE_URL says that it is."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tenterhook.egress import Entry, Policy, Reason
from tenterhook.sandbox.platform_database import forbidden_of, machine_addresses
from tenterhook.settings import Settings

ALL_OPEN = (Entry.parse("0.0.0.0/0:*"), Entry.parse("[::]/0:*"))


def _policy(url: str) -> Policy:
    return Policy(
        grants=ALL_OPEN, forbidden=forbidden_of(Settings(database_url=url)), machine=machine_addresses()
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_a_database_on_this_machine_is_forbidden_on_all_of_it(host, address):
    policy = _policy(f"postgresql://me:sesame@{host}:5433/x")
    assert policy.judge(address, 5433).reason is Reason.PLATFORM
    assert policy.judge(address, 5434).allowed
    for own in machine_addresses():
        assert not policy.judge(own, 5433).allowed


def test_an_address_elsewhere_is_forbidden_at_its_port_only():
    policy = _policy("postgresql://me:sesame@10.1.2.3/x")
    assert policy.judge("10.1.2.3", 5432).reason is Reason.PLATFORM
    assert policy.judge("10.1.2.3", 443).allowed
    assert policy.judge("10.1.2.4", 5432).allowed


def test_a_name_that_cannot_be_resolved_stays_forbidden():
    forbidden = forbidden_of(Settings(database_url="postgresql://me:sesame@db.invalid/x"))
    assert forbidden.names == {"db.invalid"}
    assert not Policy(forbidden=forbidden).judge_name("db.invalid").allowed


def test_the_embedded_database_has_nothing_to_forbid():
    forbidden = forbidden_of(Settings())
    assert (forbidden.addresses, forbidden.names) == (frozenset(), frozenset())


def test_addresses_of_the_machine_are_read_from_the_kernels_tables(tmp_path):
    net = tmp_path / "net"
    net.mkdir()
    assert machine_addresses(tmp_path) == frozenset()
    (net / "fib_trie").write_text(
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n"
        "        |-- 192.0.2.7\n           /32 host LOCAL\n        |-- 192.0.2.255\n           /32 link BROADCAST\n"
    )
    (net / "if_inet6").write_text("20010db8000000000000000000000007 02 40 00 80     eth0\n")
    assert machine_addresses(tmp_path) == {ip_address("192.0.2.7"), ip_address("2001:db8::7")}
