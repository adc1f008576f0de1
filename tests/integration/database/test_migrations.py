"""The migrated database is what the owners' tables say, and migrating twice or by two at once is migrating once."""

from __future__ import annotations

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import create_async_engine

import tenterhook.directory.tables
import tenterhook.hooks.tables
import tenterhook.runs.tables
import tenterhook.tenant_log.tables  # noqa: F401 - each import declares its tables
from tenterhook.database import METADATA, Database, SchemaOutdatedError, migrate, require_current_schema


def _differences(connection) -> list:
    def ours(item, name, kind, reflected, compare_to) -> bool:
        del item, reflected, compare_to
        return not (kind == "table" and (name.startswith("pgqueuer") or name == "alembic_version"))

    context = MigrationContext.configure(
        connection, opts={"include_object": ours, "compare_type": True, "compare_server_default": False}
    )
    return compare_metadata(context, METADATA)


async def test_the_tables_are_what_their_owners_declare(database_url: SecretStr) -> None:
    engine = create_async_engine(
        database_url.get_secret_value().replace("postgresql:", "postgresql+asyncpg:")
    )
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


async def test_several_processes_may_migrate_at_once(database_url: SecretStr, database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with pytest.raises(SchemaOutdatedError, match="tenterhook migrate"):
        await require_current_schema(database)
    await asyncio.gather(*(migrate(database_url) for _ in range(4)))
    await require_current_schema(database)
