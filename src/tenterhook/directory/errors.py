"""What the directory refuses.

InvalidInputError
├── InvalidEmailError           no address, or not one
├── InvalidUsernameError        length or characters
├── InvalidMetadataError        too many, too long, forbidden names
├── PasswordTooWeakError        the connection's policy; says which rules hold
└── PasswordTooLongError        beyond 4096 bytes
NotFoundError
├── UnknownTenantError          no tenant answers to this Host
├── UnknownConnectionError
├── UnknownClientError          none of this id, or not enabled for the connection
└── UnknownUserError
ConflictError
├── UserExistsError             e-mail or username taken in the connection
├── ConnectionExistsError
└── TenantExistsError
OverloadedError
└── HashingLineFullError        as many passwords wait for a thread as may
TenterhookError
├── InvalidTokenError           not ours, expired, or of another tenant
├── AccessDeniedError           client id and secret do not belong together, or the audience is not granted
└── DirectoryWriteError         the database refused a user; its reason is withheld, it may quote a hash
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tenterhook.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    TenterhookError,
)


class InvalidEmailError(InvalidInputError):
    """The e-mail address is not valid."""

    code = "invalid_email"


class InvalidUsernameError(InvalidInputError):
    """The username is not valid."""

    code = "invalid_username"


class InvalidMetadataError(InvalidInputError):
    """The metadata is not valid."""

    code = "invalid_metadata"


class PasswordTooWeakError(InvalidInputError):
    """Password is too weak."""

    code = "invalid_password"

    def __init__(self, *, rules: Sequence[dict[str, Any]], policy: str) -> None:
        """Take the rules of the policy, each with ``verified``, and the policy as text."""
        self.rules = list(rules)
        self.policy = policy
        super().__init__(
            "Password is too weak",
            auth0={
                "name": "PasswordStrengthError",
                "message": "Password is too weak",
                "code": self.code,
                "description": {"rules": self.rules, "verified": False},
                "policy": policy,
            },
        )


class PasswordTooLongError(InvalidInputError):
    """Password is too long; at most 4096 bytes are accepted."""

    code = "invalid_password"


class UnknownTenantError(NotFoundError):
    """No tenant answers to this host name."""

    code = "inexistent_tenant"


class UnknownConnectionError(NotFoundError):
    """The connection does not exist."""

    code = "inexistent_connection"

    def __init__(self) -> None:
        """Speak as Auth0 does, without a full stop."""
        super().__init__("The connection does not exist")


class UnknownClientError(NotFoundError):
    """The client does not exist."""

    code = "inexistent_client"


class UnknownUserError(NotFoundError):
    """The user does not exist."""

    code = "inexistent_user"


class UserExistsError(ConflictError):
    """The user already exists."""

    code = "user_exists"

    def __init__(self, *, field: str) -> None:
        """Say which of ``email``, ``username`` or ``user_id`` is taken."""
        super().__init__("The user already exists.", field=field)
        self.field = field


class ConnectionExistsError(ConflictError):
    """A connection of this name already exists."""

    code = "connection_exists"


class TenantExistsError(ConflictError):
    """A tenant of this name or domain already exists."""

    code = "tenant_exists"


class HashingLineFullError(OverloadedError):
    """Too many passwords are being hashed; try again shortly."""

    code = "hashing_line_full"


class InvalidTokenError(TenterhookError):
    """Invalid token."""

    code = "invalid_token"

    def __init__(self, message: str = "Invalid token", /) -> None:
        """Speak as Auth0 does, without a full stop."""
        super().__init__(message)


class AccessDeniedError(TenterhookError):
    """Unauthorized."""

    code = "access_denied"

    def __init__(self, message: str = "Unauthorized", /) -> None:
        """Speak as Auth0 does, without a full stop."""
        super().__init__(message)


class DirectoryWriteError(TenterhookError):
    """The user could not be written."""

    code = "directory_write_failed"
