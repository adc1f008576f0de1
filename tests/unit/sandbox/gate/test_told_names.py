"""Which names count for an address."""

from __future__ import annotations

from ipaddress import ip_address

from tenterhook.sandbox.gate import told_names
from tenterhook.sandbox.gate.told_names import ToldNames

ONE, TWO = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def test_names_gather_on_an_address():
    told = ToldNames()
    told.tell("a.example", [ONE, TWO])
    told.tell("b.example", [ONE])
    assert told.of(ONE) == {"a.example", "b.example"}
    assert told.of(TWO) == {"a.example"}
    assert told.of(ip_address("::ffff:192.0.2.1")) == told.of(ONE)
    assert told.of(ip_address("192.0.2.3")) == frozenset()


def test_a_name_counts_for_a_time():
    now = 0.0
    told = ToldNames(clock=lambda: now)
    told.tell("a.example", [ONE])
    now = told_names.KEPT_SECONDS - 1
    told.tell("b.example", [ONE])
    assert told.of(ONE) == {"a.example", "b.example"}
    now = told_names.KEPT_SECONDS + 1
    assert told.of(ONE) == {"b.example"}


def test_addresses_are_bounded():
    told = ToldNames()
    told.tell("first.example", [ONE])
    told.tell("kept.example", [TWO])
    for number in range(told_names.MAX_ADDRESSES - 2):
        told.tell("flood.example", [ip_address(0x0A000000 + number)])
    told.tell("again.example", [TWO])
    told.tell("one-more.example", [ip_address("198.51.100.1")])
    assert told.of(ONE) == frozenset()
    assert told.of(TWO) == {"kept.example", "again.example"}
    assert len(told._by_address) == told_names.MAX_ADDRESSES


def test_names_of_an_address_are_bounded():
    told = ToldNames()
    for number in range(told_names.MAX_NAMES + 1):
        told.tell(f"n{number}.example", [ONE])
    assert len(told.of(ONE)) == told_names.MAX_NAMES
    assert "n0.example" not in told.of(ONE)
