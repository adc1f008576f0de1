"""Which layers make which tier."""

from __future__ import annotations

import sys

import pytest

from tenterhook.sandbox.jail import probing
from tenterhook.sandbox.jail.probing import ALWAYS, CGROUPS, GATE, NAMESPACED, tier_of

both = pytest.mark.parametrize(("is_root", "own_user"), [(True, "own_uid"), (False, "user_namespace")])


@both
def test_everything_is_tier_one(is_root, own_user):
    assert tier_of(ALWAYS | NAMESPACED | CGROUPS | GATE | {own_user}, is_root=is_root) == 1


@both
def test_each_missing_cgroup_makes_tier_two(is_root, own_user):
    for missing in CGROUPS:
        assert tier_of((ALWAYS | NAMESPACED | CGROUPS | {own_user}) - {missing}, is_root=is_root) == 2


@both
def test_namespaced_tiers_do_not_demand_landlock(is_root, own_user):
    assert tier_of(ALWAYS | NAMESPACED | {own_user}, is_root=is_root) == 2


@both
def test_each_missing_namespace_leaves_gate_mode_or_nothing(is_root, own_user):
    for missing in NAMESPACED:
        rest = (ALWAYS | NAMESPACED | CGROUPS | {own_user}) - {missing}
        assert tier_of(rest | GATE, is_root=is_root) == 3
        for lock in GATE:
            assert tier_of((rest | GATE) - {lock}, is_root=is_root) == 0


@both
def test_each_layer_that_is_always_demanded_refuses_when_missing(is_root, own_user):
    everything = ALWAYS | NAMESPACED | CGROUPS | GATE | {own_user}
    for missing in ALWAYS:
        assert tier_of(everything - {missing}, is_root=is_root) == 0


def test_gate_mode_never_runs_hooks_as_root():
    assert tier_of(ALWAYS | GATE, is_root=True) == 0
    assert tier_of(ALWAYS | GATE | {"own_uid"}, is_root=True) == 3
    assert tier_of(ALWAYS | GATE, is_root=False) == 3


def test_one_kind_of_user_does_not_stand_for_the_other():
    assert tier_of(ALWAYS | NAMESPACED | {"user_namespace"}, is_root=True) == 0
    assert tier_of(ALWAYS | NAMESPACED | {"own_uid"}, is_root=False) == 0


def test_a_probe_that_cannot_be_made_is_tier_zero(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    found = probing.probe()
    assert found.tier == 0
    assert "/nowhere/python" in found.layers[0].detail


def test_a_probe_that_fails_is_tier_zero_and_says_why(monkeypatch):
    command = [sys.executable, "-c", "raise OSError('the reason')"]
    monkeypatch.setattr(probing.bare_python, "argv", lambda *_: command)
    found = probing.probe()
    assert found.tier == 0
    assert "the reason" in found.layers[0].detail
