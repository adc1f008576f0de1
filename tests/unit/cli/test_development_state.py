"""The stand-in for Slack keeps its address between starts, unless somebody else has taken it."""

from __future__ import annotations

import stat

import pytest

from tenterhook.cli.development.demo_hook import demo_script, sign_up_line
from tenterhook.cli.development.state import STATE_FILE_NAME, bind_catcher


def test_the_address_stays_the_same(tmp_path):
    first, bound = bind_catcher(tmp_path)
    bound.close()
    second, bound = bind_catcher(tmp_path)
    bound.close()
    assert first == second
    assert first.previous_url is None
    assert first.url.startswith(f"https://127.0.0.1:{first.port}/services/T")
    assert stat.S_IMODE((tmp_path / STATE_FILE_NAME).stat().st_mode) == 0o600


def test_a_taken_port_is_exchanged_and_the_old_address_reported(tmp_path):
    first, bound = bind_catcher(tmp_path)
    with bound:
        bound.listen()
        second, other = bind_catcher(tmp_path)
        other.close()
    assert second.port != first.port
    assert second.path == first.path
    assert second.previous_url == first.url


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"slack_port": "x", "slack_path": 1}', '{"slack_port": 0, "slack_path": "/"}']
)
def test_a_damaged_file_is_as_good_as_none(tmp_path, text):
    (tmp_path / STATE_FILE_NAME).write_text(text)
    state, bound = bind_catcher(tmp_path)
    bound.close()
    assert state.previous_url is None


def test_the_demo_is_the_sample_with_the_address_in_it():
    script = demo_script("https://127.0.0.1:1/services/x")
    assert "var SLACK_HOOK = 'https://127.0.0.1:1/services/x';" in script
    assert "YOUR SLACK HOOK URL" not in script
    assert "require('slack-notify')(SLACK_HOOK)" in script


def test_the_sign_up_line_is_one_line(tmp_path):
    line = sign_up_line("https://localhost:1", client_id="c", connection="Conn", ca_file=tmp_path / "ca.pem")
    assert "\n" not in line
    assert f"--cacert '{tmp_path}/ca.pem'" in line
