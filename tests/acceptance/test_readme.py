"""The README's commands, pasted as they stand, do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.running_program import running
from tests.registry.fixture import npm_registry  # noqa: F401 - a fixture: asked for by its name

ROOT = Path(__file__).parents[2]


def _blocks(title: str) -> list[str]:
    section = (ROOT / "README.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder that has ``.venv``, as a clone has after ``make start``."""
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    return tmp_path


def _paste(block: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_hook(folder, npm_registry):  # noqa: F811 - the fixture imported above
    """`make start` is the command here without the set-up that has been done for these tests."""
    save, look = _blocks("Your first hook")
    with running(
        [".venv/bin/tenterhook", "start", "--port", "0"],
        folder=folder,
        environment={**os.environ, "npm_config_registry": npm_registry.url},
    ) as program:
        sign_up = program.wait_for(r"^curl .*$").group()
        program.wait_for("Runs appear")

        _paste(sign_up, folder)
        program.wait_for(r"New User: ada-\d+@example.com")
        program.wait_for("the run succeeded")

        assert "Welcome user1@foo.com hello" in _paste(save, folder)
        _paste(sign_up, folder)
        program.wait_for(r"Welcome ada-\d+@example.com hello")

        program.wait_for(r"(?s)the run succeeded.*the run succeeded")
        assert len(re.findall("succeeded", _paste(look, folder))) >= 2


def test_a_taken_port_is_an_error_that_names_the_setting(folder):
    with running([".venv/bin/tenterhook", "start", "--port", "0"], folder=folder) as program:
        port = program.wait_for(r"Server +http://127.0.0.1:(\d+)").group(1)
        second = subprocess.run(
            [".venv/bin/tenterhook", "start", "--data", folder / "other"],
            cwd=folder,
            env={**os.environ, "TENTERHOOK_PORT": port},
            capture_output=True,
            text=True,
            check=False,
        )
    assert second.returncode != 0
    assert "TENTERHOOK_PORT" in second.stderr
    assert "Traceback" not in second.stderr
