"""What holds for every address, port, name, grant and list."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from tenterhook.egress import (
    RANGES,
    Entry,
    Forbidden,
    Mode,
    Opening,
    Policy,
    Rules,
    canonical,
    opening_of,
    parse_grants,
)

_edges = st.sampled_from(
    sorted(
        {
            str(ipaddress.ip_address(number) if row.network.version == 4 else IPv6Address(number))
            for row in RANGES
            for end in (int(row.network.network_address), int(row.network.broadcast_address))
            for number in (end - 1, end, end + 1)
            if (2**32 if row.network.version == 6 else 0) <= number < 2**row.network.max_prefixlen
        }
    )
)
_ipv4 = st.integers(0, 2**32 - 1).map(IPv4Address)
_forms = st.sampled_from(
    [
        lambda inner: IPv6Address(0xFFFF << 32 | inner),
        IPv6Address,
        lambda inner: IPv6Address(0x64FF9B << 96 | inner),
        lambda inner: IPv6Address(0x2002 << 112 | inner << 80),
        lambda inner: IPv6Address(0x2001 << 112 | inner << 64 | 0xF7F7F7F7),
        lambda inner: IPv6Address(0x2600 << 112 | 0x5EFE << 32 | inner),
        lambda inner: IPv6Address(0xFD00 << 112 | 0x2005EFE << 32 | inner),
    ]
)
_embedded = st.builds(
    lambda form, inner: form(int(inner)),
    _forms,
    _ipv4 | _edges.map(canonical).filter(lambda a: a.version == 4),
)
addresses = (
    _edges | _ipv4.map(str) | st.integers(0, 2**128 - 1).map(IPv6Address).map(str) | _embedded.map(str)
)
ports = st.sampled_from([0, 1, 25, 80, 443, 5432, 65535, 65536]) | st.integers(-1, 70000)
names = st.frozensets(
    st.sampled_from(["a.internal", "x.a.internal", "api.example.com", "evil.example"]), max_size=2
)
lines = st.lists(
    st.sampled_from(
        ["10.0.0.0/8:*", "127.0.0.1:8099", "0.0.0.0/0:443", "[::]/0:*", "a.internal:443", "*.a.internal:*",
         "169.254.169.254:80", "[fd00::]/8:80", "api.example.com:443", "8.8.8.8:25"]
    ),
    max_size=4,
)  # fmt: skip
policies = st.builds(
    lambda grants, mode, allow, own: Policy(
        grants=parse_grants(",".join(grants)),
        rules=Rules.of(mode, allow),
        own=(Entry.of_url("http://127.0.0.1:8585"),) if own else (),
        forbidden=Forbidden.of([("127.0.0.1", 5432), ("10.0.0.7", None)]),
    ),
    lines, st.sampled_from(list(Mode)), lines, st.booleans(),
)  # fmt: skip


@given(policies, addresses, ports, names)
def test_what_is_allowed_is_public_or_granted(policy, address, port, found_under):
    judgement = policy.judge(address, port, found_under)
    if not judgement.allowed:
        assert judgement.destination is None
        return
    target = canonical(address)
    assert (judgement.destination.address, judgement.destination.port) == (target, port)
    assert 1 <= port <= 65535
    public = opening_of(target) is Opening.PUBLIC and target.is_global and port != 25
    granted = any(entry.matches(target, port, found_under) for entry in (*policy.grants, *policy.own))
    assert public or granted
    assert not target.is_multicast and not target.is_unspecified
    assert granted or not target.is_link_local
    assert not (target.is_loopback and port == 5432) and target != IPv4Address("10.0.0.7")


@given(policies, addresses, ports, names)
def test_enforce_allows_what_open_allows_and_the_list_names(policy, address, port, found_under):
    by_mode = {
        mode: Policy(
            grants=policy.grants, own=policy.own, forbidden=policy.forbidden,
            rules=Rules(mode=mode, allow=policy.rules.allow),
        ).judge(address, port, found_under)
        for mode in Mode
    }  # fmt: skip
    assert by_mode[Mode.REPORT].allowed is by_mode[Mode.OPEN].allowed
    assert by_mode[Mode.ENFORCE].allowed <= by_mode[Mode.OPEN].allowed
    assert by_mode[Mode.REPORT].reported is (by_mode[Mode.OPEN].allowed and not by_mode[Mode.ENFORCE].allowed)
    assert not by_mode[Mode.OPEN].reported
    assert not by_mode[Mode.ENFORCE].reported


@given(policies, addresses, ports, names)
def test_a_refusal_says_what_would_help_and_it_does(policy, address, port, found_under):
    judgement = policy.judge(address, port, found_under)
    assert judgement.allowed or judgement.explanation
    if judgement.allowed or judgement.entry_to_add is None:
        return
    entry = Entry.parse(judgement.entry_to_add)
    if judgement.not_on_hooks_list:
        rules, grants = Rules(mode=policy.rules.mode, allow=(*policy.rules.allow, entry)), policy.grants
    else:
        rules, grants = policy.rules, (*policy.grants, entry)
    helped = Policy(grants=grants, rules=rules, own=policy.own).judge(address, port, found_under)
    assert helped.allowed or helped.not_on_hooks_list is not judgement.not_on_hooks_list


@given(policies, st.text(max_size=60), st.integers(), st.frozensets(st.text(max_size=20), max_size=2))
def test_nothing_raises(policy, text, port, found_under):
    assert not policy.judge(text, port, found_under).allowed or canonical(text) is not None
    policy.judge_name(text, text)
    policy.judge_name(f"{text}.in-addr.arpa")
