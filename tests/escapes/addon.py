"""The attackers' native addon: compiled once, kept as long as its source is the same.

``ziglang`` is a C compiler that a Python environment can hold, so nothing needs to be installed on the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tenterhook.sandbox import find_node

_SOURCE = Path(__file__).with_name("native")
_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "escapes"
_SOURCES = ("attack.c", "numbers.h", "index.js")


def build() -> Path:
    """Compile the addon where it is not yet, and return the folder of the package ``attack``."""
    headers = find_node().path.resolve().parents[1] / "include" / "node"
    parts = [(_SOURCE / name).read_bytes() for name in _SOURCES]
    name = hashlib.sha256(b"\0".join([*parts, os.uname().machine.encode()])).hexdigest()[:16]
    package = _CACHE / name / "node_modules" / "attack"
    if package.exists():
        return package
    making = _CACHE / f"making-{os.getpid()}"
    shutil.rmtree(making, ignore_errors=True)
    folder = making / "node_modules" / "attack"
    folder.mkdir(parents=True)
    zig = str(_CACHE / "zig")
    subprocess.run(
        [
            *(sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O1", "-fno-sanitize=all"),
            *("-I", str(headers), "-o", str(folder / "attack.node"), str(_SOURCE / "attack.c")),
        ],
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": zig, "ZIG_LOCAL_CACHE_DIR": zig},
        check=True,
    )
    shutil.copy(_SOURCE / "index.js", folder)
    (folder / "package.json").write_text(
        json.dumps({"name": "attack", "version": "1.0.0", "main": "index.js"})
    )
    try:
        making.rename(_CACHE / name)
    except OSError:  # another test run was faster
        shutil.rmtree(making)
    return package
