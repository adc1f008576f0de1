"""What `make outdated` makes of the registries' answers; the asking itself needs a network and is not done here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outdated():
    spec = importlib.util.spec_from_file_location("outdated", ROOT / "tools" / "outdated.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_that_is_asked_for_is_locked(outdated):
    locked = outdated.locked_versions((ROOT / "requirements.lock").read_text())
    assert set(outdated.PACKAGES) <= set(locked)


def test_the_earliest_day_told_above_a_version_bounds_it(outdated):
    times = {
        "24.1.0": "2026-03-28T10:20:33Z",  # told late
        "24.2.0": "2025-06-15T00:39:23Z",
        "24.10.0": "2025-10-09T04:01:43Z",
        "26.0.0": "2026-05-06T00:00:00Z",
        "22.0.0": "2024-12-12T00:00:00Z",  # no line of ours
        "24.3.0-rc.1": "2024-01-01T00:00:00Z",
        "modified": "2027-01-01T00:00:00Z",
    }
    assert list(outdated.bounds_of(times).items()) == [
        ("24.1.0", "2025-06-15"),
        ("24.2.0", "2025-06-15"),
        ("24.10.0", "2025-10-09"),
        ("26.0.0", "2026-05-06"),
    ]


def test_the_table_says_what_is_older(outdated):
    locked = dict.fromkeys(outdated.PACKAGES, "1.0")
    newest = {**locked, "cryptography": "2.0", "joserfc": None}
    lines = outdated.table(locked, newest)
    assert len(lines) == len(locked) + 1
    marks = {line.split()[0]: line for line in lines}
    assert " 2.0 " in marks["cryptography"]
    assert "not told" in marks["joserfc"]
    assert "the same" in marks["uvicorn"]


def test_nothing_but_its_own_target_asks_for_newer_versions():
    makefile = (ROOT / "Makefile").read_text()
    assert makefile.count("outdated.py") == 1
    assert "outdated" not in (ROOT / ".ci" / "run").read_text()
