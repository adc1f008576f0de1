"""What a run and its process may use: defaults, a hook's own values, the operator's maxima, and how a hit is told."""

from __future__ import annotations

import pytest

from tenterhook.egress import Entry, Rules
from tenterhook.sandbox import KIND_OF, KINDS, Confinement, Limits, limits
from tenterhook.settings import MAXIMUM_OF, Settings


def test_the_values_without_settings_are_the_settings_defaults():
    assert Limits.from_settings(Settings()) == Limits()
    assert Confinement.from_settings(Settings()) == Confinement()


def test_every_limit_with_a_maximum_may_be_a_hooks_own():
    assert {kind.setting for kind in KINDS} == set(MAXIMUM_OF)
    assert {kind.maximum_setting for kind in KINDS} == set(MAXIMUM_OF.values())
    fields = {*Limits.__dataclass_fields__, *Confinement.__dataclass_fields__}
    assert {kind.field for kind in KINDS} <= fields


def _value_of(kind, own):
    part = Confinement if kind.of_process else Limits
    return getattr(part.from_settings(Settings(), own), kind.field)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_own_value_counts_up_to_the_maximum_and_not_beyond(kind):
    maximum = kind.maximum(Settings())
    assert _value_of(kind, {}) == kind.default(Settings())
    assert _value_of(kind, {kind.name: kind.minimum}) == kind.minimum
    assert _value_of(kind, {kind.name: maximum}) == maximum
    assert _value_of(kind, {kind.name: maximum + 1}) == maximum
    assert kind.minimum <= kind.default(Settings()) <= maximum


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_own_value_changes_nothing_else(kind):
    own = {kind.name: kind.maximum(Settings())}
    others = [each for each in KINDS if each is not kind]
    assert [_value_of(each, own) for each in others] == [each.default(Settings()) for each in others]


def test_hooks_that_are_confined_the_same_have_equal_confinements():
    def confined(**options):
        return Confinement.from_settings(Settings(), **options)

    listed = Rules.of("enforce", ["a.example.com", "b.example.com"])
    assert confined(egress=listed) == confined(egress=Rules.of("enforce", ["b.example.com", "a.example.com"]))
    assert confined(egress=Rules.of("open", ["a.example.com"])) == confined()
    own = (Entry.of_url("https://acme.example.com"),)
    different = [
        confined(),
        confined(egress=listed),
        confined(egress=Rules.of("report", ["a.example.com", "b.example.com"])),
        confined(own={"memory_bytes": 2**29}),
        confined(grants=own),
        confined(only_for="hook"),
    ]
    assert len(set(different)) == len(different)
    assert confined(own={"wall_time_seconds": 1}) == confined()


def test_a_hit_says_how_much_it_was_and_who_can_raise_it():
    hits = [
        limits.wall_time(Limits()),
        limits.grace(Limits(grace_seconds=0.5)),
        limits.result_size(Limits()),
        limits.memory(2**28),
        limits.threads(64),
        limits.open_files(512),
        limits.scratch(2**24),
        limits.connections(256),
        limits.connections(1),
    ]
    assert [str(hit).partition(";")[0] for hit in hits] == [
        "wall time limit of 20 seconds",
        "grace limit of 0.5 seconds",
        "result size limit of 1,048,576 bytes",
        "memory limit of 268,435,456 bytes",
        "threads limit of 64 threads",
        "open files limit of 512 files",
        "scratch limit of 16,777,216 bytes",
        "connections limit of 256 connections",
        "connections limit of 1 connection",
    ]
    for hit in hits:
        kind = KIND_OF[hit.hook_setting]
        assert kind.option in str(hit)
        assert hit.setting in str(hit) and hit.setting == f"TENTERHOOK_{kind.setting.upper()}"
