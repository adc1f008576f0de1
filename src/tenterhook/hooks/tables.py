"""The tables of hooks; only this package holds SQL for them.

hooks ──< hook_versions >── module_sets      a version never changes, but for modules that could not be had at first
  ├──< hook_secrets                          sealed; the purpose is ``hook-secret:HOOK:NAME``
  ├─── hook_storage                          one document per hook, for ``context.webtask.storage``
  └─── hook_settings                         limits, egress, own process; no row: the operator's defaults
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from tenterhook.database import JSON, METADATA, MOMENT

hooks = Table(
    "hooks",
    METADATA,
    Column("id", Text, primary_key=True),
    # By name: the column's table belongs to another room.
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("trigger_id", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("false")),
    Column("version", Integer, nullable=False),
    Column("created_at", MOMENT, nullable=False, server_default=func.now()),
    Column("updated_at", MOMENT, nullable=False, server_default=func.now()),
    UniqueConstraint("tenant_id", "name", name="hooks_tenant_id_name_key"),
)
Index(
    "hooks_one_enabled_idx",
    hooks.c.tenant_id,
    hooks.c.trigger_id,
    unique=True,
    postgresql_where=hooks.c.enabled,
)

module_sets = Table(
    "module_sets",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("lock", Text, nullable=False),
    Column("created_at", MOMENT, nullable=False, server_default=func.now()),
)

hook_versions = Table(
    "hook_versions",
    METADATA,
    Column("hook_id", Text, ForeignKey("hooks.id", ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("script", Text, nullable=False),
    Column("dependencies", JSON, nullable=False),
    # Who chose each module's version differs between hooks that share a set, so it is kept here.
    Column("modules", JSON, nullable=False, server_default=text("'[]'")),
    Column("module_notes", JSON, nullable=False, server_default=text("'[]'")),
    Column("module_set_key", Text, ForeignKey("module_sets.key")),
    Column("module_error", JSON),
    Column("created_at", MOMENT, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("hook_id", "version"),
)

hook_secrets = Table(
    "hook_secrets",
    METADATA,
    Column("hook_id", Text, ForeignKey("hooks.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", MOMENT, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("hook_id", "name"),
)

hook_storage = Table(
    "hook_storage",
    METADATA,
    Column("hook_id", Text, ForeignKey("hooks.id", ondelete="CASCADE"), primary_key=True),
    Column("data", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("updated_at", MOMENT, nullable=False, server_default=func.now()),
)

hook_settings = Table(
    "hook_settings",
    METADATA,
    Column("hook_id", Text, ForeignKey("hooks.id", ondelete="CASCADE"), primary_key=True),
    Column("limits", JSON, nullable=False, server_default=text("'{}'")),
    Column("egress_mode", Text, nullable=False, server_default=text("'open'")),
    Column("egress_allow", JSON, nullable=False, server_default=text("'[]'")),
    Column("own_process", Boolean, nullable=False, server_default=text("false")),
    Column("updated_at", MOMENT, nullable=False, server_default=func.now()),
    CheckConstraint("egress_mode IN ('open', 'report', 'enforce')", name="egress_mode"),
)
