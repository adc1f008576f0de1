"""Each layer is found by trying: on this machine, and under denials that the test applies itself."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from tenterhook.sandbox.jail import bare_python
from tenterhook.sandbox.jail.probing import ALWAYS, CGROUPS, GATE, NAMESPACED, Probe, probe, tier_of

_ROOT = Path(__file__).parents[4]
IS_ROOT = os.geteuid() == 0
OWN_USER = "own_uid" if IS_ROOT else "user_namespace"


def _probe_after(preparation: str) -> dict[str, tuple[bool, str]]:
    """Run the tries in a process that has prepared itself; what is denied to it is denied to its children."""
    *python, program = bare_python.argv("tenterhook.sandbox.jail.trying", "main()")
    # Python may lie where an ordinary user cannot read it, so nothing may be imported later.
    preparation = f"import encodings.ascii\nsys.path.append({str(_ROOT)!r})\nfrom tests.integration.sandbox.jail import denials\n{preparation}\n"
    program = program.replace("trying.main()", preparation + "trying.main()")
    done = subprocess.run([*python, program], capture_output=True, check=False, cwd="/", timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    return {layer["name"]: (layer["available"], layer["detail"]) for layer in answer["layers"]}


def _tier(found: dict[str, tuple[bool, str]], *, is_root: bool = IS_ROOT) -> int:
    return tier_of(frozenset(name for name, (available, _) in found.items() if available), is_root=is_root)


def _by_name(found: Probe) -> dict[str, tuple[bool, str]]:
    return {layer.name: (layer.available, layer.detail) for layer in found.layers}


def test_this_machine_has_all_but_perhaps_cgroups():
    found = probe()
    layers = _by_name(found)
    missing = {name: detail for name, (available, detail) in layers.items() if not available}
    assert set(missing) <= CGROUPS, missing
    assert found.tier == (2 if missing else 1)
    assert {*ALWAYS, *NAMESPACED, *CGROUPS, *GATE, OWN_USER, "pidfd_getfd"} == set(layers)


def test_every_layer_says_what_is_lost_without_it():
    for layer in probe().layers:
        assert layer.lost.endswith(".") and len(layer.lost) > 15
        assert layer.detail


def test_it_may_be_asked_from_a_process_with_threads():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert probe().tier in {1, 2}
    finally:
        stop.set()
        thread.join()


def _left_behind() -> set[str]:
    """Control groups whose owner is no more."""
    folders = {
        folder.name
        for tree in Path("/sys/fs/cgroup").glob("*")
        for folder in tree.glob("**/tenterhook-*-*-*")
    }
    return {name for name in folders if not Path("/proc", name.split("-")[2]).exists()}


def test_nothing_is_left_behind():
    before = _left_behind()
    probe()
    assert _left_behind() <= before


def test_dockers_denials_leave_gate_mode():
    found = _probe_after("denials.like_docker()")
    assert _tier(found) == 3
    for name in (*NAMESPACED, "pidfd_getfd"):
        assert found[name][0] is False, name
        assert "Operation not permitted" in found[name][1]
    for name in (*ALWAYS, *GATE):
        assert found[name][0] is True, name


def test_without_notification_nothing_is_left():
    found = _probe_after("denials.like_docker(notification=True)")
    assert found["seccomp_notification"][0] is False
    assert found["seccomp_filter"][0] is True
    assert _tier(found) == 0


def test_without_notification_namespaces_do_not_help():
    found = _probe_after("denials.deny([], notification=True)")
    assert all(found[name][0] for name in NAMESPACED)
    assert _tier(found) == 0


def test_without_landlock_namespaces_do_and_gate_mode_does_not():
    without = "['landlock_create_ruleset', 'landlock_add_rule', 'landlock_restrict_self']"
    assert _tier(_probe_after(f"denials.deny({without})")) in {1, 2}
    assert _tier(_probe_after(f"denials.deny({without}); denials.like_docker()")) == 0


@pytest.mark.parametrize(
    ("denied", "layer"),
    [
        ("mount", "mount_namespace"),
        ("pivot_root", "mount_namespace"),
        ("sethostname", "uts_namespace"),
        ("prctl", "seccomp_filter"),
        ("pidfd_getfd", "pidfd_getfd"),
    ],
)
def test_a_layer_is_tried_down_to_its_last_call(denied, layer):
    preparation = f"denials.deny([{denied!r}])"
    if denied == "prctl":  # everything needs it: the whole program fails, and that is an answer too
        with pytest.raises(AssertionError, match="Operation not permitted"):
            _probe_after(preparation)
        return
    found = _probe_after(preparation)
    assert found[layer] == (False, found[layer][1])
    assert _tier(found) == (1 if layer == "pidfd_getfd" and found["cgroup_memory"][0] else _tier(found))


def test_a_host_whose_folders_cannot_be_covered_has_no_mount_namespace():
    found = _probe_after("from tenterhook.sandbox.jail import tree; tree._BASES = ('/usr/nowhere',)")
    assert found["mount_namespace"] == (False, found["mount_namespace"][1])
    assert "/usr/nowhere can be covered" in found["mount_namespace"][1]
    assert _tier(found) == 3


if IS_ROOT:

    def test_root_without_capabilities_is_refused_rather_than_run_as_root():
        found = _probe_after("denials.keep_dockers_capabilities(); denials.like_docker()")
        assert found["own_uid"][0] is False
        assert found["seccomp_notification"][0] is True
        assert _tier(found) == 0

    def test_ordinary_user_has_namespaces_inside_of_a_user_namespace():
        found = _probe_after("denials.become_ordinary()")
        assert all(found[name][0] for name in (*ALWAYS, *NAMESPACED, *GATE, "user_namespace")), found
        assert _tier(found, is_root=False) == 2
        assert not any(found[name][0] for name in CGROUPS)

    def test_ordinary_user_in_a_container_has_gate_mode():
        found = _probe_after("denials.become_ordinary(); denials.like_docker()")
        assert found["user_namespace"][0] is False
        assert _tier(found, is_root=False) == 3
