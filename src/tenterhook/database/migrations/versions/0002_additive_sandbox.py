"""The sandbox: a hook's own limits, egress rules and process; an attempt's connections, and its mark without a sandbox.

Additive. The settings are apart from ``hooks``: a row is there only where a hook differs from the operator's defaults.
"""

from __future__ import annotations

from alembic import op

from tenterhook.database.migrations import run_script

revision = "0002"
down_revision = "0001"

TABLES = """
CREATE TABLE hook_settings (
    hook_id text CONSTRAINT hook_settings_pkey PRIMARY KEY
        CONSTRAINT hook_settings_hook_id_fkey REFERENCES hooks (id) ON DELETE CASCADE,
    limits jsonb NOT NULL DEFAULT '{}',
    egress_mode text NOT NULL DEFAULT 'open',
    egress_allow jsonb NOT NULL DEFAULT '[]',
    own_process boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT hook_settings_egress_mode_check CHECK (egress_mode IN ('open', 'report', 'enforce'))
);

ALTER TABLE attempts ADD COLUMN connections jsonb NOT NULL DEFAULT '[]';
ALTER TABLE attempts ADD COLUMN unsandboxed boolean NOT NULL DEFAULT false;
"""


def upgrade() -> None:
    run_script(op.get_bind(), TABLES)
