"""Tenant logs, as they come: sign-ups, changes through the API, and above all hooks that failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer
from rich.text import Text

from tenterhook.cli.crossing import command
from tenterhook.cli.management_client import ManagementClient, management_client
from tenterhook.cli.options import Data, ProfileFile
from tenterhook.cli.profile import find_profile
from tenterhook.cli.terminal import on_one_line, output, say, visible

PANEL = "Hooks"
POLL_SECONDS = 1.0
"""How often the server is asked for more."""
_PAGE_SIZE = 100

MEANINGS = {
    "ss": "signed up",
    "fs": "sign-up failed",
    "sapi": "changed through the API",
    "fpurh": "post-user-registration hook failed",
    "fcph": "post-change-password hook failed",
    "seccft": "token issued",
    "feccft": "token refused",
}
"""Words for the types of Auth0 that this server writes."""


def register(program: typer.Typer) -> None:
    """Add the verb to the program."""
    program.command(rich_help_panel=PANEL)(logs)


@command
async def logs(
    *,
    raw: Annotated[bool, typer.Option("--raw", "-r", help="Print each log as one line of JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show details as well.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=100, help="Past logs to begin with.")
    ] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for more until Ctrl-C.")] = True,
    profile: ProfileFile = None,
    data: Data = None,
) -> None:
    """Show the tenant's logs and wait for more; Ctrl-C ends it."""
    async with management_client(find_profile(profile, data)) as client:
        async for entry in tail(client, lines=lines, follow=follow):
            if raw:
                output.out(json.dumps(entry), highlight=False)
            else:
                print_log(entry, verbose=verbose)


async def tail(client: ManagementClient, *, lines: int, follow: bool) -> AsyncIterator[dict[str, Any]]:
    """Yield the newest ``lines`` logs, the oldest first, then each new one; without ``follow`` end there."""
    # One is read even if none is asked for: what comes after it is new.
    past = await client.get("/api/v2/logs", sort="date:-1", per_page=max(lines, 1))
    past.reverse()
    for entry in past[len(past) - min(lines, len(past)) :]:
        yield entry
    newest = past[-1]["log_id"] if past else None
    while follow:
        if newest is None:
            entries = await client.get("/api/v2/logs", sort="date:1", per_page=_PAGE_SIZE)
        else:
            entries = await client.get("/api/v2/logs", **{"from": newest, "take": _PAGE_SIZE})
        for entry in entries:
            yield entry
            newest = entry["log_id"]
        if len(entries) < _PAGE_SIZE:
            await asyncio.sleep(POLL_SECONDS)


def print_log(entry: dict[str, Any], *, verbose: bool) -> None:
    """Print one log for people."""
    kind = str(entry.get("type", ""))
    line = Text(on_one_line(entry.get("date", "")), style="dim")
    line.append(f"  {on_one_line(kind):<6}", style="bold red" if kind.startswith("f") else "bold green")
    line.append(f"  {MEANINGS.get(kind, '')}")
    who = entry.get("user_name") or entry.get("user_id")
    for text in (who, entry.get("description")):
        if text:
            line.append(f"  {on_one_line(text)}")
    output.print(line)
    if verbose:
        for name, value in entry.items():
            if value not in (None, "", {}) and name not in {"_id", "date", "type", "description"}:
                shown = json.dumps(value, indent=2) if isinstance(value, dict | list) else str(value)
                say("\n".join(f"    {part}" for part in visible(f"{name}: {shown}").split("\n")))
