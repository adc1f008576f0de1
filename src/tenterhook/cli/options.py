"""Options that more than one command has, each written once."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from tenterhook.cli.profile import PROFILE_VARIABLE


class Trigger(enum.StrEnum):
    """The extensibility points, by their ids."""

    CREDENTIALS_EXCHANGE = "credentials-exchange"
    PRE_USER_REGISTRATION = "pre-user-registration"
    POST_USER_REGISTRATION = "post-user-registration"
    POST_CHANGE_PASSWORD = "post-change-password"  # noqa: S105 - an extensibility point's name, not a password
    SEND_PHONE_MESSAGE = "send-phone-message"


class OutputFormat(enum.StrEnum):
    """For whom a list is printed."""

    TEXT = "text"
    JSON = "json"


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Data folder: embedded database, keys, profile. "
        "[default: TENTERHOOK_DATA_DIR, else .tenterhook in the current folder]",
        show_default=False,
    ),
]
ProfileFile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        "-p",
        metavar="FILE",
        envvar=PROFILE_VARIABLE,
        help="Profile to use. [default: profile.json in the data folder]",
        show_default=False,
    ),
]
RequiredTrigger = Annotated[
    Trigger,
    typer.Option("--trigger", "-t", help="Extensibility point.", show_default=False),
]
HookName = Annotated[str, typer.Argument(metavar="NAME", help="The hook's name.", show_default=False)]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Host = Annotated[
    str | None,
    typer.Option(
        "--host", help="Address to listen on. [default: TENTERHOOK_HOST, else 127.0.0.1]", show_default=False
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="Port to listen on; 0 picks a free one and prints it. [default: TENTERHOOK_PORT, else 8585]",
        show_default=False,
    ),
]
TLSCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert", metavar="FILE", help="Certificate chain (PEM): speak https.", show_default=False
    ),
]
TLSKey = Annotated[
    Path | None,
    typer.Option(
        "--tls-key", metavar="FILE", help="Private key (PEM) of the certificate.", show_default=False
    ),
]
