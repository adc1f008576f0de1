"""The tables ``runs`` and ``attempts``. Only this package holds SQL for them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from tenterhook.database import JSON, METADATA, MOMENT

_EMPTY_LIST = text("'[]'")

runs = Table(
    "runs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("user_id", Text),
    Column("event", JSON, nullable=False),
    Column("sequence", BigInteger, server_default=text("nextval('runs_sequence_seq')"), nullable=False),
    Column("occurred_at", MOMENT, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_reason", Text),
    Column("due_at", MOMENT, nullable=False, server_default=text("now()")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("interruptions", Integer, nullable=False, server_default=text("0")),
    Column("worker_id", Text),
    Column("lease_expires_at", MOMENT),
    Column("finished_at", MOMENT),
    CheckConstraint(
        "state IN ('waiting','running','succeeded','attention','held','cancelled')", name="state"
    ),
    CheckConstraint(
        "(state = 'running') = (worker_id IS NOT NULL) AND (state = 'running') = (lease_expires_at IS NOT NULL)",
        name="running_has_lease",
    ),
    Index("runs_tenant_id_id_idx", "tenant_id", "id"),
    Index("runs_subject_id_id_idx", "subject_id", "id"),
    Index("runs_user_id_idx", "user_id"),
    Index("runs_waiting_idx", "due_at", postgresql_where=text("state = 'waiting'")),
    Index("runs_running_idx", "lease_expires_at", postgresql_where=text("state = 'running'")),
)

attempts = Table(
    "attempts",
    METADATA,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("worker_id", Text, nullable=False),
    Column("code_version", Integer),
    Column("started_at", MOMENT, nullable=False),
    Column("called_back_at", MOMENT),
    Column("settled_at", MOMENT),
    Column("finished_at", MOMENT),
    Column("outcome", Text),
    Column("verdict", JSON),
    Column("error", JSON),
    Column("console", JSON, nullable=False, server_default=_EMPTY_LIST),
    Column("calls", JSON, nullable=False, server_default=_EMPTY_LIST),
    Column("connections", JSON, nullable=False, server_default=_EMPTY_LIST),
    Column("notes", JSON, nullable=False, server_default=_EMPTY_LIST),
    Column("unsandboxed", Boolean, nullable=False, server_default=text("false")),
)
