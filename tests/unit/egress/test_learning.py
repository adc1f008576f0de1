"""Lists proposed from what past runs reached."""

from __future__ import annotations

from tenterhook.egress import Policy, Rules, Seen, propose


def _seen(address, port, *names):
    return Seen(address=address, port=port, names=frozenset(names))


def _texts(proposals):
    return [(str(proposal.entry), proposal.times) for proposal in proposals]


def test_names_are_preferred_and_the_most_used_come_first():
    seen = [
        _seen("8.8.8.8", 443),
        _seen("93.184.216.34", 443, "API.example.com."),
        _seen("93.184.216.35", 443, "api.example.com"),
        _seen("93.184.216.35", 8443, "api.example.com"),
        _seen("::ffff:8.8.4.4", 443),
        _seen("2600::1", 80),
    ]
    assert _texts(propose(seen)) == [
        ("api.example.com:443", 2),
        ("8.8.4.4:443", 1),
        ("8.8.8.8:443", 1),
        ("[2600::1]:80", 1),
        ("api.example.com:8443", 1),
    ]


def test_all_names_of_one_address_are_proposed():
    assert _texts(propose([_seen("8.8.8.8", 443, "a.example", "b.example")])) == [
        ("a.example:443", 1),
        ("b.example:443", 1),
    ]


def test_what_is_listed_is_not_proposed_again():
    rules = Rules.of("report", ["*.example.com", "8.8.8.8"])
    seen = [
        _seen("8.8.8.8", 443),
        _seen("8.8.4.4", 443, "api.example.com"),
        _seen("8.8.4.4", 80, "api.example.com"),
    ]
    assert _texts(propose(seen, rules)) == [("api.example.com:80", 1)]


def test_what_cannot_be_read_is_left_out():
    assert propose([_seen("nonsense", 443)]) == ()
    assert _texts(propose([_seen("8.8.8.8", 443, "not a name")])) == [("8.8.8.8:443", 1)]


def test_with_the_proposed_list_the_same_connections_are_allowed():
    seen = [
        _seen("8.8.8.8", 443),
        _seen("93.184.216.34", 8443, "a.example", "b.example"),
        _seen("2600::1", 80),
    ]
    rules = Rules.of("enforce", [str(proposal.entry) for proposal in propose(seen)])
    policy = Policy(rules=rules)
    assert all(policy.judge(each.address, each.port, each.names).allowed for each in seen)
    assert propose(seen, rules) == ()
