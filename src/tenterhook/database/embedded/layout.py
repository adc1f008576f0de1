"""What the embedded database keeps in the data folder, and who may read it.

    DATA/                    0700
      postgres/              0700  PostgreSQL's own folder, of the server's uid
      postgres.new/                a half-made one: removed at the next start
      postgres.socket/       0700  the Unix socket, of the server's uid
      postgres.socket-dir          where the socket is instead, when this path is too long for one
      postgres.passwords     0600  JSON: role to password
      postgres.log           0600  what the server says
      postgres.owner, postgres.alive  0600  the locks (``locks.py``)

The **server's uid** is ours as an ordinary user. As root it is a number that belongs to nobody, chosen when the
database is made and remembered by the ownership of ``postgres/``; nothing else records it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tenterhook import uids
from tenterhook.database.embedded import launcher
from tenterhook.database.embedded.errors import DataFolderUnusableError

SUPERUSER, OWNER = "postgres", "tenterhook"
"""Who maintains the server, and who owns the product's database without being a superuser."""

_SOCKET_NAME = ".s.PGSQL.5432"
_MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path has 108, and PostgreSQL wants its final zero
_ELSEWHERE_PREFIX = "tenterhook-postgres-"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The paths of one data folder."""

    data_dir: Path
    """Absolute, links resolved."""

    @property
    def cluster_dir(self) -> Path:
        """PostgreSQL's own folder (PGDATA)."""
        return self.data_dir / "postgres"

    @property
    def unfinished_cluster_dir(self) -> Path:
        """Where ``initdb`` works; renamed to ``cluster_dir`` when it is done."""
        return self.data_dir / "postgres.new"

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self.data_dir / "postgres.log"

    @property
    def owner_lock(self) -> Path:
        """Held by the Tenterhook process that owns the folder."""
        return self.data_dir / "postgres.owner"

    @property
    def alive_lock(self) -> Path:
        """Held by every process of the server."""
        return self.data_dir / "postgres.alive"

    @property
    def passwords_file(self) -> Path:
        """The roles' passwords."""
        return self.data_dir / "postgres.passwords"

    @property
    def near_socket_dir(self) -> Path:
        """Where the socket is, unless the path is too long."""
        return self.data_dir / "postgres.socket"

    @property
    def socket_dir_record(self) -> Path:
        """Says where the socket is instead."""
        return self.data_dir / "postgres.socket-dir"

    def socket_dir(self) -> Path:
        """Return the folder of the socket, as far as one was made."""
        try:
            return Path(self.socket_dir_record.read_text())
        except FileNotFoundError:
            return self.near_socket_dir


def prepare(data_dir: Path) -> Layout:
    """Make the data folder if it is missing and check that this process may write to it.

    Raises:
        DataFolderUnusableError: when it cannot be made or written to.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        resolved = data_dir.resolve()
        with tempfile.TemporaryFile(dir=resolved, buffering=0) as file:
            file.write(bytes(8192))  # asking os.access() would be wrong on read-only and full disks
    except OSError as error:
        raise DataFolderUnusableError(
            f"The data folder {data_dir} cannot be written to ({error.strerror}). Choose another with --data or "
            "TENTERHOOK_DATA_DIR, or set DATABASE_URL to use a PostgreSQL server of your own."
        ) from error
    return Layout(data_dir=resolved)


def server_uid(layout: Layout) -> int | None:
    """Return the uid that root's server takes; None for an ordinary user, whose server runs as himself.

    Raises:
        DataFolderUnusableError: when the folder belongs to a user that we are not and cannot become.
    """
    try:
        owner: int | None = layout.cluster_dir.stat().st_uid
    except FileNotFoundError:
        owner = None
    if os.geteuid() == 0:
        if owner == 0:
            raise DataFolderUnusableError(
                f"{layout.cluster_dir} belongs to root, whom PostgreSQL refuses. Give it back to the user who made it."
            )
        return owner if owner is not None else uids.pick_unused()
    if owner not in {None, os.geteuid()}:
        raise DataFolderUnusableError(
            f"{layout.cluster_dir} belongs to the user with number {owner}, and this is {os.geteuid()}. Run as the user "
            "who made it (as root, if root did), or choose another data folder."
        )
    return None


def make_private_dir(path: Path, uid: int | None) -> None:
    """Make an empty folder that only the server's uid (and root) may enter."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    if uid is not None:
        os.chown(path, uid, uid)


def make_socket_dir(layout: Layout, uid: int | None) -> Path:
    """Make the socket's folder anew, in the data folder if its path allows; only while no server runs."""
    remove_socket_dir(layout)
    near = layout.near_socket_dir
    if _fits(near):
        make_private_dir(near, uid)
        return near
    # Recorded before it is made, or a crash in between would leave it for ever.
    elsewhere = _short_parent() / (_ELSEWHERE_PREFIX + secrets.token_hex(8))
    if not _fits(elsewhere):
        raise DataFolderUnusableError(
            f"Neither {near} nor {elsewhere} is short and plain enough for a socket. Choose a data folder with a shorter "
            "path, without commas."
        )
    write_private(layout.socket_dir_record, str(elsewhere))
    elsewhere.mkdir(mode=0o700)  # fails when the name is taken: nobody can have put a folder of his there
    if uid is not None:
        os.chown(elsewhere, uid, uid)
    return elsewhere


def remove_socket_dir(layout: Layout) -> None:
    """Remove the socket's folder, wherever it is; only while no server runs."""
    recorded = layout.socket_dir()
    # The name is checked so that a damaged record can never make us remove something else.
    if recorded == layout.near_socket_dir or recorded.name.startswith(_ELSEWHERE_PREFIX):
        shutil.rmtree(recorded, ignore_errors=True)
    layout.socket_dir_record.unlink(missing_ok=True)


def _fits(folder: Path) -> bool:
    path = str(folder / _SOCKET_NAME)
    # PostgreSQL and asyncpg take a comma for the end of one path, and an "@" in front for an abstract socket.
    return (
        len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES
        and path.isprintable()
        and "," not in path
        and '"' not in path
    )


def _short_parent() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime)
    return Path(tempfile.gettempdir())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all, and on the disk when this returns."""
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_dir(path.parent)


def sync_dir(path: Path) -> None:
    """Bring a folder's list of names to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_passwords(layout: Layout) -> dict[str, str]:
    """Return the roles' passwords.

    Raises:
        DataFolderUnusableError: when the file is missing or damaged.
    """
    passwords: object = None
    with contextlib.suppress(FileNotFoundError, ValueError):
        passwords = json.loads(layout.passwords_file.read_text())
    if not isinstance(passwords, dict) or not {SUPERUSER, OWNER} <= passwords.keys():
        raise DataFolderUnusableError(
            f"{layout.passwords_file} is missing or damaged, and {layout.cluster_dir} cannot be opened without it. "
            "Restore it from a backup of the data folder."
        )
    return passwords


def make_passwords(layout: Layout) -> None:
    """Write new passwords: 256 bits of chance each."""
    write_private(
        layout.passwords_file, json.dumps({role: secrets.token_urlsafe(32) for role in (SUPERUSER, OWNER)})
    )


@dataclass(frozen=True, kw_only=True)
class Inside:
    """The same folders as the server sees them: root's has its own view of the files (``launcher.py``)."""

    cluster: str
    socket: str


def inside(uid: int | None, *, cluster: Path, socket: Path) -> Inside:
    """Return the paths under which the server finds these folders."""
    if uid is None:
        return Inside(cluster=str(cluster), socket=str(socket))
    return Inside(cluster=launcher.CLUSTER, socket=launcher.SOCKET)
