"""Hook settings: a hook's limits and its rules for outgoing connections, over the HTTP API.

Without options each command shows; with options it changes and shows what came of it. A change is made to the state
that was read (``If-Match``), so two people cannot undo each other's unseen.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import httpx
import typer
from rich.table import Table

from tenterhook.cli.crossing import command
from tenterhook.cli.failures import CommandError, ExitCode
from tenterhook.cli.management_client import ManagementClient, RefusedError, management_client
from tenterhook.cli.options import AsJSON, Data, HookName, ProfileFile
from tenterhook.cli.profile import find_profile
from tenterhook.cli.terminal import on_one_line, output, remark, say, say_json
from tenterhook.egress import DEFAULT_LIST_PORT, Entry, InvalidEntryError

PANEL = "Hooks"
DEFAULT = "default"
"""What is written in the place of a number to go back to the operator's."""

hooks = typer.Typer(no_args_is_help=True, help="A hook's limits, and what it may reach.")

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z%]*)")
_UNITS = {
    "seconds": {"": 1, "s": 1, "m": 60, "min": 60},
    "bytes": {
        "": 1,
        "B": 1,
        "KiB": 1024,
        "MiB": 1024**2,
        "GiB": 1024**3,
        "KB": 1000,
        "MB": 1000**2,
        "GB": 1000**3,
    },
    "percent": {"": 1, "%": 1},
}


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(hooks, name="hooks", rich_help_panel=PANEL)
    hooks.command("limits")(limits)
    hooks.command("egress")(egress)


def _limit(option: str, unit: str, meaning: str) -> Any:
    return typer.Option(option, metavar=unit.upper(), help=meaning, show_default=False)


@command
async def limits(
    *,
    name: HookName,
    wall_time: Annotated[
        str | None, _limit("--wall-time", "seconds", "From the hook's start to its cb().")
    ] = None,
    grace: Annotated[str | None, _limit("--grace", "seconds", "For work that goes on after cb().")] = None,
    console: Annotated[
        str | None, _limit("--console", "bytes", "Console output that is kept of an attempt.")
    ] = None,
    result: Annotated[str | None, _limit("--result", "bytes", "Largest answer to cb(), as JSON.")] = None,
    memory: Annotated[
        str | None, _limit("--memory", "bytes", "Memory of its process, for example 512MiB.")
    ] = None,
    threads: Annotated[
        str | None, _limit("--threads", "number", "Threads of its process, Node's own dozen included.")
    ] = None,
    open_files: Annotated[
        str | None,
        _limit("--open-files", "number", "Files and connections that its process has open at a time."),
    ] = None,
    scratch: Annotated[str | None, _limit("--scratch", "bytes", "Size of /tmp in its process.")] = None,
    connections: Annotated[
        str | None, _limit("--connections", "number", "Outgoing connections of its process at a time.")
    ] = None,
    cpu: Annotated[
        str | None, _limit("--cpu", "percent", "Processor time of its process, in percent of one processor.")
    ] = None,
    own_process: Annotated[
        bool | None,
        typer.Option(
            "--own-process/--shared-process",
            help="Whether the tenant's other hooks are kept out of its processes.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJSON = False,
    profile: ProfileFile = None,
    data: Data = None,
) -> None:
    """Show or change a hook's limits; they hold from its next run on.

    A number may have a unit (30s, 512MiB); the word default goes back to the operator's value. The operator sets how
    far each may go.
    """
    chosen = {
        "wall_time_seconds": _amount("--wall-time", wall_time, "seconds"),
        "grace_seconds": _amount("--grace", grace, "seconds"),
        "console_bytes": _amount("--console", console, "bytes"),
        "result_bytes": _amount("--result", result, "bytes"),
        "memory_bytes": _amount("--memory", memory, "bytes"),
        "threads": _amount("--threads", threads, ""),
        "open_files": _amount("--open-files", open_files, ""),
        "scratch_bytes": _amount("--scratch", scratch, "bytes"),
        "connections": _amount("--connections", connections, ""),
        "cpu_percent": _amount("--cpu", cpu, "percent"),
    }
    changes: dict[str, Any] = {}
    own = {key: None if value == DEFAULT else value for key, value in chosen.items() if value is not None}
    if own:
        changes["limits"] = own
    if own_process is not None:
        changes["own_process"] = own_process
    async with management_client(find_profile(profile, data)) as client:
        hook = await client.hook_named(name)
        found = await _read(client, hook["id"])
        if changes:
            found = await _change(client, hook["id"], found, changes, name)
    settings = found.json()
    if as_json:
        say_json(settings)
        return
    _print_limits(settings)


@command
async def egress(
    *,
    name: HookName,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            help="open: all that the operator permits; report: the same, and what is not on the list is marked in the "
            "run; enforce: nothing but the list.",
            show_default=False,
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="HOST[:PORT]",
            help="Put it on the list; port 443 if none is named. *.example.com is every name below example.com. "
            "Repeat for more.",
            show_default=False,
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove",
            metavar="HOST[:PORT]",
            help="Take it off the list. Repeat for more.",
            show_default=False,
        ),
    ] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Say what the list would need, from the hook's past runs.")
    ] = False,
    as_json: AsJSON = False,
    profile: ProfileFile = None,
    data: Data = None,
) -> None:
    """Show or change what a hook may reach; it holds from its next run on.

    The list can only narrow what the operator permits.
    """
    async with management_client(find_profile(profile, data)) as client:
        hook = await client.hook_named(name)
        found = await _read(client, hook["id"])
        changes: dict[str, Any] = {} if mode is None else {"mode": mode}
        if allow or remove:
            changes["allow"] = _list_after(found.json()["egress"]["allow"], allow or [], remove or [])
        if changes:
            found = await _change(client, hook["id"], found, {"egress": changes}, name)
        rules = found.json()["egress"]
        proposal = (
            await client.get(f"/api/extensions/hooks/{hook['id']}/egress/proposal") if propose else None
        )
    if as_json:
        say_json(rules if proposal is None else proposal)
        return
    say(f"Mode: {on_one_line(rules['mode'])}")
    say("List:" if rules["allow"] else "List: empty")
    for entry in rules["allow"]:
        say(f"  {on_one_line(entry)}")
    if rules["mode"] == "open" and rules["allow"]:
        remark("In the mode open the list plays no part.")
    if proposal is not None:
        _print_proposal(proposal, name)


async def _read(client: ManagementClient, hook_id: str) -> httpx.Response:
    return await client.request("GET", _path(hook_id))


async def _change(
    client: ManagementClient, hook_id: str, found: httpx.Response, changes: dict[str, Any], name: str
) -> httpx.Response:
    headers = {"If-Match": found.headers["ETag"]} if "ETag" in found.headers else {}
    try:
        return await client.request("PATCH", _path(hook_id), json=changes, headers=headers)
    except RefusedError as error:
        if error.status == httpx.codes.PRECONDITION_FAILED:
            raise CommandError(
                f"The settings of {name} were changed by somebody else just now. Look at them and repeat your change.",
                ExitCode.BAD_REQUEST,
            ) from error
        raise


def _path(hook_id: str) -> str:
    return f"/api/extensions/hooks/{hook_id}/settings"


def _amount(option: str, text: str | None, unit: str) -> float | int | str | None:
    """Read a number with its unit; whole where it can be."""
    if text is None or text == DEFAULT:
        return text
    found = _AMOUNT.fullmatch(text.strip())
    factor = None if found is None else _UNITS.get(unit, {"": 1}).get(found[2])
    if found is None or factor is None:
        known = ", ".join(name for name in _UNITS.get(unit, {}) if name)
        raise CommandError(
            f"{option} {text} is no number{f' (units: {known})' if known else ''}, nor the word {DEFAULT}."
        )
    amount = float(found[1]) * factor
    return int(amount) if amount.is_integer() else amount


def _list_after(present: list[str], added: list[str], removed: list[str]) -> list[str]:
    """Return the list after a change; what is to go must be on it."""
    gone = {_canonical(entry) for entry in removed}
    missing = sorted(gone - set(present))
    if missing:
        raise CommandError(f"Not on the list: {', '.join(missing)}", ExitCode.NOT_FOUND)
    return [*(entry for entry in present if entry not in gone), *added]


def _canonical(entry: str) -> str:
    """Return an entry as the server writes it."""
    try:
        return str(Entry.parse(entry, default_port=DEFAULT_LIST_PORT))
    except InvalidEntryError as error:
        raise CommandError(error.message) from error


def _print_limits(settings: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("LIMIT", "VALUE", "FROM", "DEFAULT", "MAXIMUM", "UNIT"):
        table.add_column(
            title, no_wrap=True, justify="left" if title in {"LIMIT", "FROM", "UNIT"} else "right"
        )
    for name, limit in settings["limits_in_force"].items():
        table.add_row(
            on_one_line(name),
            _number(limit["value"]),
            "default" if limit["own"] is None else "hook",
            _number(limit["default"]),
            _number(limit["maximum"]),
            on_one_line(limit["unit"]),
        )
        if limit["own"] is not None and limit["own"] > limit["value"]:
            remark(
                f"{on_one_line(name)}: the hook's own value is {_number(limit['own'])}, but the operator has lowered the "
                f"maximum ({on_one_line(limit['maximum_setting'])})."
            )
    output.print(table)
    say()
    say("Own process: " + ("yes" if settings["own_process"] else "no, shared with the tenant's other hooks"))


def _print_proposal(proposal: dict[str, Any], name: str) -> None:
    say()
    if not (proposal["proposed"] or proposal["refused"] or proposal["unused"]):
        say("Past runs have no more to say about the list.")
        return
    for title, entries in (
        ("Reached by past runs, and not on the list:", proposal["proposed"]),
        ("Refused because it is not on the list; look before you add it:", proposal["refused"]),
    ):
        if entries:
            say(title)
        for entry in entries:
            say(
                f"  {on_one_line(entry['entry'])}  ({entry['times']} connections, last {on_one_line(entry['last_at'])})"
            )
    if proposal["unused"]:
        say("On the list, and not reached by past runs:")
    for entry in proposal["unused"]:
        say(f"  {on_one_line(entry)}")
    if proposal["proposed"]:
        say()
        say("To put what was reached on the list, call:")
        options = " ".join(f"--allow '{on_one_line(entry['entry'])}'" for entry in proposal["proposed"])
        say()
        say(f'$ tenterhook hooks egress "{on_one_line(name)}" {options}')


def _number(value: float) -> str:
    return f"{value:g}" if value != int(value) else str(int(value))
