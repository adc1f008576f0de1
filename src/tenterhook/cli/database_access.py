"""The database for commands of the operator that work on it directly, whether a server is running or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from tenterhook.database import Database, embedded, require_current_schema
from tenterhook.settings import Settings


@asynccontextmanager
async def accessible_database_url(settings: Settings) -> AsyncIterator[SecretStr]:
    """Yield the URL of the database: DATABASE_URL, the embedded one as it runs, else started for the meantime."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    running = embedded.url_of_running(settings.data_dir)
    if running is not None:
        yield running
        return
    server = await embedded.start(settings.data_dir)
    try:
        yield server.url
    finally:
        await embedded.stop(server)


@asynccontextmanager
async def accessible_database(settings: Settings) -> AsyncIterator[Database]:
    """Yield the database with the tables of this version.

    Raises:
        SchemaOutdatedError: ``init`` or ``migrate`` comes first.
    """
    async with accessible_database_url(settings) as url:
        database = Database(url, pool_size=1)
        try:
            await require_current_schema(database)
            yield database
        finally:
            await database.close()
