"""The directory's tables, exactly as the migrations make them. Only this package holds SQL for them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, Table, Text, UniqueConstraint, text

from tenterhook.database import JSON, METADATA, MOMENT

_NOW, _FALSE, _OBJECT, _ARRAY = text("now()"), text("false"), text("'{}'"), text("'[]'")


def _belongs_to(target: str) -> ForeignKey:
    return ForeignKey(target, ondelete="CASCADE")


tenants = Table(
    "tenants",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("domain", Text, nullable=False, unique=True),
    Column("public_url", Text, nullable=False),
    Column("created_at", MOMENT, nullable=False, server_default=_NOW),
)

connections = Table(
    "connections",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, _belongs_to("tenants.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("options", JSON, nullable=False, server_default=_OBJECT),
    Column("created_at", MOMENT, nullable=False, server_default=_NOW),
    UniqueConstraint("tenant_id", "name"),
)

clients = Table(
    "clients",
    METADATA,
    Column("client_id", Text, primary_key=True),
    Column("tenant_id", Text, _belongs_to("tenants.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("app_type", Text, nullable=False),
    Column("grant_types", JSON, nullable=False, server_default=_ARRAY),
    Column("secret_digest", LargeBinary),
    Column("created_at", MOMENT, nullable=False, server_default=_NOW),
    Column("updated_at", MOMENT, nullable=False, server_default=_NOW),
    Index(None, "tenant_id"),
)

connection_clients = Table(
    "connection_clients",
    METADATA,
    Column("connection_id", Text, _belongs_to("connections.id"), primary_key=True),
    Column("client_id", Text, _belongs_to("clients.client_id"), primary_key=True),
    Index(None, "client_id"),
)

client_grants = Table(
    "client_grants",
    METADATA,
    Column("client_id", Text, _belongs_to("clients.client_id"), primary_key=True),
    Column("audience", Text, primary_key=True),
    Column("scopes", JSON, nullable=False),
)

users = Table(
    "users",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, _belongs_to("tenants.id"), nullable=False),
    Column("connection_id", Text, _belongs_to("connections.id"), nullable=False),
    Column("email", Text),
    Column("email_key", Text),
    Column("email_verified", Boolean, nullable=False, server_default=_FALSE),
    Column("username", Text),
    Column("username_key", Text),
    Column("phone_number", Text),
    Column("phone_verified", Boolean, nullable=False, server_default=_FALSE),
    Column("given_name", Text),
    Column("family_name", Text),
    Column("name", Text),
    Column("nickname", Text),
    Column("picture", Text),
    Column("blocked", Boolean, nullable=False, server_default=_FALSE),
    Column("user_metadata", JSON, nullable=False, server_default=_OBJECT),
    Column("app_metadata", JSON, nullable=False, server_default=_OBJECT),
    Column("created_at", MOMENT, nullable=False, server_default=_NOW),
    Column("updated_at", MOMENT, nullable=False, server_default=_NOW),
    Index(None, "connection_id", "email_key", unique=True),
    Index(None, "connection_id", "username_key", unique=True),
    Index(None, "tenant_id", "created_at"),
)

user_passwords = Table(
    "user_passwords",
    METADATA,
    Column("user_id", Text, _belongs_to("users.id"), primary_key=True),
    Column("hash", Text, nullable=False),
    Column("changed_at", MOMENT, nullable=False, server_default=_NOW),
)

signing_keys = Table(
    "signing_keys",
    METADATA,
    Column("kid", Text, primary_key=True),
    Column("tenant_id", Text, _belongs_to("tenants.id"), nullable=False),
    Column("public_jwk", JSON, nullable=False),
    Column("private_sealed", LargeBinary, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("created_at", MOMENT, nullable=False, server_default=_NOW),
    Index("signing_keys_one_current_idx", "tenant_id", unique=True, postgresql_where=text("current")),
)
