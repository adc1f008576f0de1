"""How the embedded server is set: what protects is given at every start, what tunes is written once.

``protections`` are arguments, so that no file in the data folder can undo them. ``TUNING`` goes into
``postgresql.conf`` when the database is made; an operator may change it there.
"""

from __future__ import annotations

PORT = 5432
"""Only part of the socket's name: no TCP port is opened."""

TUNING = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "512MB",
    "jit": "off",  # compiling costs more than our short statements take
    # The queue's tables turn over quickly and are small: look often, clean early.
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    # A transaction that a crashed request left open would hold its locks, and keep dead rows from being cleaned.
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
}


def protections(socket_dir: str) -> dict[str, str]:
    """Return the settings that no file may change: who can connect, what survives a crash, what is never logged."""
    return {
        # Who can connect: whoever may enter the socket's folder (0700) and knows a password.
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": socket_dir,
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "ssl": "off",
        # What was answered is on the disk.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # The log never holds a statement, a parameter or a row. Errors go to the client, who knows what may be said of
        # them ("log" leaves out ERROR and below). "terse" leaves out details: the report of a crashed backend would
        # quote the statement that it was at, and that of a clash the row.
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_min_messages": "log",
        "log_error_verbosity": "terse",
        "log_statement": "none",
        "log_min_error_statement": "panic",
        "log_min_duration_statement": "-1",
        "log_min_duration_sample": "-1",
        "log_transaction_sample_rate": "0",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] ",
        "log_timezone": "UTC",
    }


def as_arguments(settings: dict[str, str]) -> tuple[str, ...]:
    """Return the settings as PostgreSQL's programs take them."""
    return tuple(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}"))
