"""Make ``.venv`` hold exactly what the lock file says, and fetch what the tests use.

    environment   .venv with the locked packages and this project, editable
    tests         the same, and the npm packages that the tests install from a server of their own

Each part writes a stamp when it is done: a hash of what it was made from. While the stamp fits, nothing is touched
and no network is used, so every target of the Makefile can ask for its part first. Only the standard library is
here: it runs before anything is installed, on any Python from 3.11.

Packages come from the index that pip is configured for, each compared with its hash in the lock file, and only as
built wheels: nothing is compiled and no package's own set-up code runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOCK_FILE = ROOT / "requirements-dev.lock"
REGISTRY_FETCH = ROOT / "tests" / "registry" / "fetch.py"
LOG = ROOT / ".cache" / "setup.log"

# pip options by which a user's own configuration would send packages to a place other than .venv.
_MISDIRECTING_VARIABLES = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH")


def main() -> None:
    """Bring the part named on the command line up to date."""
    part = sys.argv[1]
    if platform.system() != "Linux" or platform.machine() not in {"x86_64", "aarch64"}:
        sys.exit(
            f"Tenterhook runs on Linux on x86_64 or arm64; this is {platform.system()} {platform.machine()}."
        )
    with _one_at_a_time():
        changed = _ensure_environment()
        if part == "tests":
            changed |= _ensure_test_packages()
    if part == "tests" and not changed and sys.stdout.isatty():
        _say("Everything is in place.")


def _ensure_environment() -> bool:
    stamp = VENV / "tenterhook-environment.json"
    made_from = {
        "lock": _digest(LOCK_FILE),
        "project": _digest(ROOT / "pyproject.toml"),
        "folder": str(VENV),  # the commands in bin/ carry it: a moved clone needs a new .venv
        "python": _venv_python_version(),
    }
    written = _read_json(stamp)
    if written == made_from:
        return False
    if made_from["python"] is None or written.get("folder", str(VENV)) != str(VENV):
        _say(f"Making .venv with {sys.executable} (Python {platform.python_version()})")
        _run([sys.executable, "-m", "venv", "--clear", str(VENV)], "The environment cannot be made.")
        made_from["python"] = _venv_python_version()
    stamp.unlink(missing_ok=True)
    locked = _locked_names()
    _say(f"Installing {len(locked)} locked packages into .venv (some 200 MB, fetched once)")
    _pip(
        "install",
        "--progress-bar=off",
        "--only-binary=:all:",
        "--require-hashes",
        f"--requirement={LOCK_FILE}",
    )
    if strangers := sorted(_installed_names() - locked - {"tenterhook", "pip"}):
        _say("Removing what the lock file no longer has: " + ", ".join(strangers))
        _pip("uninstall", "--yes", *strangers)
    _say("Installing Tenterhook itself, editable")
    _pip("install", "--no-index", "--no-deps", "--no-build-isolation", f"--editable={ROOT}")
    stamp.write_text(json.dumps(made_from, indent=2) + "\n")
    _say("Ready: .venv/bin/tenterhook")
    return True


def _ensure_test_packages() -> bool:
    stamp = ROOT / ".cache" / "test-packages.json"
    made_from = {"packages": _digest(REGISTRY_FETCH.with_name("packages.json"))}
    if _read_json(stamp) == made_from:
        return False
    _say("Fetching the npm packages that the tests install")
    _run([str(VENV_PYTHON), str(REGISTRY_FETCH)], "The npm packages for the tests cannot be fetched.")
    stamp.write_text(json.dumps(made_from, indent=2) + "\n")
    return True


def _locked_names() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", LOCK_FILE.read_text(), re.MULTILINE))


def _installed_names() -> set[str]:
    listed = subprocess.run(
        [VENV_PYTHON, "-m", "pip", "list", "--format=json"],
        check=True,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    return {re.sub(r"[-_.]+", "-", entry["name"]).lower() for entry in json.loads(listed.stdout)}


def _venv_python_version() -> str | None:
    """Return the version of .venv's Python, None where there is none that works."""
    try:
        asked = subprocess.run(
            [VENV_PYTHON, "-c", "import platform, pip; print(platform.python_version())"],
            capture_output=True,
            text=True,
            check=True,
            env=_environment(),
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return asked.stdout.strip()


def _pip(command: str, *arguments: str) -> None:
    _run(
        [str(VENV_PYTHON), "-m", "pip", command, "--disable-pip-version-check", "--no-input", *arguments],
        "pip failed. The first set-up needs a package index: the one pip is configured for must be reachable.",
    )


def _run(command: list[str], complaint: str) -> None:
    """Run a step; its output goes to the log, one line of it at a time to a terminal, the end of it to whom it fails."""
    LOG.parent.mkdir(exist_ok=True)
    width = shutil.get_terminal_size().columns - 1
    with (
        LOG.open("a") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None  # a pipe was asked for
        log.write(f"$ {' '.join(command)}\n")
        lines: list[str] = []
        for line in process.stdout:
            log.write(line)
            lines = [*lines[-29:], line]
            if sys.stdout.isatty() and not line.startswith("WARNING"):
                print("\r\033[K  " + line.partition(" (from")[0].strip()[: width - 2], end="", flush=True)
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)
    if process.returncode != 0:
        sys.exit("".join(lines) + f"\n{complaint}\nAll of its output: {LOG.relative_to(ROOT)}")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let a second ``make`` in the same clone wait for the first."""
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _MISDIRECTING_VARIABLES}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _read_json(file: Path) -> dict[str, str | None]:
    try:
        content: dict[str, str | None] = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content


def _say(text: str) -> None:
    print(f"==> {text}", flush=True)


if __name__ == "__main__":
    main()
