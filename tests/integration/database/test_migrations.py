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


async def test_first_schema_with_hooks_and_attempts_is_brought_to_this_one(
    database_url: SecretStr, database: Database
) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await migrate(database_url, revision="0001")
    # What the release with the first schema writes; while a deploy goes on it does so on the second one, too.
    for number, revision in (("1", "0002"), ("2", "0002")):
        async with database.transaction() as transaction:
            await transaction.raw.execute(
                f"""
                INSERT INTO tenants (id, name, domain, public_url) VALUES ('t{number}', 't{number}', 'd{number}', 'u');
                INSERT INTO hooks (id, tenant_id, name, trigger_id, version)
                VALUES ('h{number}', 't{number}', 'first', 'post-user-registration', 1);
                INSERT INTO runs (id, tenant_id, kind, subject_id, event, occurred_at, state)
                VALUES ('r{number}', 't{number}', 'hook', 'h{number}', '{{}}', now(), 'succeeded');
                INSERT INTO attempts (run_id, number, worker_id, started_at) VALUES ('r{number}', 1, 'w', now());
                """
            )
        await migrate(database_url, revision=revision)
    async with database.reader() as reader:
        assert await reader.raw.fetchval("SELECT count(*) FROM hook_settings") == 0
        rows = await reader.raw.fetch("SELECT connections::text, unsandboxed FROM attempts")
        assert [tuple(row) for row in rows] == [("[]", False)] * 2
