"""Migrating twice, or by several processes at once, is migrating once; who is behind is told what to run."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from tenterhook.database import Database, SchemaOutdatedError, migrate, require_current_schema


async def test_several_processes_may_migrate_at_once(database_url: SecretStr, database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with pytest.raises(SchemaOutdatedError, match="tenterhook migrate"):
        await require_current_schema(database)
    await asyncio.gather(*(migrate(database_url) for _ in range(4)))
    await require_current_schema(database)
