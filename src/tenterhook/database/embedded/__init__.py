"""The embedded PostgreSQL server, for when no ``DATABASE_URL`` is set; see ``server.py``."""

from tenterhook.database.embedded.binaries import postgres_version
from tenterhook.database.embedded.errors import (
    DataFolderInUseError,
    DataFolderUnusableError,
    EmbeddedServerError,
    IsolationRefusedError,
    ServerDidNotStartError,
    ServerDidNotStopError,
)
from tenterhook.database.embedded.server import (
    EmbeddedServer,
    exists,
    start,
    stop,
    url_of_running,
    wait_until_ended,
)

__all__ = [
    "DataFolderInUseError",
    "DataFolderUnusableError",
    "EmbeddedServer",
    "EmbeddedServerError",
    "IsolationRefusedError",
    "ServerDidNotStartError",
    "ServerDidNotStopError",
    "exists",
    "postgres_version",
    "start",
    "stop",
    "url_of_running",
    "wait_until_ended",
]
