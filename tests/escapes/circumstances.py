"""Becomes what a mode asks for, and then executes attempts: another user, a container's refusals.

    python -m tests.escapes.circumstances MODE FOLDER < names

As root, an unused user id stands for the ordinary user; where the clone or Python lies in a home that others cannot
enter, they are first mounted over it in a mount namespace of this process's own. The process then begins anew: only that
makes it an ordinary user's in the kernel's eyes (``/proc`` belongs to it again, user namespaces are permitted).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tenterhook import uids
from tenterhook.sandbox.jail import libc
from tests.escapes.attempt import Mode
from tests.integration.sandbox.jail import denials

_ROOT = Path(__file__).resolve().parents[2]
_NEW_MOUNT_NAMESPACE = 0x00020000


def enter(mode: Mode, folder: Path) -> None:
    """Take on the mode, for good, and go on as ``batch``."""
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)  # what escapes in a proof comes back to us
    if mode is not Mode.ROOT and os.geteuid() == 0:
        needed = (_ROOT, Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1])
        try:
            _let_others_enter(needed)
        except PermissionError:  # in a container
            print(json.dumps({"held": {}, "removed": {}, "lacks": "a clone that other users can enter"}))
            return
        uid = uids.pick_unused()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if mode is Mode.GATE:
        denials.like_docker()
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    os.chdir(_ROOT)
    os.execve(sys.executable, [sys.executable, "-m", "tests.escapes.batch", mode, str(folder)], environment)


def _let_others_enter(needed: Iterable[Path]) -> None:
    """Mount what is needed over the homes that it lies in, where those are closed to others; for this process alone."""
    closed: dict[Path, list[Path]] = {}
    for path in needed:
        home = next((each for each in reversed(path.parents) if not each.stat().st_mode & 0o001), None)
        if home is not None:
            closed.setdefault(home, []).append(path)
    if not closed:
        return
    libc.unshare(_NEW_MOUNT_NAMESPACE)
    libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
    for home, paths in closed.items():
        opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}
        libc.mount("tmpfs", str(home), "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "mode=755")
        for path, descriptor in opened.items():
            with contextlib.suppress(FileExistsError):  # one lies in the other
                path.mkdir(parents=True)
                libc.mount(f"/proc/self/fd/{descriptor}", str(path), None, libc.MS_BIND | libc.MS_REC)


if __name__ == "__main__":
    enter(Mode(sys.argv[1]), Path(sys.argv[2]))
