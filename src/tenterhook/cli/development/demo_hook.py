"""The demo hook: the well-known Slack sample for ``post-user-registration``, posting to the local stand-in.

It is created once, through the HTTP API like anybody's hook, and only while the tenant has no hook at all: what its
owner does with it afterwards, deleting it included, is theirs. Only the stand-in's address is kept right in hooks that
hold an old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tenterhook.cli.development.state import CatcherState
from tenterhook.cli.failures import CommandError
from tenterhook.cli.management_client import ManagementClient, module_problem

NAME = "slack-new-user"
TRIGGER = "post-user-registration"
_PLACEHOLDER = "YOUR SLACK HOOK URL"
_PASSWORD = "Correct-Horse-7-Battery"  # noqa: S105 - printed for everybody to paste; passes every password policy


@dataclass(frozen=True, kw_only=True)
class DemoHook:
    """What became of the demo hook at this start."""

    name: str | None
    """The hook that the sign-up line makes run; None when there is none at its extensibility point."""
    problem: str | None = None
    """Why it will not work as it is, in words for the terminal."""


def demo_script(slack_url: str) -> str:
    """Return the sample with the webhook's URL in its place."""
    sample = resources.files(__package__ or "").joinpath("slack_sample.js").read_text()
    return sample.replace(_PLACEHOLDER, slack_url)


async def ensure_demo_hook(client: ManagementClient, catcher: CatcherState) -> DemoHook:
    """Create and enable the demo hook if the tenant has no hook; else mend hooks that hold the catcher's old URL.

    A registry that cannot be reached, and whatever else the server has against the hook, is reported and not raised:
    the rest of the demo is of use without it.
    """
    hooks = await client.hooks()
    if not hooks:
        body = {"name": NAME, "triggerId": TRIGGER, "script": demo_script(catcher.url), "enabled": True}
        try:
            answer = await client.request("POST", "/api/v2/hooks", json=body)
        except CommandError as error:
            return DemoHook(name=None, problem=error.message)
        return DemoHook(name=NAME, problem=module_problem(answer))
    if catcher.previous_url is not None:
        await _mend(client, hooks, catcher.previous_url, catcher.url)
    enabled = next((hook for hook in hooks if hook["triggerId"] == TRIGGER and hook["enabled"]), None)
    if enabled is None:
        return DemoHook(name=None)
    answer = await client.request("GET", f"/api/v2/hooks/{enabled['id']}")
    return DemoHook(name=enabled["name"], problem=module_problem(answer))


async def _mend(client: ManagementClient, hooks: list[dict[str, Any]], old: str, new: str) -> None:
    for hook in hooks:
        if old in hook["script"]:
            await client.request(
                "PATCH", f"/api/v2/hooks/{hook['id']}", json={"script": hook["script"].replace(old, new)}
            )


def sign_up_line(url: str, *, client_id: str, connection: str, ca_file: Path | None) -> str:
    """Return one line for a shell that signs somebody up, somebody else at each call."""
    certificate = f" --cacert '{ca_file.resolve()}'" if ca_file else ""
    return (
        f"curl -sS -w '\\n'{certificate} {url}/dbconnections/signup -H 'Content-Type: application/json' "
        f"""-d '{{"client_id":"{client_id}","connection":"{connection}","""
        f""""email":"ada-'$(date +%s%N)'@example.com","password":"{_PASSWORD}"}}'"""
    )
