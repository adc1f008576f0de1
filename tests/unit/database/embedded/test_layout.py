"""Where things lie in the data folder: what fits a socket, what is removed, what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tenterhook.database.embedded import layout as layouts
from tenterhook.database.embedded.errors import DataFolderUnusableError

LONGEST = 107 - len("/.s.PGSQL.5432")


@pytest.mark.parametrize(
    ("folder", "fits"),
    [
        ("/" + "x" * (LONGEST - 1), True),
        ("/" + "x" * LONGEST, False),
        ("/" + "ü" * ((LONGEST - 1) // 2), True),
        ("/" + "ü" * ((LONGEST + 1) // 2), False),
        ("/with space", True),
        ("/with,comma", False),
        ('/with"quote', False),
        ("/with\nline", False),
    ],
)
def test_socket_folder_fits_up_to_the_kernels_limit(folder, fits):
    assert layouts._fits(Path(folder)) is fits


def test_prepare_makes_a_private_folder_and_leaves_nothing_in_it(tmp_path):
    layout = layouts.prepare(tmp_path / "a" / "b")
    assert stat.S_IMODE(layout.data_dir.stat().st_mode) == 0o700
    assert list(layout.data_dir.iterdir()) == []


def test_prepare_names_the_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderUnusableError, match="file/data cannot be written"):
        layouts.prepare(tmp_path / "file" / "data")


def test_private_file_is_replaced_whole(tmp_path):
    (tmp_path / "secret.draft").write_text("left by a crash")
    layouts.write_private(tmp_path / "secret", "first")
    layouts.write_private(tmp_path / "secret", "second")
    assert (tmp_path / "secret").read_text() == "second"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "secret"]


def test_damaged_record_of_the_socket_folder_removes_nothing_else(tmp_path):
    layout = layouts.prepare(tmp_path / "data")
    (tmp_path / "precious").mkdir()
    layout.socket_dir_record.write_text(str(tmp_path / "precious"))
    layouts.remove_socket_dir(layout)
    assert (tmp_path / "precious").is_dir()
    assert not layout.socket_dir_record.exists()


@pytest.mark.parametrize("text", ["", "{", "{}", '{"postgres": "only"}', "[]"])
def test_damaged_passwords_are_refused(tmp_path, text):
    layout = layouts.prepare(tmp_path)
    layout.passwords_file.write_text(text)
    with pytest.raises(DataFolderUnusableError, match="missing or damaged"):
        layouts.read_passwords(layout)


def test_passwords_differ_and_are_long(tmp_path):
    layout = layouts.prepare(tmp_path)
    layouts.make_passwords(layout)
    passwords = layouts.read_passwords(layout)
    assert len(set(passwords.values())) == 2
    assert all(len(password) >= 43 for password in passwords.values())
