"""The first schema: directory, hooks, runs, tenant logs, the vault's check, and the queue engine's tables.

Additive. Constraint names follow ``database/schema.py``. The queue engine's tables are made by its own installer, with
the names that ``runs/queue.py`` fixes.
"""

from __future__ import annotations

from alembic import op
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment

from tenterhook.database.migrations import run_script
from tenterhook.database.queue_names import QUEUE_NAMES

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE vault_checks (
    id integer CONSTRAINT vault_checks_pkey PRIMARY KEY,
    sealed bytea NOT NULL,
    CONSTRAINT vault_checks_one_row_check CHECK (id = 1)
);

-- directory

CREATE TABLE tenants (
    id text CONSTRAINT tenants_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT tenants_name_key UNIQUE,
    domain text NOT NULL CONSTRAINT tenants_domain_key UNIQUE,
    public_url text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE connections (
    id text CONSTRAINT connections_pkey PRIMARY KEY,
    tenant_id text NOT NULL CONSTRAINT connections_tenant_id_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    strategy text NOT NULL,
    options jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT connections_tenant_id_name_key UNIQUE (tenant_id, name)
);

CREATE TABLE clients (
    client_id text CONSTRAINT clients_pkey PRIMARY KEY,
    tenant_id text NOT NULL CONSTRAINT clients_tenant_id_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    app_type text NOT NULL,
    grant_types jsonb NOT NULL DEFAULT '[]',
    secret_digest bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX clients_tenant_id_idx ON clients (tenant_id);

CREATE TABLE connection_clients (
    connection_id text NOT NULL
        CONSTRAINT connection_clients_connection_id_fkey REFERENCES connections (id) ON DELETE CASCADE,
    client_id text NOT NULL
        CONSTRAINT connection_clients_client_id_fkey REFERENCES clients (client_id) ON DELETE CASCADE,
    CONSTRAINT connection_clients_pkey PRIMARY KEY (connection_id, client_id)
);
CREATE INDEX connection_clients_client_id_idx ON connection_clients (client_id);

CREATE TABLE client_grants (
    client_id text NOT NULL CONSTRAINT client_grants_client_id_fkey REFERENCES clients (client_id) ON DELETE CASCADE,
    audience text NOT NULL,
    scopes jsonb NOT NULL,
    CONSTRAINT client_grants_pkey PRIMARY KEY (client_id, audience)
);

CREATE TABLE users (
    id text CONSTRAINT users_pkey PRIMARY KEY,
    tenant_id text NOT NULL CONSTRAINT users_tenant_id_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    connection_id text NOT NULL
        CONSTRAINT users_connection_id_fkey REFERENCES connections (id) ON DELETE CASCADE,
    email text,
    email_key text,
    email_verified boolean NOT NULL DEFAULT false,
    username text,
    username_key text,
    phone_number text,
    phone_verified boolean NOT NULL DEFAULT false,
    given_name text,
    family_name text,
    name text,
    nickname text,
    picture text,
    blocked boolean NOT NULL DEFAULT false,
    user_metadata jsonb NOT NULL DEFAULT '{}',
    app_metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_connection_id_email_key_idx ON users (connection_id, email_key);
CREATE UNIQUE INDEX users_connection_id_username_key_idx ON users (connection_id, username_key);
CREATE INDEX users_tenant_id_created_at_idx ON users (tenant_id, created_at);

-- Apart from users, so that no query for a user can carry the hash along.
CREATE TABLE user_passwords (
    user_id text CONSTRAINT user_passwords_pkey PRIMARY KEY
        CONSTRAINT user_passwords_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE signing_keys (
    kid text CONSTRAINT signing_keys_pkey PRIMARY KEY,
    tenant_id text NOT NULL CONSTRAINT signing_keys_tenant_id_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    public_jwk jsonb NOT NULL,
    private_sealed bytea NOT NULL,
    current boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX signing_keys_one_current_idx ON signing_keys (tenant_id) WHERE current;

-- tenant logs

CREATE TABLE tenant_logs (
    log_id text CONSTRAINT tenant_logs_pkey PRIMARY KEY,
    tenant_id text NOT NULL CONSTRAINT tenant_logs_tenant_id_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    date timestamptz NOT NULL,
    type text NOT NULL,
    description text NOT NULL DEFAULT '',
    connection text,
    connection_id text,
    client_id text,
    client_name text,
    ip text,
    user_agent text,
    user_id text,
    user_name text,
    strategy text,
    strategy_type text,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX tenant_logs_tenant_id_log_id_idx ON tenant_logs (tenant_id, log_id);
CREATE INDEX tenant_logs_tenant_id_type_log_id_idx ON tenant_logs (tenant_id, type, log_id);

-- hooks

CREATE TABLE hooks (
    id text CONSTRAINT hooks_pkey PRIMARY KEY,
    tenant_id text NOT NULL CONSTRAINT hooks_tenant_id_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    trigger_id text NOT NULL,
    enabled boolean NOT NULL DEFAULT false,
    version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT hooks_tenant_id_name_key UNIQUE (tenant_id, name)
);
CREATE UNIQUE INDEX hooks_one_enabled_idx ON hooks (tenant_id, trigger_id) WHERE enabled;

CREATE TABLE module_sets (
    key text CONSTRAINT module_sets_pkey PRIMARY KEY,
    lock text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hook_versions (
    hook_id text NOT NULL CONSTRAINT hook_versions_hook_id_fkey REFERENCES hooks (id) ON DELETE CASCADE,
    version integer NOT NULL,
    script text NOT NULL,
    dependencies jsonb NOT NULL,
    modules jsonb NOT NULL DEFAULT '[]',
    module_notes jsonb NOT NULL DEFAULT '[]',
    module_set_key text CONSTRAINT hook_versions_module_set_key_fkey REFERENCES module_sets (key),
    module_error jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT hook_versions_pkey PRIMARY KEY (hook_id, version)
);

CREATE TABLE hook_secrets (
    hook_id text NOT NULL CONSTRAINT hook_secrets_hook_id_fkey REFERENCES hooks (id) ON DELETE CASCADE,
    name text NOT NULL,
    sealed bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT hook_secrets_pkey PRIMARY KEY (hook_id, name)
);

CREATE TABLE hook_storage (
    hook_id text CONSTRAINT hook_storage_pkey PRIMARY KEY
        CONSTRAINT hook_storage_hook_id_fkey REFERENCES hooks (id) ON DELETE CASCADE,
    data text NOT NULL,
    etag text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- runs: no foreign keys to users or hooks, because a run outlives both

CREATE SEQUENCE runs_sequence_seq AS bigint;

CREATE TABLE runs (
    id text CONSTRAINT runs_pkey PRIMARY KEY,
    tenant_id text NOT NULL,
    kind text NOT NULL,
    subject_id text NOT NULL,
    user_id text,
    event jsonb NOT NULL,
    sequence bigint NOT NULL DEFAULT nextval('runs_sequence_seq'),
    occurred_at timestamptz NOT NULL,
    state text NOT NULL,
    state_reason text,
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    interruptions integer NOT NULL DEFAULT 0,
    worker_id text,
    lease_expires_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT runs_state_check
        CHECK (state IN ('waiting', 'running', 'succeeded', 'attention', 'held', 'cancelled')),
    CONSTRAINT runs_running_has_lease_check
        CHECK ((state = 'running') = (worker_id IS NOT NULL) AND (state = 'running') = (lease_expires_at IS NOT NULL))
);
ALTER SEQUENCE runs_sequence_seq OWNED BY runs.sequence;
CREATE INDEX runs_tenant_id_id_idx ON runs (tenant_id, id);
CREATE INDEX runs_subject_id_id_idx ON runs (subject_id, id);
CREATE INDEX runs_user_id_idx ON runs (user_id);
CREATE INDEX runs_waiting_idx ON runs (due_at) WHERE state = 'waiting';
CREATE INDEX runs_running_idx ON runs (lease_expires_at) WHERE state = 'running';

CREATE TABLE attempts (
    run_id text NOT NULL CONSTRAINT attempts_run_id_fkey REFERENCES runs (id) ON DELETE CASCADE,
    number integer NOT NULL,
    worker_id text NOT NULL,
    code_version integer,
    started_at timestamptz NOT NULL,
    called_back_at timestamptz,
    settled_at timestamptz,
    finished_at timestamptz,
    outcome text,
    verdict jsonb,
    error jsonb,
    console jsonb NOT NULL DEFAULT '[]',
    calls jsonb NOT NULL DEFAULT '[]',
    notes jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT attempts_pkey PRIMARY KEY (run_id, number)
);
"""


def upgrade() -> None:
    for script in (TABLES, QueryBuilderEnvironment(settings=QUEUE_NAMES).build_install_query()):
        run_script(op.get_bind(), script)
