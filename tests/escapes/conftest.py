"""Executes the chosen attempts once for each mode, before the first test that asks, and keeps what was observed.

What came of it is also written to ``.cache/escapes.json``, from where ``make docs`` takes it for the page.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.escapes import addon
from tests.escapes.attempt import Attempt, Mode, Need, Observed
from tests.escapes.catalogue import ATTEMPTS
from tests.escapes.machine import has

ROOT = Path(__file__).resolve().parents[2]
_RECORD = ROOT / ".cache" / "escapes.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one attempt came to in one mode."""

    held: Observed | None
    """With every protection; None where it is not asked for."""
    removed: Observed | None
    """Without those that the row names."""


Outcomes = Callable[[Mode], dict[str, Outcome]]


def missing(attempt: Attempt, mode: Mode) -> Need | None:
    """What this machine lacks for a row to be executed in a mode."""
    if mode is Mode.ROOT and os.geteuid() != 0:
        return Need.ROOT
    return next((need for need in sorted(attempt.needs) if not has(need)), None)


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What became of the chosen attempts, by mode; executed once, by whichever of pytest's processes asks first."""
    shared = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        shared = shared.parent
    chosen: dict[Mode, list[str]] = {mode: [] for mode in Mode}
    for item in request.session.items:
        parameters = getattr(item, "callspec", None)
        if parameters is not None and "attempt" in parameters.params:
            attempt, mode = parameters.params["attempt"], parameters.params["mode"]
            if missing(attempt, mode) is None:
                chosen[mode].append(attempt.name)

    @functools.cache
    def of(mode: Mode) -> dict[str, Outcome]:
        file = shared / f"escapes-{mode}.json"
        with _locked(shared / f"escapes-{mode}.lock"):
            if not file.exists():
                file.touch()  # whoever finds it empty knows that it failed
                observed = _execute(mode, chosen[mode])
                file.write_text(json.dumps(observed))
                _record(mode, observed)
        text = file.read_text()
        if not text:
            pytest.fail("The attempts of this mode could not be executed; the first test of it says why.")
        observed = json.loads(text)
        lacks = observed.pop("lacks", None)
        if lacks is not None:
            pytest.skip(f"needs {lacks}: not run")
        return {
            name: Outcome(
                **{key: Observed(**each[name]) if name in each else None for key, each in observed.items()}
            )
            for name in chosen[mode]
        }

    return of


def _execute(mode: Mode, names: list[str]) -> dict[str, Any]:
    addon.build()
    with tempfile.TemporaryDirectory(prefix="tenterhook-escapes-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-m", "tests.escapes.circumstances", mode, str(folder)],
            cwd=ROOT,
            input=json.dumps(names),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    # What the sandbox logs comes before it.
    observed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return observed


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _record(mode: Mode, observed: dict[str, Any]) -> None:
    """Keep what was seen for the page, beside what earlier runs saw in other modes and of other rows."""
    by_name = {attempt.name: attempt for attempt in ATTEMPTS}
    _RECORD.parent.mkdir(exist_ok=True)
    with _locked(_RECORD.with_suffix(".lock")):
        known = json.loads(_RECORD.read_text()) if _RECORD.exists() else {}
        row = known.setdefault(mode, {})
        for name, values in observed["held"].items():
            seen = Observed(**values)
            row[name] = "ESCAPED" if by_name[name].escaped(seen) else "ended" if seen.ended else "refused"
        _RECORD.write_text(json.dumps(known, indent=1, sort_keys=True))
