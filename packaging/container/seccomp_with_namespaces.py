"""Write a container engine's default seccomp profile with one rule more: namespaces may be made.

python seccomp_with_namespaces.py DEFAULT.json > seccomp.json

``DEFAULT.json`` is the profile of your engine and its version: Podman has it in /usr/share/containers/seccomp.json,
Docker in its source, as ``seccomp/default.json`` of the repository moby/profiles. It is not copied here, because a copy
would fall behind it. Everything that it refuses besides stays refused.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SYSTEM_CALLS = ("clone", "mount", "pivot_root", "sethostname", "umount2", "unshare")
"""What making a jail takes: new namespaces, and a tree of its own. The kernel still asks each for the rights to it."""


def with_namespaces(profile: dict[str, Any]) -> dict[str, Any]:
    """Return the profile with the rule; rules that refuse the same calls without looking at rights are left out."""
    kept = []
    for rule in profile["syscalls"]:
        if rule["action"] != "SCMP_ACT_ALLOW":
            names = [name for name in rule["names"] if name not in SYSTEM_CALLS]
            if not names:
                continue
            rule = {**rule, "names": names}  # noqa: PLW2901 - the same rule, with fewer names
        kept.append(rule)
    allowed = {
        "names": list(SYSTEM_CALLS),
        "action": "SCMP_ACT_ALLOW",
        "comment": "Tenterhook's sandbox for hooks",
    }
    return {**profile, "syscalls": [*kept, allowed]}


def main() -> None:
    """Read the file named on the command line and write to standard output."""
    print(json.dumps(with_namespaces(json.loads(Path(sys.argv[1]).read_text())), indent=2))


if __name__ == "__main__":
    main()
