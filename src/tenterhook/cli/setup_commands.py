"""Setting up: what must exist before a server is of use, and whether the settings make sense."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tenterhook import settings as settings_module
from tenterhook.cli.crossing import command
from tenterhook.cli.listening import tls_files
from tenterhook.cli.options import AsJSON, Data
from tenterhook.cli.structured_logging import configure_logging
from tenterhook.cli.terminal import remark, say, say_json
from tenterhook.settings import Settings

PANEL = "Set up"


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.command(rich_help_panel=PANEL)(init)
    program.command(rich_help_panel=PANEL)(migrate)
    program.command("check-config", rich_help_panel=PANEL)(check_config)


@command
async def init(
    data: Data = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant",
            metavar="NAME",
            help="The default tenant's name; hooks see it as user.tenant. [default: that of the profile, else default]",
            show_default=False,
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            metavar="URL",
            help="Where applications reach the server, such as https://localhost:8443 behind a proxy: makes issuer "
            "and audience. [default: as it is, at first http://127.0.0.1:PORT]",
            show_default=False,
        ),
    ] = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a new secret for the management client; the old one ends.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Create what is missing in a data folder, and print how to use it.

    That is: embedded database, tables, default tenant, connection Username-Password-Authentication, a demo application
    and a management client. Its secret is shown once, and kept in profile.json in the data folder.
    """
    from tenterhook.cli.initializing import initialize_data  # noqa: PLC0415 - brings the whole product along

    settings = settings_module.load(data_dir=data)
    configure_logging(settings.log_format, quiet_level(settings))
    initialized = await initialize_data(settings, tenant_name=tenant, public_url=public_url, rotate=rotate)
    if as_json:
        say_json(initialized.to_json())
    else:
        for label, text in initialized.to_lines():
            say(f"{label:<22} {text}")
    if initialized.management_client_secret is None:
        remark("The management client's secret was shown when it was made; --rotate makes a new one.")
    if initialized.profile_file is None:
        remark(
            "There is no profile for the command line, because the secret is not known; --rotate writes one."
        )


@command
async def migrate(data: Data = None) -> None:
    """Bring the database's tables up to this version.

    With DATABASE_URL this is a step of every upgrade, before the new API and workers start. The embedded database is
    migrated at each start by itself.
    """
    from tenterhook.application import migrate_database  # noqa: PLC0415 - brings the whole product along

    settings = settings_module.load(data_dir=data)
    configure_logging(settings.log_format, quiet_level(settings))
    await migrate_database(settings)
    say("The database has the tables of this version.")


def check_config(data: Data = None, as_json: AsJSON = False) -> None:
    """Check the settings without starting anything, and print those that differ from their defaults."""
    settings = settings_module.load(data_dir=data)
    tls_files(settings.tls_cert, settings.tls_key)
    changed = changed_settings(settings)
    if as_json:
        say_json(changed)
        return
    for name, value in changed.items():
        say(f"{name} = {value}")
    say("The settings can be used." if changed else "The settings can be used; all have their defaults.")


def changed_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that were set, by the names of their variables; secrets stay hidden."""
    values = settings.model_dump(mode="json")  # SecretStr comes out as stars
    return {
        settings_module.environment_name(name): values[name] for name in sorted(settings.model_fields_set)
    }


def quiet_level(settings: Settings) -> Any:
    """Return the level at which a command for a person logs: what was asked for, else only warnings."""
    return settings.log_level if "log_level" in settings.model_fields_set else "warning"
