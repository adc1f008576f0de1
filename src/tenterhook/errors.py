"""The root of every error that Tenterhook raises on purpose.

    TenterhookError
    ├── ConfigurationError          the operator must change something before we can start
    ├── InvalidInputError           what was sent cannot be used; says which part and what is expected
    ├── NotFoundError               absent, or not the caller's to see
    ├── ConflictError               clashes with what exists
    ├── OverloadedError             no room now; try again after ``retry_after_seconds``
    └── … one subclass per capability, beside the code that raises it

Errors do not know HTTP: one table in ``api/errors.py`` maps classes to status codes. Each class has a stable
``code`` (clients may depend on it) and a docstring, which is its default message. A message is for the person who
reads the answer; the cause is chained with ``raise … from`` and only ever logged.
"""

from __future__ import annotations

from typing import Any, ClassVar


class TenterhookError(Exception):
    """Something went wrong in Tenterhook."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str | None = None, /, **details: Any) -> None:
        """Take a message for the reader (default: the class docstring) and details for the program."""
        self.message = message or (self.__doc__ or self.code).strip()
        self.details = details
        super().__init__(self.message)


class ConfigurationError(TenterhookError):
    """The configuration cannot be used."""

    code = "configuration_error"


class InvalidInputError(TenterhookError):
    """The input cannot be used."""

    code = "invalid_input"


class NotFoundError(TenterhookError):
    """What was asked for does not exist."""

    code = "not_found"


class ConflictError(TenterhookError):
    """The change clashes with what exists."""

    code = "conflict"


class OverloadedError(TenterhookError):
    """The server has no room for this now; try again shortly."""

    code = "overloaded"

    def __init__(
        self, message: str | None = None, /, *, retry_after_seconds: int = 1, **details: Any
    ) -> None:
        """Say after how many whole seconds another try makes sense."""
        super().__init__(message, **details)
        self.retry_after_seconds = retry_after_seconds
