"""Alembic's entry: the caller (``database/migrating.py``) brings the connection, already inside a transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
