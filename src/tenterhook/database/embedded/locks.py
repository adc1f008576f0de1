"""Two locks in the data folder, both kept by the kernel (flock), so that they end with their holders, however killed.

| file             | held by                                        | held means                                  |
| ---------------- | ---------------------------------------------- | ------------------------------------------- |
| `postgres.owner` | the Tenterhook process that started the server | nobody else may start or stop it            |
| `postgres.alive` | every process of the server, by inheritance    | a server, or what is left of one, is running |

The second is the reason why a stale ``postmaster.pid`` cannot fool us: a process id can be given to a stranger, an
inherited lock cannot. A lock belongs to the open file, not to the process: it stays until the last process that
inherited the descriptor is gone, zombies excepted. The files are never removed, or two holders could lock two files.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def try_lock(path: Path) -> int | None:
    """Lock the file, made if missing, and return the descriptor that holds the lock; None when it is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the lock."""
    descriptor = try_lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def write_holder(descriptor: int) -> None:
    """Note this process in the locked file, for the message that others get."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def read_holder(path: Path) -> str:
    """Return the process id that the holder noted, ``unknown`` when it has not yet."""
    text = path.read_text(errors="replace").strip()
    return text if text.isdigit() else "unknown"
