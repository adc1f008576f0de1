"""What a process is started with, as far as it can be said without starting one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenterhook.sandbox.spawn import RUNTIME_DIR, PathMap, Surroundings

STORE = Path("/data/modules")
NODE = Path("/home/me/.venv/node")


@pytest.mark.parametrize(
    "path", ["/data/modules-other/x", "/data", "/", "/data/modules/../secret", "relative", "/home/me/.venv"]
)
def test_path_outside_is_refused(path: str) -> None:
    for here in Surroundings:
        with pytest.raises(ValueError, match="outside"):
            PathMap((STORE,), (NODE,), here).inside(Path(path))


def test_paths_are_translated_only_where_there_are_private_mounts() -> None:
    private = PathMap((STORE,), (NODE,), Surroundings.OWN_UID_AND_MOUNTS)
    inside = private.inside(STORE / "set" / "node_modules" / "one")
    assert inside.endswith("/1/set/node_modules/one")
    assert not inside.startswith("/data")
    assert dict(private.binds).keys() == {str(RUNTIME_DIR), str(STORE), str(NODE)}
    same = PathMap((STORE,), (NODE,), Surroundings.SAME_UID)
    assert same.inside(STORE / "set") == "/data/modules/set"
    assert same.binds == ()


def test_private_targets_do_not_clash() -> None:
    paths = PathMap((STORE, Path("/other/modules")), (NODE, Path("/b/node")), Surroundings.OWN_UID_AND_MOUNTS)
    targets = [target for _source, target in paths.binds]
    assert len(set(targets)) == len(targets) == 5
