"""The program: every command, in the order in which ``--help`` shows them, and how it ends when one fails.

A failure that somebody raised on purpose is one line on standard error that says what to do, and an exit code
(``failures.py``). Anything else is a defect of ours: it ends with a traceback for the report, and exit code 99.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer
from typer.exceptions import TyperException

from tenterhook import __version__
from tenterhook.cli import (
    doctor,
    hook_commands,
    hook_settings_commands,
    log_commands,
    run_commands,
    server_commands,
    setup_commands,
    start_command,
    tenant_commands,
)
from tenterhook.cli.failures import ExitCode, exit_code_of
from tenterhook.cli.terminal import fail, output, remarks
from tenterhook.errors import TenterhookError

program = typer.Typer(
    name="tenterhook",
    help="A self-hosted home for Auth0 Hooks: your JavaScript runs after every registration, and no run is ever lost.",
    epilog="Begin with `tenterhook start`. Settings: `tenterhook check-config`.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        output.print(f"tenterhook {__version__}")
        raise typer.Exit


@program.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
    del version  # its callback has done the work


start_command.register(program)
setup_commands.register(program)
doctor.register(program)
server_commands.register(program)
tenant_commands.register(program)
hook_commands.register(program)
hook_settings_commands.register(program)
log_commands.register(program)
run_commands.register(program)


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        result = program(arguments or ["--help"], prog_name="tenterhook", standalone_mode=False)
    except TenterhookError as error:
        fail(error.message)
        return exit_code_of(error)
    except TyperException as error:
        fail(error.format_message())
        _point_to_help(error)
        return error.exit_code
    except typer.Abort:
        fail("Cancelled; nothing was changed.")
        return ExitCode.CANCELLED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`); Python must not complain again when it closes it.
        sys.stdout = None
        return ExitCode.OK
    except Exception:  # noqa: BLE001 - the outermost place: told to the person in full, with its own exit code
        remarks.print(traceback.format_exc())
        fail("This is a defect in tenterhook; please report it with the lines above.")
        return ExitCode.UNEXPECTED
    return result if isinstance(result, int) else ExitCode.OK


def _point_to_help(error: TyperException) -> None:
    """Name the help page of the command that was called in a wrong way."""
    context = getattr(error, "ctx", None)
    if context is not None:
        remarks.print(f"See: {context.command_path} --help")
