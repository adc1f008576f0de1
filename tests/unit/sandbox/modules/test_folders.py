"""Locks, temporary folders and sealing."""

from __future__ import annotations

import os
import stat

import pytest

from tenterhook.sandbox.modules import BrokenModuleError, folders


def fill(folder):
    (folder / "node_modules" / "x").mkdir(parents=True)
    (folder / "node_modules" / "x" / "index.js").write_text("1")
    program = folder / "node_modules" / "x" / "program"
    program.write_text("#!")
    program.chmod(0o4755)


def test_lock_has_one_holder_and_can_be_taken_again(tmp_path):
    first = folders.try_lock(tmp_path / "x.lock")
    assert folders.try_lock(tmp_path / "x.lock") is None
    os.close(first)
    second = folders.try_lock(tmp_path / "x.lock")
    assert second is not None
    os.close(second)


def test_temporary_folder_goes_with_its_contents_sealed_or_not(tmp_path):
    with folders.temporary_folder(tmp_path) as folder:
        (folder / "set").mkdir()
        fill(folder / "set")
        folders.seal(folder / "set")
    assert list(tmp_path.iterdir()) == []


def test_abandoned_folder_is_removed_and_one_in_use_is_not(tmp_path):
    abandoned = tmp_path / "0123"
    abandoned.mkdir()
    fill(abandoned)
    (tmp_path / "0123.lock").touch()
    with folders.temporary_folder(tmp_path) as in_use:
        assert folders.remove_abandoned(tmp_path) == 1
        assert not abandoned.exists()
        assert in_use.exists()
    assert folders.remove_abandoned(tmp_path / "absent") == 0


def test_sealed_set_is_read_only_and_whole(tmp_path):
    made, target = tmp_path / "set", tmp_path / "store"
    made.mkdir()
    fill(made)
    folders.seal(made)
    folders.publish(made, target)
    modes = {stat.S_IMODE(path.lstat().st_mode) for path in [target, *target.rglob("*")]}
    assert modes == {0o555, 0o444}
    assert folders.is_whole(target)
    assert not folders.is_whole(tmp_path / "absent")


def test_emptied_file_is_noticed_and_the_set_replaced(tmp_path):
    target = tmp_path / "store"
    for round_ in range(2):
        made = tmp_path / str(round_) / "set"
        made.mkdir(parents=True)
        fill(made)
        folders.seal(made)
        folders.publish(made, target)
        assert folders.is_whole(target)
        damaged = target / "node_modules" / "x" / "index.js"
        damaged.chmod(0o644)
        damaged.write_text("")
        assert not folders.is_whole(target)


def test_link_is_refused(tmp_path):
    made = tmp_path / "set"
    made.mkdir()
    fill(made)
    (made / "node_modules" / "y").symlink_to("/etc")
    with pytest.raises(BrokenModuleError):
        folders.seal(made)


def test_measure_counts_files_and_bytes(tmp_path):
    fill(tmp_path)
    assert folders.measure(tmp_path) == (2, 3)
    assert folders.measure(tmp_path / "absent") == (0, 0)
