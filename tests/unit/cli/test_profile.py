"""The profile: private, found in the order that is promised, and refused in words."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from tenterhook.cli.failures import CommandError
from tenterhook.cli.profile import PROFILE_FILE_NAME, Profile, find_profile, load_profile, save_profile


def a_profile(**changes) -> Profile:
    values = {
        "url": "http://127.0.0.1:8585",
        "tenant": "default",
        "domain": "localhost:8443",
        "audience": "https://localhost:8443/api/v2/",
        "client_id": "client",
        "client_secret": SecretStr("not to be seen"),
    }
    return Profile(**(values | changes))


def test_a_saved_profile_is_loaded_as_it_was(tmp_path):
    profile = a_profile(ca_file=tmp_path / "tls" / "ca.pem")
    save_profile(profile, tmp_path / PROFILE_FILE_NAME)
    assert load_profile(tmp_path / PROFILE_FILE_NAME) == profile


def test_the_file_is_private_from_the_start_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / PROFILE_FILE_NAME
    for _ in range(2):
        save_profile(a_profile(), path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [entry.name for entry in tmp_path.iterdir()] == [PROFILE_FILE_NAME]


def test_the_secret_is_not_in_the_repr():
    assert "not to be seen" not in repr(a_profile())


def test_the_ca_file_may_move_with_the_data_folder(tmp_path):
    save_profile(
        a_profile(ca_file=tmp_path / "data" / "tls" / "ca.pem"), _made(tmp_path / "data") / "profile.json"
    )
    (tmp_path / "data").rename(tmp_path / "moved")
    assert load_profile(tmp_path / "moved" / "profile.json").ca_file == tmp_path / "moved" / "tls" / "ca.pem"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_named_profile_wins_over_the_data_folder(tmp_path):
    save_profile(a_profile(client_id="named"), tmp_path / "named.json")
    save_profile(a_profile(client_id="in-folder"), tmp_path / PROFILE_FILE_NAME)
    assert find_profile(tmp_path / "named.json", tmp_path).client_id == "named"
    assert find_profile(None, tmp_path).client_id == "in-folder"


def test_without_data_option_the_settings_say_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TENTERHOOK_DATA_DIR", str(tmp_path))
    save_profile(a_profile(), tmp_path / PROFILE_FILE_NAME)
    assert find_profile(None, None).client_id == "client"


def test_a_missing_profile_names_the_commands_that_help(tmp_path):
    with pytest.raises(CommandError, match=r"tenterhook init.*--profile or TENTERHOOK_PROFILE"):
        find_profile(None, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '"x"', json.dumps({"url": 1, "tenant": "", "domain": "", "audience": ""})]
)
def test_a_broken_profile_is_refused_by_name(tmp_path, text):
    path = tmp_path / PROFILE_FILE_NAME
    path.write_text(text)
    with pytest.raises(CommandError, match=r"profile\.json"):
        load_profile(path)
