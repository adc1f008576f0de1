"""Making a database where there is none, and refusing one that is not ours to open.

``initdb`` works in ``postgres.new``, which becomes ``postgres`` when everything is on the disk: a folder of the final
name is always complete. The role and the database of the product are made after the first start, and again at any
start that misses them, so that a crash in between does no harm.
"""

from __future__ import annotations

import os
import pwd
import shutil

import asyncpg

from tenterhook.database.embedded import layout as layouts
from tenterhook.database.embedded.binaries import MAJOR
from tenterhook.database.embedded.configuration import TUNING, as_arguments
from tenterhook.database.embedded.errors import DataFolderUnusableError, EmbeddedServerError
from tenterhook.database.embedded.layout import OWNER, SUPERUSER, Layout
from tenterhook.database.embedded.programs import Program, run

DATABASE = "tenterhook"

_NEEDED_BYTES = 128 * 1024 * 1024
"""A new cluster takes 40 MiB and its first two log segments 32."""


def exists(layout: Layout) -> bool:
    """Tell whether a complete database is there.

    Raises:
        DataFolderUnusableError: when it is of another PostgreSQL, or something else has its name.
    """
    if not layout.cluster_dir.exists():
        return False
    try:
        major = (layout.cluster_dir / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise DataFolderUnusableError(
            f"{layout.cluster_dir} is not a PostgreSQL data folder that can be read ({error.strerror}). Move it away, or "
            "choose another data folder."
        ) from error
    if major != str(MAJOR):
        raise DataFolderUnusableError(
            f"{layout.cluster_dir} was made by PostgreSQL {major}, and this version of Tenterhook brings PostgreSQL {MAJOR}. "
            f"Go on with the version of Tenterhook that made it, or move the data with {major}'s pg_dump."
        )
    return True


async def create(layout: Layout, uid: int | None, alive_lock: int) -> None:
    """Make the database. The caller holds both locks.

    Raises:
        DataFolderUnusableError: when the disk is too full, or this user has no account entry.
        EmbeddedServerError: when ``initdb`` fails, with what it said.
    """
    free = shutil.disk_usage(layout.data_dir).free
    if free < _NEEDED_BYTES:
        raise DataFolderUnusableError(
            f"A new database needs {_NEEDED_BYTES >> 20} MiB, and the disk of {layout.data_dir} has {free >> 20} MiB free. "
            "Make room, or choose another data folder."
        )
    if uid is None:
        _check_account()
    layouts.make_passwords(layout)
    layouts.make_private_dir(layout.unfinished_cluster_dir, uid)
    socket_dir = layouts.make_socket_dir(layout, uid)
    password_file = socket_dir / "password"  # here because only here both we and the server's uid may look
    layouts.write_private(password_file, layouts.read_passwords(layout)[SUPERUSER] + "\n")
    said = layout.data_dir / "postgres.initdb"
    said.unlink(missing_ok=True)
    try:
        if uid is not None:
            os.chown(password_file, uid, uid)
        inside = layouts.inside(uid, cluster=layout.unfinished_cluster_dir, socket=socket_dir)
        status = await run(
            Program(
                name="initdb",
                arguments=(
                    f"--pgdata={inside.cluster}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={inside.socket}/password",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # Sorting and case come from PostgreSQL itself, and do not change with the machine's libc.
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--no-instructions",
                    *as_arguments(TUNING),
                ),
                uid=uid,
                cluster=layout.unfinished_cluster_dir,
                socket=socket_dir,
                alive_lock=alive_lock,
                detach=False,
            ),
            said,
        )
        if status != 0:
            raise EmbeddedServerError(
                f"PostgreSQL could not make a database in {layout.data_dir}:\n{said.read_text(errors='replace').strip()}"
            )
        layout.unfinished_cluster_dir.rename(layout.cluster_dir)
        layouts.sync_dir(layout.data_dir)
    finally:
        password_file.unlink(missing_ok=True)
        said.unlink(missing_ok=True)
        shutil.rmtree(layout.unfinished_cluster_dir, ignore_errors=True)


def _check_account() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise DataFolderUnusableError(
            f"The user with number {os.geteuid()} has no entry in /etc/passwd, and PostgreSQL makes no database for such a "
            "user. Run as a user with an entry, or set DATABASE_URL to use a PostgreSQL server of your own."
        ) from None


async def ensure_database(connection: asyncpg.Connection, owner_password: str) -> None:
    """Make the product's role and database where they are missing; the connection is the superuser's."""
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", OWNER):
        # token_urlsafe: no character that would have to be quoted. CREATE ROLE takes no parameters.
        await connection.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{owner_password}'")
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
