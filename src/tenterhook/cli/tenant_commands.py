"""Tenants: made and listed by the operator, in the database itself; no token of one tenant may make another."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from tenterhook import settings as settings_module
from tenterhook.cli.crossing import command
from tenterhook.cli.options import AsJSON, Data
from tenterhook.cli.setup_commands import quiet_level
from tenterhook.cli.structured_logging import configure_logging
from tenterhook.cli.terminal import on_one_line, output, say, say_json
from tenterhook.settings import Settings

PANEL = "Set up"
tenants = typer.Typer(no_args_is_help=True, help="Create and list tenants.")


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(tenants, name="tenants", rich_help_panel=PANEL)
    tenants.command("create")(create_tenant)
    tenants.command("ls")(list_tenants)


@command
async def create_tenant(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Hooks see it as user.tenant.", show_default=False)
    ],
    domain: Annotated[
        str,
        typer.Option(
            "--domain",
            metavar="HOST[:PORT]",
            help="Requests to this host belong to the tenant.",
            show_default=False,
        ),
    ],
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            metavar="URL",
            help="Makes issuer and audience. [default: https://DOMAIN]",
            show_default=False,
        ),
    ] = None,
    as_json: AsJSON = False,
    data: Data = None,
) -> None:
    """Create a tenant, with a connection, an application and a management client whose secret is shown once."""
    from tenterhook import application  # noqa: PLC0415 - brings the whole product along
    from tenterhook.cli.initializing import Initialized  # noqa: PLC0415 - the same
    from tenterhook.cli.public_url import check_domain, check_public_url  # noqa: PLC0415 - the same

    made = Initialized.of(
        await application.create_tenant(
            _settings(data),
            name=name,
            domain=check_domain(domain),
            public_url=check_public_url(public_url) if public_url is not None else None,
        )
    )
    if as_json:
        say_json(made.to_json())
        return
    for label, text in made.to_lines():
        say(f"{label:<22} {text}")


@command
async def list_tenants(as_json: AsJSON = False, data: Data = None) -> None:
    """List tenants, the oldest first."""
    from tenterhook import application  # noqa: PLC0415 - brings the whole product along

    found = await application.list_tenants(_settings(data))
    if as_json:
        say_json(
            [
                {"id": each.id, "name": each.name, "domain": each.domain, "public_url": each.public_url}
                for each in found
            ]
        )
        return
    if not found:
        say("There are no tenants yet; `tenterhook init` makes the first.")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "DOMAIN", "PUBLIC URL"):
        table.add_column(title, no_wrap=True)
    for each in found:
        table.add_row(on_one_line(each.name), on_one_line(each.domain), on_one_line(each.public_url))
    output.print(table, soft_wrap=True)


def _settings(data: Data) -> Settings:
    settings = settings_module.load(data_dir=data)
    configure_logging(settings.log_format, quiet_level(settings))
    return settings
