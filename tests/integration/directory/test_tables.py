"""The tables that the code declares are the ones that the migrations make: columns, keys, indexes and defaults."""

from __future__ import annotations

import importlib
import pkgutil

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import tenterhook
from tenterhook.database import METADATA, Database

OWNED_BY_OTHERS = ("pgqueuer", "alembic_version")


async def test_declared_tables_are_the_migrated_ones(database: Database) -> None:
    for module in pkgutil.walk_packages(tenterhook.__path__, "tenterhook."):
        if module.name.endswith(".tables"):
            importlib.import_module(module.name)

    def ours(_thing, name, kind, *_rest) -> bool:
        return kind != "table" or not name.startswith(OWNED_BY_OTHERS)

    def differs(_context, _inspected, declared, *_rest) -> bool | None:
        # Alembic hides the default of a column that owns its sequence; None: compare the usual way.
        default = declared.server_default
        return False if default is not None and "nextval(" in str(default.arg) else None

    def differences(connection):
        options = {"compare_type": True, "compare_server_default": differs, "include_object": ours}
        return compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)

    async with database.reader() as reader:
        assert await reader._connection.run_sync(differences) == []


async def test_constraints_have_the_same_names(database: Database) -> None:
    async with database.reader() as reader:
        rows = await reader.raw.fetch(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f')"
        )
    there = {row["conname"] for row in rows}
    declared = {str(each.name) for table in METADATA.sorted_tables for each in table.constraints if each.name}
    checks = {name for name in declared if name.endswith("_check")}
    assert declared - checks <= there
