"""Folders of the store: locks, temporary folders that clean themselves up after a kill, and sealing.

    FOLDER/store/<key>-<Node ABI>-<processor>/   a finished set, read-only: package.json, node_modules/, sealed.json
    FOLDER/tmp/<random>/                         an installation in progress; <random>.lock is locked while it lives
    FOLDER/locks/<two digits>.lock               one installer per set, over all processes of this machine
    FOLDER/npm-cache/                            npm's own

A set appears in ``store/`` by one rename, so it is there whole or not at all. A lock dies with its process: whoever
is killed leaves a temporary folder without a locked lock file, which the next cleaning removes. ``sealed.json`` has
the number and size of the files, against files that a power failure emptied after the rename.

All functions block; callers use threads.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tenterhook.sandbox.modules.errors import BrokenModuleError

_SEAL = "sealed.json"


class Measure(NamedTuple):
    """How much a folder holds."""

    files: int
    """Regular files."""
    size_bytes: int
    """Sum of their sizes."""


def try_lock(path: Path) -> int | None:
    """Lock a file, making it if need be; None when another holds it. ``os.close`` of the result lets go."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Make a folder that is removed at the end, or by :func:`remove_abandoned` if the end never comes."""
    folder = parent / secrets.token_hex(8)
    lock_path = folder.with_suffix(".lock")
    lock = try_lock(lock_path)
    if lock is None:
        raise AssertionError("nobody else knows this random name")
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        remove_tree(folder)
        lock_path.unlink(missing_ok=True)
        os.close(lock)


def remove_abandoned(parent: Path) -> int:
    """Remove the temporary folders of installers that are gone; return how many there were."""
    removed = 0
    for lock_path in parent.glob("*.lock"):
        lock = try_lock(lock_path)
        if lock is None:
            continue
        try:
            folder = lock_path.with_suffix("")
            removed += folder.exists()
            remove_tree(folder)
            lock_path.unlink(missing_ok=True)
        finally:
            os.close(lock)
    return removed


def remove_tree(folder: Path) -> None:
    """Remove a folder, sealed or not, if it is there."""
    if not folder.exists():
        return
    for path, folders, _files in os.walk(folder):
        Path(path).chmod(0o700)
        for name in folders:
            inner = Path(path, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder)


def measure(folder: Path) -> Measure:
    """Count files and bytes below a folder; what vanishes meanwhile is not counted."""
    files = size = 0
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        files += 1
                        size += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return Measure(files, size)


def seal(folder: Path) -> None:
    """Take write permission and set-uid bits from everything below a folder, and note how much there is.

    Raises:
        BrokenModuleError: there is a link or a device, which no module from the registry brings.
    """
    Path(folder, _SEAL).write_text(json.dumps(measure(folder)._asdict()))
    for path, _folders, files in os.walk(folder):
        for name in files:
            file = Path(path, name)
            if not stat.S_ISREG(file.lstat().st_mode):
                raise BrokenModuleError(f"The modules contain {name}, which is a link or a device.")
            file.chmod(0o444)
        for name in _folders:
            if Path(path, name).is_symlink():
                raise BrokenModuleError(f"The modules contain {name}, which is a link.")
        if path != str(folder):
            Path(path).chmod(0o555)


def publish(folder: Path, target: Path) -> None:
    """Move a sealed folder into the store, in one step; a damaged one in its place first goes where it was made.

    The folder itself becomes read-only last: a folder without write permission cannot be moved.
    """
    if target.exists():
        target.chmod(0o700)
        target.rename(folder.with_name("damaged"))
    folder.rename(target)
    target.chmod(0o555)


def is_whole(target: Path) -> bool:
    """Say whether a set is in the store as it was sealed."""
    try:
        sealed = Measure(**json.loads(Path(target, _SEAL).read_text()))
    except (OSError, ValueError, TypeError):
        return False
    found = measure(target)
    # The seal itself was written after measuring.
    return found == Measure(sealed.files + 1, sealed.size_bytes + Path(target, _SEAL).stat().st_size)
