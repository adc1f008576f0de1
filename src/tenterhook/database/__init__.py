"""Connection, transactions, migrations and the vault. The embedded server is in ``database.embedded``."""

from tenterhook.database.connection import (
    UNAVAILABLE,
    Database,
    DatabaseUnavailableError,
    Reader,
    Transaction,
)
from tenterhook.database.migrating import SchemaOutdatedError, head_revision, migrate, require_current_schema
from tenterhook.database.schema import JSON, METADATA, MOMENT, jsonb_text
from tenterhook.database.vault import (
    DEFAULT_KEY_FILE_NAME,
    SealedValueError,
    Vault,
    check_key,
    load_or_create_key,
)

__all__ = [
    "DEFAULT_KEY_FILE_NAME",
    "JSON",
    "METADATA",
    "MOMENT",
    "UNAVAILABLE",
    "Database",
    "DatabaseUnavailableError",
    "Reader",
    "SchemaOutdatedError",
    "SealedValueError",
    "Transaction",
    "Vault",
    "check_key",
    "head_revision",
    "jsonb_text",
    "load_or_create_key",
    "migrate",
    "require_current_schema",
]
