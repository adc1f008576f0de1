"""Running a piece of Python as somebody: in a process of its own, as we are, or as an ordinary user.

Root can become an ordinary user who sees what such a user needs: an account entry, this Python, the project and a
folder of his own, even where they lie below folders that only root may enter. That is done in a mount namespace of the
process; nothing of the machine changes.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tenterhook import uids

PROJECT = Path(__file__).parents[3]


def ordinary_command(command: list[str], *, uid: int, folder: Path) -> list[str]:
    """Return the command that runs ``command`` as the ordinary user ``uid``, to whom ``folder`` is given."""
    needed = {
        PROJECT,
        folder,
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(sysconfig.get_paths()["purelib"]),
    }
    needed = {path.resolve() for path in needed}
    script = ["set -e"]
    # Each folder on the way that others may not enter is covered by an empty one, into which the needed ones are bound.
    covers = {closed for path in needed if (closed := _first_closed_parent(path))}
    for index, path in enumerate(sorted(needed)):
        script.append(f"exec {index + 3}<{shlex.quote(str(path))}")
    outermost = sorted(str(path) for path in covers if covers.isdisjoint(path.parents))
    script += [f"mount -t tmpfs -o mode=0755 cover {shlex.quote(cover)}" for cover in outermost]
    for index, path in enumerate(sorted(needed)):
        if _first_closed_parent(path):
            quoted = shlex.quote(str(path))
            script.append(f"mkdir -p {quoted}")
            # Not canonicalised: the link's text is the path that has just been covered.
            script.append(f"mount --no-canonicalize --bind /proc/self/fd/{index + 3} {quoted}")
        script.append(f"exec {index + 3}<&-")
    script += [
        f"passwd=$(mktemp -p {shlex.quote(str(folder))})",
        'cat /etc/passwd > "$passwd"',
        f'echo "ordinary:x:{uid}:{uid}::{folder}:/bin/sh" >> "$passwd"',
        'chmod 0644 "$passwd"',
        'mount --bind "$passwd" /etc/passwd',
        f"cd {shlex.quote(str(PROJECT))}",
        f"exec setpriv --reuid={uid} --regid={uid} --clear-groups --inh-caps=-all -- {shlex.join(command)}",
    ]
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", "\n".join(script)]


def _first_closed_parent(path: Path) -> Path | None:
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & 0o001:
            return parent
    return None


@contextlib.contextmanager
def ordinary_home() -> Iterator[tuple[Path, int]]:
    """Make a folder that belongs to a uid of nobody's; give both, and remove it afterwards.

    Its path is short, as that of a home is: a socket's must be.
    """
    uid = uids.pick_unused()
    with tempfile.TemporaryDirectory(prefix="th-") as name:
        home = Path(name)
        (home / "tmp").mkdir(mode=0o700)
        os.chown(home / "tmp", uid, uid)
        os.chown(home, uid, uid)
        yield home, uid


def environment(home: Path) -> dict[str, str]:
    """Return the variables of somebody who lives in ``home``, where also everything temporary of his goes."""
    temporary = home / "tmp"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
    }


def run_python(script: str, *arguments: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    """Run a script with this Python, in a process of its own; more goes to ``subprocess.run``."""
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **more)  # type: ignore[call-overload,no-any-return]  # passed through
