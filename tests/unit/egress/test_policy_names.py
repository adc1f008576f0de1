"""Questions to DNS: what may be asked in which mode."""

from __future__ import annotations

import pytest

from tenterhook.egress import Entry, Forbidden, Policy, Reason, Rules, parse_grants


def _policy(mode="open", allow=(), *, grants="", own=(), names=()):
    return Policy(
        rules=Rules.of(mode, allow),
        grants=parse_grants(grants),
        own=tuple(Entry.of_url(url) for url in own),
        forbidden=Forbidden.of([("8.8.4.4", 5432)], names),
    )


@pytest.mark.parametrize(
    "name", ["example.com", "Example.COM.", "localhost", "redis", "_dmarc.example.com", "a_b.example"]
)
@pytest.mark.parametrize("record_type", ["A", "AAAA", "MX", "TXT", "SRV", "a"])
def test_open_asks_for_any_name(name, record_type):
    assert _policy().judge_name(name, record_type).reason is Reason.NAME_OK


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a..b", ".a", "a b", "a\0b", "ä.example", "hoo\u212as.example", "-a.example", "a*.example", "x" * 64,
     ".".join(["a" * 60] * 5), "\ud800"],
)  # fmt: skip
def test_what_is_no_name_is_not_asked_for(name):
    assert _policy().judge_name(name).reason is Reason.INVALID_NAME


@pytest.mark.parametrize("record_type", ["AXFR", "IXFR", "axfr"])
def test_zones_are_not_transferred(record_type):
    assert _policy().judge_name("example.com", record_type).reason is Reason.ZONE_TRANSFER


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("api.example.com", True),
        ("API.example.com.", True),
        ("secret-data.api.example.com", False),
        ("example.com", False),
        ("x.wild.example", True),
        ("x.y.wild.example", True),
        ("wild.example", False),
        ("attacker.example", False),
        ("localhost", False),
        ("_mongodb._tcp.api.example.com", True),
        ("_mongodb._tcp.attacker.example", False),
        ("hooks.internal", False),
        ("acme.example", True),
    ],
)
def test_enforce_asks_only_for_names_on_the_list(name, allowed):
    policy = _policy(
        "enforce", ["api.example.com", "*.wild.example", "10.0.0.0/8:80"],
        grants="hooks.internal:443", own=["https://acme.example"],
    )  # fmt: skip
    judgement = policy.judge_name(name, "TXT")
    assert judgement.allowed is allowed
    assert judgement.not_on_hooks_list is not allowed
    assert judgement.destination is None
    if not allowed:
        assert judgement.reason is Reason.NAME_NOT_LISTED
        assert judgement.setting == "egress.allow"
        assert _policy("enforce", [judgement.entry_to_add]).judge_name(name).allowed


def test_report_asks_for_any_name_and_marks_what_is_not_listed():
    policy = _policy("report", ["api.example.com"])
    assert not policy.judge_name("api.example.com").reported
    marked = policy.judge_name("attacker.example")
    assert marked.allowed and marked.reported
    assert marked.entry_to_add == "attacker.example:443"


def test_the_platforms_database_is_not_looked_up():
    policy = _policy("enforce", ["db.internal", "*.internal"], grants="db.internal:*", names=["db.internal"])
    for name in ("db.internal", "DB.Internal.", "_postgresql._tcp.db.internal"):
        assert policy.judge_name(name).reason is Reason.PLATFORM
    assert policy.judge_name("x.db.internal").allowed


def test_a_server_whose_url_has_the_databases_name_is_found():
    policy = _policy(own=["https://box.example"], names=["box.example"])
    assert policy.judge_name("box.example").allowed


V6_LOOPBACK = "1." + "0." * 31 + "ip6.arpa"
V6_PUBLIC = ".".join(reversed("26064700470000000000000000001111")) + ".ip6.arpa"
V6_MAPPED = ".".join(reversed(f"{0xFFFF_0A00_0001:032x}")) + ".ip6.arpa"


@pytest.mark.parametrize("record_type", ["PTR", "CNAME", "ANY"])
@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("8.8.8.8.in-addr.arpa", True),
        ("8.8.8.8.IN-ADDR.ARPA.", True),
        (V6_PUBLIC, True),
        ("1.0.0.127.in-addr.arpa", False),
        ("1.2.1.10.in-addr.arpa", False),
        ("254.169.254.169.in-addr.arpa", False),
        ("4.4.8.8.in-addr.arpa", False),  # the database's, see above
        (V6_LOOPBACK, False),
        (V6_MAPPED, False),
        ("in-addr.arpa", False),
        ("ip6.arpa", False),
        ("10.in-addr.arpa", False),
        ("1.10.in-addr.arpa", False),
        ("x.8.8.8.8.in-addr.arpa", False),
        ("08.8.8.8.in-addr.arpa", False),
        ("256.8.8.8.in-addr.arpa", False),
        ("_x.8.8.8.8.in-addr.arpa", False),
        ("x." + V6_PUBLIC, False),
        ("zz." + V6_PUBLIC[4:], False),
        ("g." + V6_PUBLIC[2:], False),
    ],
)
def test_names_of_addresses_that_are_not_public_are_not_told(name, record_type, allowed):
    judgement = _policy().judge_name(name, record_type)
    assert judgement.allowed is allowed
    assert judgement.reason is (Reason.NAME_OK if allowed else Reason.REVERSE_NAME)


def test_a_name_that_only_looks_like_a_reverse_one_is_a_name():
    assert _policy().judge_name("xin-addr.arpa").allowed
    assert _policy().judge_name("in-addr.arpa.example").allowed


def test_the_name_of_a_granted_address_is_told():
    policy = _policy(grants="10.1.2.0/24:443,169.254.0.0/16:80", own=["http://127.0.0.1:8585"])
    assert policy.judge_name("3.2.1.10.in-addr.arpa", "PTR").allowed
    assert policy.judge_name("1.0.0.127.in-addr.arpa", "PTR").allowed
    assert not policy.judge_name("254.169.254.169.in-addr.arpa", "PTR").allowed


def test_enforce_tells_the_names_of_listed_addresses_alone():
    policy = _policy("enforce", ["8.8.8.8", "dns.google"])
    assert policy.judge_name("8.8.8.8.in-addr.arpa", "PTR").allowed
    refused = policy.judge_name("9.9.9.9.in-addr.arpa", "PTR")
    assert refused.reason is Reason.NAME_NOT_LISTED
    assert refused.entry_to_add == "9.9.9.9:443"
