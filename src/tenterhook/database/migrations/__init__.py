"""The steps from one schema to the next, and how a step runs a script of many statements."""

from __future__ import annotations

from sqlalchemy import Connection


def run_script(connection: Connection, script: str) -> None:
    """Run several statements at once, inside the migration's transaction.

    The driver prepares what comes through SQLAlchemy, and a prepared statement holds only one; its own ``execute``
    takes a script. ``migrating.migrate`` has begun the transaction before (it took the lock in it).
    """
    connection.connection.dbapi_connection.run_async(lambda raw: raw.execute(script))  # type: ignore[union-attr]  # the asyncpg adapter has it, the DBAPI protocol does not
