"""The command: asks everybody, shows what they found, and tells CI by the exit status.

It works before `init` and beside a running server, starts nothing but a process for one empty hook, and changes nothing. What it prints holds no
secrets, so that it can be sent to somebody who helps.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import platform
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from tenterhook import __version__
from tenterhook import settings as settings_module
from tenterhook.cli.crossing import command
from tenterhook.cli.doctor.finding import Finding, Weight, problem
from tenterhook.cli.options import AsJSON, Data
from tenterhook.cli.structured_logging import configure_logging
from tenterhook.cli.terminal import on_one_line, output, say, say_json
from tenterhook.errors import ConfigurationError

SICK = 1
"""The exit status when there is a problem."""
_STYLES = {Weight.OK: "green", Weight.WARNING: "yellow", Weight.PROBLEM: "bold red"}


def register(program: typer.Typer) -> None:
    """Add the command to the program."""
    program.command(rich_help_panel="Set up")(doctor)


@command
async def doctor(data: Data = None, as_json: AsJSON = False) -> None:
    """Look whether this machine and these settings are fit, and say what to do where they are not.

    Shows the sandbox's tier and each of its layers, found by trying them here and now; the age of Node; database, data
    folder, key, clock, disk; what hooks may reach beyond public addresses; and which unsafe settings are on. Run it as
    the user, in the container and with the environment that the server runs in: settings are those that it sees itself. An empty hook is run; nothing else is started, nothing is
    changed, and no secret is printed.

    The exit code is 1 if there is a problem, 0 with warnings only.
    """
    configure_logging("text", "warning")  # what the sandbox has to say of the empty hook, beside the answer
    found, status = await examine(data)
    if as_json:
        say_json(report(found, status))
    else:
        show(found)
    if _worst(found) is Weight.PROBLEM:
        raise typer.Exit(SICK)


async def examine(data: Path | None) -> tuple[list[Finding], Any]:
    """Return every finding, and the sandbox's status."""
    # Each brings parts of the product that other commands do without.
    from tenterhook.cli.doctor import configuration, database, host, sandbox  # noqa: PLC0415 - as said above
    from tenterhook.sandbox import status_of_this_host  # noqa: PLC0415 - as said above

    now = dt.datetime.now(dt.UTC)
    found: list[Finding] = []
    settings = None
    try:
        settings = settings_module.load(data_dir=data)
        found += configuration.settings_findings(settings)
    except ConfigurationError as error:
        found.append(
            problem(
                "settings",
                "settings",
                error.message,
                lost="the server does not start",
                remedy="docs/reference/settings.md lists them all.",
            )
        )
    status = await asyncio.to_thread(
        status_of_this_host, unsafe=settings is not None and settings.unsafe_run_hooks_without_sandbox
    )
    found += [
        *sandbox.sandbox_findings(status),
        await sandbox.hook_finding(status, settings or settings_module.Settings.model_construct()),
        *await sandbox.node_findings(now.date()),
    ]
    if settings is not None:
        found += await database.database_findings(settings)
        found += [
            host.data_folder_finding(settings),
            host.key_finding(settings),
            host.disk_finding(settings),
        ]
    found += [host.open_files_finding(), host.clock_finding(now)]
    return found, status


def report(found: list[Finding], status: Any) -> dict[str, Any]:
    """Return what programs get."""
    return {
        "version": __version__,
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "verdict": _worst(found).value,
        "sandbox": {
            "tier": status.tier,
            "meaning": status.meaning,
            "hooks_run": status.hooks_run,
            "unsandboxed": status.unsandboxed,
            "layers": [
                {
                    "name": layer.name,
                    "available": layer.available,
                    "detail": layer.detail,
                    "lost": layer.lost,
                }
                for layer in status.layers
            ],
        },
        "findings": [dataclasses.asdict(finding) for finding in found],
    }


def show(found: list[Finding]) -> None:
    """Print the findings for people, and what to do last, where it is read."""
    say(f"tenterhook {__version__} on {platform.system()} {platform.release()} {platform.machine()}")
    table = Table(box=None, pad_edge=False)
    for title in ("", "AREA", "WHAT", "FOUND"):
        table.add_column(title, overflow="fold", no_wrap=title != "FOUND")
    for finding in found:
        table.add_row(
            finding.weight.value, finding.area, finding.name, _told(finding), style=_row_style(finding)
        )
    output.print(table)
    remedies = _remedies(found)
    if remedies:
        say()
        say("What to do")
    for remedy, of in remedies.items():
        names = ", ".join(finding.name for finding in of)
        say(f"  {_worst(of).value}: {of[0].area}, {names}: {on_one_line(remedy)}", style=_STYLES[_worst(of)])
    counts = {weight: sum(finding.weight is weight for finding in found) for weight in Weight}
    say()
    say(
        f"{_number(counts[Weight.PROBLEM], 'problem')}, {_number(counts[Weight.WARNING], 'warning')}.",
        style=_STYLES[_worst(found)],
    )


def _remedies(found: list[Finding]) -> dict[str, list[Finding]]:
    """Return each remedy with what it is good for: one may mend many."""
    remedies: dict[str, list[Finding]] = {}
    for finding in found:
        if finding.remedy and finding.weight is not Weight.OK:
            remedies.setdefault(finding.remedy, []).append(finding)
    return remedies


def _told(finding: Finding) -> str:
    text = on_one_line(finding.detail)
    return f"{text}\nlost: {on_one_line(finding.lost)}" if finding.lost else text


def _row_style(finding: Finding) -> str | None:
    return None if finding.weight is Weight.OK else _STYLES[finding.weight]


def _number(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def _worst(found: list[Finding]) -> Weight:
    order = list(Weight)
    return max((finding.weight for finding in found), key=order.index, default=Weight.OK)
