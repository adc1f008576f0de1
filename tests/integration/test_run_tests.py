"""What runs the tests notices processes that a test leaves behind, also those that hid from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN_TESTS = Path(__file__).parents[2] / "tools" / "run_tests.py"

HIDDEN = """
import subprocess, sys

def test_leaves_a_process_that_gave_up_its_parent_its_session_and_its_environment():
    program = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
    subprocess.run([sys.executable, "-c", program], env={}, check=True)
"""

TIDY = """
import subprocess

def test_ends_what_it_started():
    with subprocess.Popen(["sleep", "600"]) as process:
        process.kill()
"""


@pytest.mark.parametrize(
    ("source", "code", "options"),
    [(HIDDEN, 1, []), (TIDY, 0, []), (HIDDEN, 1, ["-n", "2"])],
    ids=["hidden", "tidy", "hidden from a worker"],
)
def test_a_process_left_behind_fails_the_run(tmp_path, source, code, options):
    (tmp_path / "test_it.py").write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]")
    run = subprocess.run(
        [sys.executable, RUN_TESTS, "--patience", "0.3", "-q", *options, tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in run.stdout
    assert run.returncode == code, run.stderr
    assert ("Left running by the tests" in run.stderr) == bool(code)


def test_the_exit_code_of_pytest_is_kept(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_fails():\n    assert 0")
    (tmp_path / "pytest.ini").write_text("[pytest]")
    run = subprocess.run(
        [sys.executable, RUN_TESTS, "-q", tmp_path], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "1 failed" in run.stdout


WRITES = """
import os, tempfile

def test_writes(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "PYTHONDONTWRITEBYTECODE" not in os.environ
    with open(os.environ["NOTE"], "w") as note:
        print(tmp_path, tempfile.gettempdir(), file=note)
    assert 0
"""


def test_what_the_tests_wrote_is_gone_afterwards(tmp_path):
    (tmp_path / "test_it.py").write_text(WRITES)
    (tmp_path / "pytest.ini").write_text("[pytest]")
    environment = os.environ | {"NOTE": str(tmp_path / "note"), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, RUN_TESTS, "-q", tmp_path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 1
    written, temporary = (tmp_path / "note").read_text().split()
    assert written.startswith(f"{temporary}/t/")
    assert not os.path.exists(temporary)
