"""Runs: trying a hook in the Runner, and looking at what became of the real ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tenterhook.cli.crossing import command
from tenterhook.cli.editing import read_text
from tenterhook.cli.failures import CommandError, ExitCode
from tenterhook.cli.management_client import ManagementClient, management_client
from tenterhook.cli.options import AsJSON, Data, HookName, ProfileFile
from tenterhook.cli.profile import find_profile
from tenterhook.cli.terminal import on_one_line, output, say, say_json, visible

PANEL = "Runs"
# Long enough for a hook that takes all the time it may have, before and after cb().
runs = typer.Typer(no_args_is_help=True, help="Look at runs: one event, one hook, its attempts.")


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.command(rich_help_panel=PANEL)(run)
    program.add_typer(runs, name="runs", rich_help_panel=PANEL)
    runs.command("ls")(list_runs)
    runs.command("show")(show_run)


@command
async def run(
    *,
    name: HookName,
    body: Annotated[
        Path | None,
        typer.Option(
            "--body",
            metavar="FILE",
            help="The event as JSON; - is standard input. [default: the extensibility point's sample]",
            show_default=False,
        ),
    ] = None,
    draft: Annotated[
        Path | None,
        typer.Option(
            "--draft", metavar="FILE", help="Run this script instead, without saving it.", show_default=False
        ),
    ] = None,
    as_json: AsJSON = False,
    profile: ProfileFile = None,
    data: Data = None,
) -> None:
    """Try a hook in the Runner: now, with a sample event, outside the queue. It makes real calls.

    The exit code is 0 if the hook succeeded and 10 if it failed.
    """
    request: dict[str, Any] = {}
    if body is not None:
        request["body"] = _read_json(body)
    if draft is not None:
        request |= {"script": _read(draft), "draft": True}
    async with management_client(find_profile(profile, data)) as client:
        hook = await client.hook_named(name)
        answer = await client.request("POST", f"/api/extensions/hooks/{hook['id']}/runner", json=request)
    execution = answer.json()
    if as_json:
        say_json(execution)
    else:
        print_execution(execution)
    if not str(execution.get("outcome", "")).startswith("ok"):
        raise typer.Exit(ExitCode.HOOK_FAILED)


@command
async def list_runs(
    *,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            help="Only runs in this state: waiting, running, succeeded, attention, held or cancelled.",
            show_default=False,
        ),
    ] = None,
    hook: Annotated[
        str | None, typer.Option("--hook", metavar="NAME", help="Only runs of this hook.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Show at most that many.")] = 20,
    as_json: AsJSON = False,
    profile: ProfileFile = None,
    data: Data = None,
) -> None:
    """List runs, the newest first."""
    async with management_client(find_profile(profile, data)) as client:
        hook_id = (await client.hook_named(hook))["id"] if hook else None
        found = await client.get("/api/extensions/runs", state=state, hook_id=hook_id, per_page=limit)
    items = found["runs"] if isinstance(found, dict) else found
    if as_json:
        say_json(items)
        return
    if not items:
        say("There are no such runs." if state or hook else "There are no runs yet.")
        return
    table = Table(box=None, pad_edge=False)
    # Whole, however narrow the terminal: an id is of use only in full, to be given to `runs show`.
    for title, least in (
        ("RUN", 26),
        ("STATE", 9),
        ("HOOK", 8),
        ("USER", 30),
        ("ATTEMPTS", 8),
        ("OCCURRED", 24),
    ):
        table.add_column(title, no_wrap=True, min_width=least)
    for item in items:
        if item.get("unsandboxed"):
            item["state"] = f"{item.get('state')} UNSANDBOXED"
        table.add_row(
            *(
                on_one_line("" if item.get(key) is None else item[key])
                for key in ("id", "state", "hook_name", "user_id", "attempts", "occurred_at")
            )
        )
    output.print(table, soft_wrap=True)


_RUN_ID_LENGTH = 26


@command
async def show_run(
    run_id: Annotated[
        str,
        typer.Argument(
            metavar="RUN_ID", help="The run's id, or its end as `start` shows it.", show_default=False
        ),
    ],
    as_json: AsJSON = False,
    profile: ProfileFile = None,
    data: Data = None,
) -> None:
    """Show one run: its event, and of each attempt the console, the calls and the error."""
    if not run_id.isalnum():
        raise CommandError(f"{on_one_line(run_id)!r} is not the id of a run; see `tenterhook runs ls`.")
    async with management_client(find_profile(profile, data)) as client:
        if len(run_id) < _RUN_ID_LENGTH:
            run_id = await _whole_id(client, run_id)
        found = await client.get(f"/api/extensions/runs/{run_id}")
    if as_json:
        say_json(found)
        return
    print_run(found)


async def _whole_id(client: ManagementClient, end: str) -> str:
    """Return the id of the newest runs' that ends so, as `start` shows ids; the live view has only the ends."""
    recent = await client.get("/api/extensions/runs", per_page=100)
    fitting = [item["id"] for item in recent["runs"] if item["id"].endswith(end.upper())]
    if len(fitting) != 1:
        number = "No run" if not fitting else f"{len(fitting)} runs"
        raise CommandError(
            f"{number} of the newest 100 end in {on_one_line(end)!r}; `tenterhook runs ls` lists the full ids."
        )
    return str(fitting[0])


def print_run(found: Mapping[str, Any]) -> None:
    """Print a run for people."""
    _print_values(
        found,
        ("id", "state", "state_reason", "hook_name", "trigger_id", "user_id", "occurred_at", "finished_at"),
    )
    say("event")
    say(_indented(json.dumps(found.get("event"), indent=2)))
    attempts = found.get("attempts")
    for attempt in attempts if isinstance(attempts, list) else []:
        say()
        say(f"attempt {attempt.get('number')}")
        _print_mark(attempt, indent="  ")
        _print_values(
            attempt,
            ("outcome", "started_at", "called_back_at", "settled_at", "worker_id", "hook_version"),
            indent="  ",
        )
        _print_details(attempt, indent="  ")


def print_execution(execution: Mapping[str, Any]) -> None:
    """Print what came of the Runner for people."""
    _print_mark(execution, indent="")
    say(f"outcome: {on_one_line(execution.get('outcome', ''))}")
    result = execution.get("result")
    if result not in (None, {}):
        say("result")
        say(_indented(json.dumps(result, indent=2)))
    _print_details(execution, indent="")


def _print_values(values: Mapping[str, Any], names: tuple[str, ...], indent: str = "") -> None:
    for name in names:
        if values.get(name) is not None:
            say(f"{indent}{name.replace('_', ' ')}: {on_one_line(values[name])}")


def _print_mark(attempt: Mapping[str, Any], *, indent: str) -> None:
    if attempt.get("unsandboxed"):
        say(
            f"{indent}UNSANDBOXED: it ran without a sandbox, because the operator allows that",
            style="bold red",
        )


def _print_details(attempt: Mapping[str, Any], *, indent: str) -> None:
    error = attempt.get("error")
    if error:
        text = error.get("stack") or error.get("message") if isinstance(error, dict) else error
        say(f"{indent}error")
        say(_indented(visible(text), indent + "  "))
    if attempt.get("console"):
        say(f"{indent}console")
        for line in attempt["console"]:
            say(_indented(visible(f"{line.get('level', 'log')}: {line.get('text', '')}"), indent + "  "))
    if attempt.get("calls"):
        say(f"{indent}calls")
        for call in attempt["calls"]:
            say(f"{indent}  {on_one_line(described_call(call))}")
    if attempt.get("connections"):
        say(f"{indent}connections")
        for connection in attempt["connections"]:
            say(f"{indent}  {on_one_line(described_connection(connection))}")
    for note in attempt.get("notes") or []:
        say(f"{indent}note: {on_one_line(note)}")


def described_call(call: Mapping[str, Any]) -> str:
    """Return one outgoing HTTP request as a line: method, where, what came of it, how long it took."""
    result = call.get("status") or call.get("error") or "no answer"
    took = call.get("milliseconds")
    line = f"{call.get('method', '')} {call.get('host', '')}{call.get('path', '')}  {result}"
    line = f"{line}  {float(took):.0f} ms" if took is not None else line
    sent, received = call.get("bytes_sent"), call.get("bytes_received")
    return f"{line}  {sent or 0} bytes out, {received or 0} in" if sent or received else line


def described_connection(connection: Mapping[str, Any]) -> str:
    """Return one outgoing connection as a line: where, what the egress policy said, what would allow it."""
    address, port = connection.get("address"), connection.get("port")
    names = ", ".join(str(name) for name in connection.get("names") or [])
    where = f"[{address}]" if ":" in str(address) else str(address)
    if port is not None:
        place = f"{where}:{port} ({names})" if names else f"{where}:{port}"
    else:
        place = names if address is None else f"{names} ({where})"
    if connection.get("allowed"):
        established = connection.get("established")
        went = "allowed" if established is None else "connected" if established else "no connection"
        line = f"{went}  {place}"
        if connection.get("reported"):
            line += f"  not on the hook's list: {connection.get('explanation') or connection.get('reason')}"
    else:
        line = f"REFUSED  {place}  {connection.get('explanation') or connection.get('reason')}"
    return f"{line}  (this or another run of that moment)" if connection.get("shared") else line


def _indented(text: str, indent: str = "  ") -> str:
    return "\n".join(f"{indent}{line}" for line in text.split("\n"))


def _read(path: Path) -> str:
    return sys.stdin.read() if str(path) == "-" else read_text(path)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise CommandError(f"{path} is not JSON: {error}.") from error
