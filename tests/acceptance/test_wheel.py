"""The wheel alone is enough: installed where nothing else of ours is, it starts and signs a person up.

What it depends on is taken from this environment by links, so that no network is needed: exactly the packages in
``requirements.lock``, nothing that only developers have, and not the editable install of this clone.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import httpx
import pytest

from tests.program import running

ROOT = Path(__file__).parents[2]
EMPTY = {"PATH": "/usr/bin:/bin"}
"""An environment with nothing set: what the program needs it must bring along."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Return the ``tenterhook`` command of an environment that has the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    _run(sys.executable, ROOT / "tools" / "check_wheel.py", wheel)
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    for name in re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE):
        _link(importlib.metadata.distribution(name), site_packages)
    python = environment / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel)
    return environment / "bin" / "tenterhook"


def _link(distribution: importlib.metadata.Distribution, site_packages: Path) -> None:
    for top in {Path(file).parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
        if not (site_packages / top).exists():
            (site_packages / top).symlink_to(distribution.locate_file(top))


def _run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def tenterhook(installed, tmp_path):
    """Call the installed command in an empty folder with an empty environment."""

    def call(*arguments: object) -> str:
        done = subprocess.run(
            [str(word) for word in (installed, *arguments)],
            cwd=tmp_path,
            env={**EMPTY, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def test_the_installed_program_is_not_the_clone(installed, tmp_path):
    python = installed.with_name("python")
    where = subprocess.run(
        [python, "-c", "import tenterhook; print(tenterhook.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(installed.parents[1]) in where.stdout


def test_it_says_its_version(tenterhook):
    assert re.fullmatch(r"tenterhook \d+\.\d+\.\d+\n", tenterhook("--version"))


def test_it_accepts_its_own_defaults(tenterhook):
    tenterhook("check-config")


async def test_it_serves_and_signs_a_person_up(installed, tenterhook, tmp_path):
    made = json.loads(tenterhook("init", "--data", tmp_path / "data", "--json"))
    arguments = ("serve", "--data", str(tmp_path / "data"), "--port", "0")
    async with running(*arguments, env={**EMPTY, "HOME": str(tmp_path)}, program=str(installed)) as program:
        url = (await program.line(r"Listening on (\S+)"))[1]
        async with httpx.AsyncClient(base_url=url) as client:
            answer = await client.post(
                "/dbconnections/signup",
                json={
                    "client_id": made["application"]["client_id"],
                    "connection": made["connection"],
                    "email": "ada@example.com",
                    "password": "Correct-Horse-7-Battery",
                },
            )
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.json()["email"] == "ada@example.com"
    assert program.process.returncode == 0, program.output
