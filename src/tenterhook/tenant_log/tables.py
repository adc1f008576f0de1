"""The tenant log's table, exactly as the migrations make it."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, Text, text

from tenterhook.database import JSON, METADATA, MOMENT

tenant_logs = Table(
    "tenant_logs",
    METADATA,
    Column("log_id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("date", MOMENT, nullable=False),
    Column("type", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("connection", Text),
    Column("connection_id", Text),
    Column("client_id", Text),
    Column("client_name", Text),
    Column("ip", Text),
    Column("user_agent", Text),
    Column("user_id", Text),
    Column("user_name", Text),
    Column("strategy", Text),
    Column("strategy_type", Text),
    Column("details", JSON, nullable=False, server_default=text("'{}'")),
    Index(None, "tenant_id", "log_id"),
    Index(None, "tenant_id", "type", "log_id"),
)
