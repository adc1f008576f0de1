"""What the doctor finds of the database; it starts none, and changes nothing in one."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import pwd

import asyncpg
from pydantic import SecretStr

from tenterhook.cli.doctor.finding import Finding, ok, problem, warning
from tenterhook.database import (
    Database,
    DatabaseUnavailableError,
    SchemaOutdatedError,
    embedded,
    require_current_schema,
)
from tenterhook.errors import ConfigurationError, TenterhookError
from tenterhook.settings import Settings

OLDEST_MAJOR = 14
"""Older ones get no repairs any more."""
MOST_SKEW_SECONDS = 5.0
_ANSWER_SECONDS = 10.0


async def database_findings(settings: Settings) -> list[Finding]:
    """Return which database it is, and whether it can be used."""
    if settings.database_url is not None:
        return await _asked(settings.database_url, "DATABASE_URL")
    try:
        version = await embedded.postgres_version()
        running = embedded.url_of_running(settings.data_dir)
    except (TenterhookError, OSError) as error:
        text = (
            error.message if isinstance(error, TenterhookError) else f"cannot be looked at: {error.strerror}"
        )
        return [problem("database", "embedded", text, lost="everything: there is no other database")]
    if running is not None:
        return await _asked(running, "embedded")
    if not embedded.exists(settings.data_dir) and not _has_account():
        return [
            problem(
                "database",
                "embedded",
                f"the user with number {os.geteuid()} has no entry in /etc/passwd; PostgreSQL makes no database for such",
                lost="a database",
                remedy="Run as a user with an entry, or set DATABASE_URL.",
            )
        ]
    state = "not running" if embedded.exists(settings.data_dir) else "no data yet"
    return [ok("database", "embedded", f"PostgreSQL {version} can be run; {state}")]


def _has_account() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


async def _asked(url: SecretStr, name: str) -> list[Finding]:
    """Ask a server; what a driver says is not repeated, because it may quote the address with its password."""
    try:
        database = Database(url, pool_size=1)
    except ConfigurationError as error:
        return [problem("database", name, error.message)]
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            async with database.reader() as reader:
                row = await reader.raw.fetchrow(
                    "SELECT current_setting('server_version') AS version, clock_timestamp() AS now,"
                    " current_setting('server_version_num')::integer AS number,"
                    " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser"
                )
            schema = await _schema(database, name)
    except (DatabaseUnavailableError, TimeoutError, OSError, asyncpg.PostgresError) as error:
        cause = error.__cause__ or error
        return [
            problem(
                "database",
                name,
                f"cannot be reached or refuses us ({type(cause).__name__})",
                lost="everything: nothing works without it",
                remedy="Is the server running, and are address, name, user and password right?",
            )
        ]
    finally:
        await database.close()
    skew = abs((row["now"] - dt.datetime.now(dt.UTC)).total_seconds())
    return [
        judged_server(name, row["version"], row["number"] // 10_000, is_superuser=bool(row["superuser"])),
        schema,
        judged_skew(skew),
    ]


async def _schema(database: Database, name: str) -> Finding:
    try:
        await require_current_schema(database)
    except SchemaOutdatedError as error:
        return problem("database", "tables", error.message, lost="the server does not start")
    return ok("database", "tables", f"those of this version, in {name}")


def judged_server(name: str, version: str, major: int, *, is_superuser: bool) -> Finding:
    """Judge a server that answered."""
    text = f"PostgreSQL {version.split(maxsplit=1)[0]} answers"
    if major < OLDEST_MAJOR:
        return problem("database", name, text, remedy=f"Use PostgreSQL {OLDEST_MAJOR} or newer.")
    if is_superuser:
        return warning(
            "database",
            name,
            f"{text}; we are its superuser",
            lost="a wall: whoever takes over the server process has the whole database server",
            remedy="Give Tenterhook a role of its own that owns its database and nothing else.",
        )
    return ok("database", name, text)


def judged_skew(seconds: float) -> Finding:
    """Judge by how much the database's clock differs from ours."""
    if seconds > MOST_SKEW_SECONDS:
        return warning(
            "database",
            "clock",
            f"differs from ours by {seconds:.0f} s",
            lost="times that can be compared; leases are the database's alone and stay right",
            remedy="Run a time service on both machines.",
        )
    return ok("database", "clock", "agrees with ours")
