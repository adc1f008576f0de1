"""How a command fails: one line on standard error that says what to do, and an exit code that scripts can tell apart.

The codes up to 8 are those of the command line that people had for Hooks (``wt-cli``); 9 is ours.

    CommandError            the command cannot do what it was asked
    └── PortTakenError      another program listens where we should
"""

from __future__ import annotations

import enum
from typing import ClassVar

from tenterhook.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TenterhookError,
)


class ExitCode(enum.IntEnum):
    """What the command tells the shell."""

    OK = 0
    """Done."""
    CANCELLED = 1
    """A person said no, or pressed Ctrl-C at a question."""
    INVALID = 2
    """The command line, the settings or the profile cannot be used."""
    TIMEOUT = 4
    """The server did not answer in time."""
    NOT_FOUND = 5
    """There is nothing by that name."""
    BAD_REQUEST = 6
    """The server refused what was sent."""
    SERVER = 7
    """The server cannot be reached, or failed."""
    NOT_AUTHORISED = 8
    """The profile's client may not do this."""
    CANNOT_START = 9
    """A server or worker could not start: port taken, database unavailable."""
    HOOK_FAILED = 10
    """``run``: the hook itself failed; everything else worked."""
    UNEXPECTED = 99
    """A defect of ours."""


class CommandError(TenterhookError):
    """The command cannot do what it was asked."""

    code: ClassVar[str] = "command_failed"

    def __init__(self, message: str, /, exit_code: ExitCode = ExitCode.INVALID) -> None:
        """Take one line for the reader, saying what to do, and the code for the shell."""
        super().__init__(message)
        self.exit_code = exit_code


class PortTakenError(CommandError):
    """Another program listens on the port."""

    code = "port_taken"

    def __init__(self, host: str, port: int) -> None:
        """Say which port it is and by which setting another is chosen."""
        super().__init__(
            f"Port {port} on {host} is taken by another program. Stop it, or choose another port with "
            "--port or TENTERHOOK_PORT (0 picks a free one).",
            ExitCode.CANNOT_START,
        )


_EXIT_CODES: tuple[tuple[type[TenterhookError], ExitCode], ...] = (
    (ConfigurationError, ExitCode.INVALID),
    (NotFoundError, ExitCode.NOT_FOUND),
    (ConflictError, ExitCode.BAD_REQUEST),
    (InvalidInputError, ExitCode.BAD_REQUEST),
)


def exit_code_of(error: TenterhookError) -> ExitCode:
    """Return what the shell is told about an error that somebody below raised on purpose."""
    if isinstance(error, CommandError):
        return error.exit_code
    for kind, exit_code in _EXIT_CODES:
        if isinstance(error, kind):
            return exit_code
    return ExitCode.CANNOT_START
