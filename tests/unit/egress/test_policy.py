"""Connections: what each step of the policy refuses, and what it tells of it."""

from __future__ import annotations

import pickle
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from tenterhook.egress import (
    Destination,
    Entry,
    Forbidden,
    Judgement,
    Mode,
    Policy,
    Reason,
    Rules,
    canonical,
    parse_grants,
)

OPEN = Policy()
DATABASE = Forbidden.of([("127.0.0.1", 5432), ("10.9.9.9", None), ("db.internal", 5432)])
MACHINE = frozenset({IPv4Address("93.184.216.34"), IPv6Address("2600::34"), IPv4Address("10.0.0.34")})


def _policy(grants="", *, mode="open", allow=(), own=(), forbidden=DATABASE, machine=frozenset()):
    return Policy(
        grants=parse_grants(grants),
        own=tuple(Entry.of_url(url) for url in own),
        rules=Rules.of(mode, allow),
        forbidden=forbidden,
        machine=machine,
    )


@pytest.mark.parametrize("port", [1, 24, 26, 80, 443, 65535])
@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_public_addresses_are_reached(address, port):
    judgement = OPEN.judge(address, port)
    assert judgement.allowed
    assert judgement.reason is Reason.PUBLIC
    assert judgement.destination == Destination(address=canonical(address), port=port)
    assert (judgement.explanation, judgement.setting, judgement.entry_to_add) == ("", None, None)
    assert OPEN.judge(ip_address(address), port) == judgement


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_port_25_is_refused(address):
    judgement = OPEN.judge(address, 25)
    assert judgement.reason is Reason.SMTP_PORT
    assert judgement.setting == "TENTERHOOK_EGRESS_ALLOW"
    assert _policy(judgement.entry_to_add).judge(address, 25).reason is Reason.GRANTED


@pytest.mark.parametrize("port", [-1, 0, 65536, 2**32])
def test_what_is_no_port_is_refused_even_with_a_grant(port):
    assert OPEN.judge("8.8.8.8", port).reason is Reason.INVALID_PORT
    assert _policy("0.0.0.0/0:*").judge("8.8.8.8", port).reason is Reason.INVALID_PORT


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x",
        "8.8.8",
        "127.1",
        "0x7f.0.0.1",
        "010.0.0.1",
        "2130706433",
        "[::1]",
        "8.8.8.8\0",
        "8.8.8.8 ",
        "::g",
    ],
)
def test_what_is_no_address_is_refused(address):
    assert _policy("0.0.0.0/0:*,[::]/0:*").judge(address, 443).reason is Reason.INVALID_ADDRESS


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::1%1", "2606:4700::1111%1", "::1%lo", "ff02::1%2"])
def test_an_address_with_a_zone_is_refused(address):
    policy = _policy("[::]/0:*,[::1]:*")
    assert policy.judge(address, 443).reason is Reason.ZONE
    assert policy.judge(IPv6Address(address), 443).reason is Reason.ZONE


EMBEDDED = [
    # (how, address with 127.0.0.1, 10.0.0.1, 169.254.169.254 and 8.8.8.8 inside; is the last one reached?)
    ("mapped", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", True),
    ("compatible", "::127.0.0.1", "::10.0.0.1", "::169.254.169.254", "::8.8.8.8", False),
    ("translated", "::ffff:0:127.0.0.1", "::ffff:0:10.0.0.1", "::ffff:0:a9fe:a9fe", "::ffff:0:8.8.8.8", False),
    ("nat64", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::8.8.8.8", True),
    ("nat64/96", "64:ff9b:1::7f00:1", "64:ff9b:1::a00:1", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1::808:808", False),
    ("nat64/48", "64:ff9b:1:7f00:0:100::", "64:ff9b:1:a00:0:100::", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:808:8:800::", False),
    ("6to4", "2002:7f00:1::", "2002:a00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1", False),
    ("teredo client", "2001:0:808:808::80ff:fffe", "2001:0:808:808::f5ff:fffe", "2001:0:808:808::5601:5601", "2001:0:808:808::f7f7:f7f7", False),
    ("teredo server", "2001:0:7f00:1::f7f7:f7f7", "2001:0:a00:1::f7f7:f7f7", "2001:0:a9fe:a9fe::f7f7:f7f7", "2001:0:808:808::f7f7:f7f7", False),
    ("isatap", "2600::5efe:7f00:1", "2600::5efe:a00:1", "2600::5efe:a9fe:a9fe", "2600::5efe:808:808", True),
    ("isatap, global", "2600::200:5efe:7f00:1", "2600::200:5efe:a00:1", "2600::200:5efe:a9fe:a9fe", "2600::200:5efe:808:808", True),
]  # fmt: skip


@pytest.mark.parametrize("line", EMBEDDED, ids=lambda line: line[0])
def test_embedded_addresses_are_judged_by_what_is_inside(line):
    how, *addresses, reached = line
    *hidden, public = addresses
    for address in hidden:
        judgement = OPEN.judge(address, 443)
        assert not judgement.allowed, address
        if how != "mapped":
            assert judgement.reason is Reason.EMBEDDED
        wide = _policy("0.0.0.0/1:*,[2000::]/3:*,10.0.0.0/9:*")
        assert how == "mapped" or not wide.judge(address, 443).allowed
    assert OPEN.judge(public, 443).allowed is reached


def test_a_mapped_address_is_its_inner_one():
    assert OPEN.judge("::ffff:10.0.0.1", 443) == OPEN.judge("10.0.0.1", 443)
    assert OPEN.judge("::ffff:169.254.169.254", 80).reason is Reason.METADATA
    granted = _policy("10.0.0.1:443").judge("::ffff:10.0.0.1", 443)
    assert granted.destination == Destination(address=IPv4Address("10.0.0.1"), port=443)


@pytest.mark.parametrize(
    ("address", "reason", "said"),
    [
        ("127.0.0.1", Reason.NOT_PUBLIC, "loopback (127.0.0.0/8, RFC 1122)"),
        ("::1", Reason.NOT_PUBLIC, "loopback (::1/128, RFC 4291)"),
        ("10.1.2.3", Reason.NOT_PUBLIC, "private (10.0.0.0/8, RFC 1918)"),
        ("fd12::1", Reason.NOT_PUBLIC, "unique local"),
        ("100.64.0.1", Reason.NOT_PUBLIC, "shared address space"),
        ("169.254.169.254", Reason.METADATA, "the machine's own credentials"),
        ("fd00:ec2::254", Reason.METADATA, "the machine's own credentials"),
        ("64:ff9b:1::a00:1", Reason.EMBEDDED, "the address inside is"),
        ("2600::5efe:7f00:1", Reason.EMBEDDED, "carries an IPv4 address that is loopback"),
    ],
)
def test_a_refusal_names_the_grant_that_would_help(address, reason, said):
    judgement = OPEN.judge(address, 8099, {"hooks.example"})
    assert not judgement.allowed
    assert judgement.reason is reason
    assert judgement.destination is None
    assert said in judgement.explanation
    assert judgement.setting == "TENTERHOOK_EGRESS_ALLOW"
    assert f"TENTERHOOK_EGRESS_ALLOW={judgement.entry_to_add}" in judgement.explanation
    assert _policy(judgement.entry_to_add).judge(address, 8099).reason is Reason.GRANTED
    assert not _policy(judgement.entry_to_add).judge(address, 8100).allowed


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1", "fe80::1", "2002:a00:1::",
     "::10.0.0.1", "64:ff9b::10.0.0.1", "100::1", "2001:20::1", "4000::1"],
)  # fmt: skip
def test_what_is_no_hosts_address_is_never_opened(address):
    entry = f"[{address}]:*" if ":" in address else f"{address}:*"
    judgement = _policy(f"{entry},0.0.0.0/0:*,[::]/0:*,x.example:*").judge(address, 443, {"x.example"})
    assert not judgement.allowed
    assert "No setting opens it" in judgement.explanation
    assert (judgement.setting, judgement.entry_to_add) == (None, None)


@pytest.mark.parametrize(
    ("grants", "address", "port", "names", "allowed"),
    [
        ("127.0.0.1:8099", "127.0.0.1", 8099, (), True),
        ("127.0.0.1:8099", "127.0.0.1", 8098, (), False),
        ("127.0.0.1:8099", "127.0.0.2", 8099, (), False),
        ("10.1.2.0/24:443", "10.1.2.255", 443, (), True),
        ("10.1.2.0/24:443", "10.1.3.0", 443, (), False),
        ("10.1.2.0/24:*", "10.1.2.1", 25, (), True),
        ("hooks.internal:443", "10.1.2.1", 443, ("hooks.internal",), True),
        ("hooks.internal:443", "10.1.2.1", 443, ("Hooks.Internal.",), True),
        ("hooks.internal:443", "10.1.2.1", 80, ("hooks.internal",), False),
        ("hooks.internal:443", "10.1.2.1", 443, ("evil.example",), False),
        ("hooks.internal:443", "10.1.2.1", 443, (), False),
        ("*.internal:443", "10.1.2.1", 443, ("a.b.internal",), True),
        ("hooks.internal:*", "169.254.169.254", 80, ("hooks.internal",), False),
        ("169.254.0.0/16:80", "169.254.169.254", 80, (), False),
        ("169.254.169.254:80", "169.254.169.254", 80, (), True),
        ("100.64.0.0/10:80", "100.100.100.200", 80, (), False),
        ("100.64.0.0/10:80", "100.100.100.201", 80, (), True),
        ("0.0.0.0/0:*", "168.63.129.16", 80, (), False),
        ("[fc00::/7]:80", "fd00:ec2::254", 80, (), False),
        ("[fc00::/7]:80", "fd00::5efe:169.254.169.254", 80, (), False),
        ("[fc00::/7]:80", "fd00::5efe:10.0.0.1", 80, (), True),
        ("mail.example:25", "8.8.8.8", 25, ("mail.example",), True),
    ],
)
def test_what_grants_open(grants, address, port, names, allowed):
    judgement = _policy(grants).judge(address, port, frozenset(names))
    assert judgement.allowed is allowed
    assert (judgement.reason is Reason.GRANTED) is allowed


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("127.0.0.1", 5432), ("127.1.2.3", 5432), ("::1", 5432), ("::ffff:127.0.0.1", 5432),
        ("10.9.9.9", 1), ("10.9.9.9", 5432), ("::ffff:10.9.9.9", 443), ("64:ff9b:1::a09:909", 443),
        ("fd00::5efe:10.9.9.9", 443),
    ],
)  # fmt: skip
def test_the_platforms_database_wins_over_grants(address, port):
    exact = f"[{address}]:*" if ":" in address else f"{address}:*"
    judgement = _policy(f"0.0.0.0/0:*,[::]/0:*,{exact}", mode="enforce", allow=[exact]).judge(address, port)
    assert judgement.reason is Reason.PLATFORM
    assert judgement.setting is None
    allowed_without = _policy(f"0.0.0.0/0:*,[::]/0:*,{exact}", forbidden=Forbidden()).judge(address, port)
    assert allowed_without.allowed


def test_a_database_at_a_public_address_is_refused():
    policy = _policy(forbidden=Forbidden.of([("8.8.8.8", 5432)]))
    assert policy.judge("8.8.8.8", 5432).reason is Reason.PLATFORM
    assert policy.judge("64:ff9b::808:808", 5432).reason is Reason.PLATFORM
    assert policy.judge("8.8.8.8", 5433).allowed


def test_ports_on_loopback_do_not_tell_where_the_database_is():
    policy = _policy("127.0.0.1:8099")
    assert (
        policy.judge("127.0.0.1", 5432).reason is policy.judge("127.0.0.1", 5431).reason is Reason.NOT_PUBLIC
    )


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "::ffff:93.184.216.34", "2600::34", "64:ff9b::93.184.216.34"]
)
def test_the_machines_own_addresses_are_not_public(address):
    assert OPEN.judge(address, 443).allowed
    judgement = _policy(machine=MACHINE).judge(address, 443)
    assert judgement.reason in {Reason.NOT_PUBLIC, Reason.EMBEDDED}
    assert "leads to this machine itself" in judgement.explanation
    assert _policy(judgement.entry_to_add, machine=MACHINE).judge(address, 443).allowed


@pytest.mark.parametrize("address", ["93.184.216.34", "2600::34", "10.0.0.34", "127.0.0.1"])
def test_a_database_on_this_machine_is_forbidden_on_all_of_its_addresses(address):
    policy = _policy("0.0.0.0/0:*,[::]/0:*", machine=MACHINE)
    assert policy.judge(address, 5432).reason is Reason.PLATFORM
    assert policy.judge(address, 5433).allowed


def test_the_own_url_needs_neither_grant_nor_list():
    for mode in Mode:
        policy = _policy(
            mode=mode, own=["https://acme.example:8585", "http://127.0.0.1:8585"], machine=MACHINE
        )
        for address in ("127.0.0.1", "93.184.216.34", "8.8.8.8", "10.1.2.3"):
            judgement = policy.judge(address, 8585, {"acme.example"})
            assert judgement.reason is Reason.OWN_URL
            assert judgement.allowed and not judgement.reported
        assert policy.judge("127.0.0.1", 8585).reason is Reason.OWN_URL
        assert not policy.judge("127.0.0.1", 8586, {"acme.example"}).allowed
        assert not policy.judge("169.254.169.254", 8585, {"acme.example"}).allowed
        assert policy.judge_name("acme.example").allowed


def test_enforce_needs_the_list_and_the_policy():
    policy = _policy(
        "10.1.2.3:443", mode="enforce", allow=["api.example.com", "10.1.2.3", "10.1.2.4", "8.8.4.4:53"]
    )
    assert policy.judge("8.8.8.8", 443, {"api.example.com"}).reason is Reason.PUBLIC
    assert policy.judge("8.8.4.4", 53).reason is Reason.PUBLIC
    assert policy.judge("10.1.2.3", 443).reason is Reason.GRANTED
    assert policy.judge("10.1.2.4", 443).reason is Reason.NOT_PUBLIC
    assert policy.judge("10.1.2.4", 443, {"api.example.com"}).reason is Reason.NOT_PUBLIC
    for address, port, names in (
        ("8.8.8.8", 443, ()),
        ("8.8.8.8", 80, ("api.example.com",)),
        ("8.8.4.4", 443, ()),
    ):
        judgement = policy.judge(address, port, frozenset(names))
        assert judgement.reason is Reason.NOT_LISTED
        assert judgement.not_on_hooks_list
        assert judgement.setting == "egress.allow"
    assert not policy.judge("10.1.2.4", 443).not_on_hooks_list


def test_a_grant_puts_nothing_on_a_hooks_list():
    judgement = _policy("10.1.2.3:443", mode="enforce").judge("10.1.2.3", 443)
    assert judgement.reason is Reason.NOT_LISTED
    assert judgement.entry_to_add == "10.1.2.3:443"


@pytest.mark.parametrize(
    ("address", "names", "entry"),
    [
        ("8.8.8.8", {"api.example.com"}, "api.example.com:8443"),
        ("8.8.8.8", {"b.example.com", "a.example.com"}, "a.example.com:8443"),
        ("8.8.8.8", set(), "8.8.8.8:8443"),
        ("2600::1", set(), "[2600::1]:8443"),
        ("::ffff:8.8.8.8", set(), "8.8.8.8:8443"),
    ],
)
def test_what_is_not_listed_names_the_line_that_would_help(address, names, entry):
    judgement = _policy(mode="enforce").judge(address, 8443, names)
    assert judgement.entry_to_add == entry
    assert f"Add {entry} to the hook's egress.allow" in judgement.explanation
    assert _policy(mode="enforce", allow=[entry]).judge(address, 8443, names).allowed


def test_report_refuses_only_what_open_refuses_and_marks_the_rest():
    policy = _policy("10.1.2.3:443", mode="report", allow=["api.example.com"])
    listed = policy.judge("8.8.8.8", 443, {"api.example.com"})
    assert listed.allowed and not listed.reported
    for address in ("8.8.8.8", "10.1.2.3"):
        marked = policy.judge(address, 443)
        assert marked.allowed and marked.reported
        assert marked.destination is not None
        assert not marked.not_on_hooks_list
        assert "would refuse" in marked.explanation
        assert (marked.setting, marked.entry_to_add) == ("egress.allow", f"{address}:443")
    refused = policy.judge("10.1.2.4", 443)
    assert not refused.allowed and not refused.reported


def test_a_policy_travels_to_another_process():
    policy = _policy(
        "10.1.2.0/24:*,hooks.internal:443,[fd00::]/8:80", mode="enforce", allow=["*.example.com"],
        own=["https://acme.example"], machine=MACHINE,
    )  # fmt: skip
    assert Policy.from_json(policy.to_json()) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(policy) == hash(Policy.from_json(policy.to_json()))


def test_what_a_run_keeps_of_a_judgement():
    assert OPEN.judge("10.1.2.3", 443) == Judgement(
        allowed=False,
        reason=Reason.NOT_PUBLIC,
        explanation="10.1.2.3 is private (10.0.0.0/8, RFC 1918); hooks reach public addresses only. "
        "The operator can allow it with TENTERHOOK_EGRESS_ALLOW=10.1.2.3:443.",
        setting="TENTERHOOK_EGRESS_ALLOW",
        entry_to_add="10.1.2.3:443",
    )


def test_a_forbidden_host_may_be_a_name_or_an_address():
    forbidden = Forbidden.of(
        [("db.Internal.", 5432), ("localhost", 5432), ("::ffff:10.1.1.1", 5432), ("what?", 1)],
        ["pg.internal"],
    )
    assert forbidden.names == {"db.internal", "pg.internal"}
    assert forbidden.addresses == {(IPv4Address("10.1.1.1"), 5432)}
