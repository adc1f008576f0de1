"""Bringing a database to the schema this release needs.

Alembic's steps are in ``migrations/versions``; the queue engine's own tables follow, by its own installer. One
advisory lock makes two processes that start together do it once. ``require_current_schema`` lets every other program refuse
to run on a database that is behind, with a message that says what to run.
"""

from __future__ import annotations

from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tenterhook.database.connection import Database, _sqlalchemy_url
from tenterhook.errors import ConfigurationError

_ADVISORY_LOCK = 0x7E17E8_00C
"""Any number nobody else takes in this database; held while migrating."""


class SchemaOutdatedError(ConfigurationError):
    """The database's schema is not the one this release needs. Run: tenterhook migrate."""

    code = "schema_outdated"


def _config() -> Config:
    config = Config()
    with as_file(files("tenterhook.database") / "migrations") as folder:
        config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return config


def head_revision() -> str:
    """Return the revision this release needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise ConfigurationError("This installation has no migrations; it is damaged: install it again.")
    return head


async def migrate(url: SecretStr, *, revision: str = "head") -> None:
    """Bring the schema to ``revision``; safe to call by several processes at once and repeatedly."""
    engine = create_async_engine(_sqlalchemy_url(url), poolclass=NullPool, hide_parameters=True)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            await connection.run_sync(_upgrade, revision)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def require_current_schema(database: Database) -> None:
    """Raise ``SchemaOutdatedError`` unless the database has this release's schema."""
    async with database.reader() as reader:
        found = await reader._connection.run_sync(  # noqa: SLF001 - Alembic speaks to SQLAlchemy's own connection
            lambda connection: MigrationContext.configure(connection).get_current_revision()
        )
    if found != head_revision():
        raise SchemaOutdatedError(
            f"The database's schema is at {found or 'nothing'}, this release needs {head_revision()}; "
            "run: tenterhook migrate"
        )
