"""A hook's rules: reading them, what makes them equal, what they are about."""

from __future__ import annotations

import pickle

import pytest

from tenterhook.egress import MAX_ENTRIES, InvalidEgressRulesError, Mode, Rules, canonical


def test_rules_are_open_by_default():
    assert Rules() == Rules.of("open") == Rules.from_json({})
    assert Rules().mode is Mode.OPEN


def test_a_line_without_a_port_means_443():
    assert Rules.of("enforce", ["api.example.com", "10.1.2.3", "[fd00::1]"]).to_json() == {
        "mode": "enforce",
        "allow": ["10.1.2.3:443", "[fd00::1]:443", "api.example.com:443"],
    }


def test_rules_with_the_same_meaning_are_equal():
    one = Rules.of("enforce", ["B.example:443", "a.example", "a.example:443"])
    other = Rules.of("enforce", ["a.example.", "b.example"])
    assert one == other
    assert hash(one) == hash(other)
    assert Rules(mode=Mode.ENFORCE, allow=tuple(reversed(one.allow))) == one
    assert Rules.from_json(one.to_json()) == one
    assert pickle.loads(pickle.dumps(one)) == one


def test_rules_differ_where_the_effect_does():
    rules = [
        Rules(),
        Rules.of("report"),
        Rules.of("enforce"),
        Rules.of("report", ["a.example"]),
        Rules.of("enforce", ["a.example"]),
        Rules.of("enforce", ["a.example:80"]),
        Rules.of("enforce", ["*.a.example"]),
    ]
    assert len(set(rules)) == len(rules)


@pytest.mark.parametrize(
    ("value", "path", "advice"),
    [
        (None, "egress", "an object"),
        ([], "egress", "an object"),
        ("open", "egress", "an object"),
        ({"modes": "open"}, "egress", "an object"),
        ({"mode": None}, "egress.mode", "open, report, enforce"),
        ({"mode": "OPEN"}, "egress.mode", "open, report, enforce"),
        ({"mode": ["open"]}, "egress.mode", "open, report, enforce"),
        ({"allow": "a.example"}, "egress.allow", "a list of texts"),
        ({"allow": [1]}, "egress.allow", "a list of texts"),
        ({"allow": ["a.example", "http://b.example"]}, "egress.allow", "'http://b.example'"),
        ({"allow": [f"h{n}.example" for n in range(MAX_ENTRIES + 1)]}, "egress.allow", "at most 100"),
        ({"allow": ["a.example"] * 1_000_000}, "egress.allow", "more than 100"),
    ],
)
def test_other_forms_are_refused(value, path, advice):
    with pytest.raises(InvalidEgressRulesError) as caught:
        Rules.from_json(value)
    assert advice in caught.value.message
    assert caught.value.details["path"] == path


def test_the_longest_list_is_read():
    assert len(Rules.of("enforce", [f"h{n}.example" for n in range(MAX_ENTRIES)]).allow) == MAX_ENTRIES


def test_what_a_list_names():
    rules = Rules.of("enforce", ["*.example.com", "10.1.2.0/24:80"])
    assert rules.lists(canonical("8.8.8.8"), 443, {"api.example.com"})
    assert not rules.lists(canonical("8.8.8.8"), 443, set())
    assert rules.lists(canonical("10.1.2.9"), 80, set())
    assert not rules.lists(canonical("10.1.2.9"), 443, set())
    assert rules.lists_name("api.example.com")
    assert not rules.lists_name("example.com")
    assert rules.lists_address(canonical("10.1.2.9"))
    assert not rules.lists_address(canonical("8.8.8.8"))
