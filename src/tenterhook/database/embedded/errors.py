"""What can go wrong with the embedded PostgreSQL server; each message says what to do.

ConfigurationError
├── DataFolderInUseError        another process owns the data folder
├── DataFolderUnusableError     not writable, of another user, of another PostgreSQL, incomplete
└── IsolationRefusedError       root here may not make what a server of root's needs
TenterhookError
└── EmbeddedServerError         PostgreSQL itself did not do what was asked
    ├── ServerDidNotStartError
    └── ServerDidNotStopError
"""

from __future__ import annotations

from tenterhook.errors import ConfigurationError, TenterhookError


class DataFolderInUseError(ConfigurationError):
    """Another process is using this data folder."""

    code = "data_folder_in_use"


class DataFolderUnusableError(ConfigurationError):
    """The data folder cannot be used."""

    code = "data_folder_unusable"


class IsolationRefusedError(ConfigurationError):
    """The embedded database cannot be started as root on this machine."""

    code = "embedded_database_isolation_refused"


class EmbeddedServerError(TenterhookError):
    """The embedded database server failed."""

    code = "embedded_server_error"


class ServerDidNotStartError(EmbeddedServerError):
    """The embedded database server did not start."""

    code = "embedded_server_did_not_start"


class ServerDidNotStopError(EmbeddedServerError):
    """The embedded database server did not stop."""

    code = "embedded_server_did_not_stop"
