"""What protects hooks here, as authors, operators and the world are told it."""

from __future__ import annotations

import pytest

from tenterhook.sandbox import SandboxStatus
from tenterhook.sandbox.status import UNSAFE_SETTING

from .found_layers import found

ALL = found(tier=1)
NO_CGROUP = found(tier=2, without={"cgroup"})
GATE = found(tier=3, without={"cgroup", "namespaces"})
NOTHING = found(tier=0, without={"cgroup", "namespaces", "landlock", "seccomp"})


@pytest.mark.parametrize("probed", [ALL, NO_CGROUP, GATE])
@pytest.mark.parametrize("unsafe", [False, True])
def test_with_a_sandbox_hooks_run_and_the_unsafe_setting_changes_nothing(probed, unsafe):
    status = SandboxStatus.of(probed, unsafe=unsafe)
    assert (status.hooks_run, status.unsandboxed, status.refusal) == (True, False, None)


def test_without_a_sandbox_hooks_are_refused():
    status = SandboxStatus.of(NOTHING, unsafe=False)
    assert (status.hooks_run, status.unsandboxed) == (False, False)
    assert "missing: cgroup, namespaces, landlock, seccomp" in status.refusal
    assert "tenterhook doctor" in status.refusal


def test_a_refusal_tells_authors_nothing_of_the_host():
    assert "found by trying" not in SandboxStatus.of(NOTHING, unsafe=False).refusal


def test_with_the_unsafe_setting_hooks_run_and_bear_the_mark():
    status = SandboxStatus.of(NOTHING, unsafe=True)
    assert (status.hooks_run, status.unsandboxed, status.refusal) == (True, True, None)


def test_the_start_shows_one_line_where_all_holds():
    assert SandboxStatus.of(ALL, unsafe=False).lines() == ["Sandbox: tier 1 (all layers)"]


@pytest.mark.parametrize(
    ("probed", "unsafe", "first"),
    [
        (NO_CGROUP, False, "Sandbox: tier 2 (namespaces, filter and gate; no cgroup)"),
        (GATE, False, "Sandbox: tier 3 (gate mode"),
        (NOTHING, False, "Sandbox: NONE. HOOKS DO NOT RUN"),
        (NOTHING, True, f"Sandbox: NONE, AND HOOKS RUN ALL THE SAME ({UNSAFE_SETTING})"),
    ],
)
def test_the_start_says_of_each_missing_layer_what_is_lost(probed, unsafe, first):
    lines = SandboxStatus.of(probed, unsafe=unsafe).lines()
    assert lines[0].startswith(first)
    assert lines[1:] == [
        f"  without {layer.name}: {layer.lost}" for layer in probed.layers if not layer.available
    ]
    assert len(lines) > 1
