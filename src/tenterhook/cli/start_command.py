"""``start``: everything on a laptop in one go, in the foreground, with the first hook running in a minute."""

from __future__ import annotations

from typing import Annotated

import typer

from tenterhook import settings as settings_module
from tenterhook.cli.crossing import command
from tenterhook.cli.options import Data, Host, Port
from tenterhook.cli.setup_commands import quiet_level
from tenterhook.cli.structured_logging import configure_logging


def register(program: typer.Typer) -> None:
    """Add the command to the program."""
    program.command(rich_help_panel="Run")(start)


@command
async def start(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls", help="Speak https with a certificate of a local CA, as Auth0's SDKs insist on."
        ),
    ] = False,
) -> None:
    """Start a demo: server, worker, a hook that posts to a stand-in for Slack, and every run shown as it happens.

    Makes what is missing, prints a line that signs somebody up, and runs until Ctrl-C. Nothing outside the data folder
    is changed. For anything but trying out and developing there is `tenterhook serve`.
    """
    from tenterhook.cli.development import run_demo  # noqa: PLC0415 - brings the whole product along

    settings = settings_module.load(data_dir=data, host=host, port=port)
    configure_logging(settings.log_format, quiet_level(settings))
    await run_demo(settings, tls=tls)
