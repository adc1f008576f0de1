"""Hooks: the verbs that people knew from the command line for Auth0's Hooks, over the HTTP API.

What they relied on holds here too: a new hook is created disabled; at most one hook of an extensibility point is
enabled; ``create`` with the name of an existing hook updates it and keeps its state. One thing is better on purpose:
updating a hook without ``-s`` keeps its secrets, where the old command dropped them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from tenterhook.cli.crossing import command
from tenterhook.cli.editing import edited, read_text
from tenterhook.cli.failures import CommandError, ExitCode
from tenterhook.cli.management_client import ManagementClient, RefusedError, management_client, module_problem
from tenterhook.cli.options import Data, HookName, OutputFormat, ProfileFile, RequiredTrigger, Trigger
from tenterhook.cli.profile import find_profile
from tenterhook.cli.terminal import on_one_line, output, remark, say, say_json

PANEL = "Hooks"
MAX_DOWNLOAD_BYTES = 1_048_576
"""Most that is read of a script's URL; servers refuse scripts long before."""


def register(program: typer.Typer) -> None:
    """Add the verbs to the program."""
    program.command(rich_help_panel=PANEL)(scaffold)
    program.command(rich_help_panel=PANEL)(create)
    program.command("ls", rich_help_panel=PANEL)(list_hooks)
    program.command(rich_help_panel=PANEL)(enable)
    program.command(rich_help_panel=PANEL)(disable)
    program.command(rich_help_panel=PANEL)(edit)
    program.command("rm", rich_help_panel=PANEL)(remove)


def scaffold(trigger: RequiredTrigger) -> None:
    """Print starter code for an extensibility point.

    Redirect it into a file and begin there: tenterhook scaffold -t post-user-registration > hook.js
    """
    # Only this verb needs the catalogue, and with it half the product; the others answer sooner without.
    from tenterhook.hooks import point_of, starter_code  # noqa: PLC0415 - as said above

    output.out(starter_code(point_of(trigger.value)), end="", highlight=False)


@command
async def create(
    *,
    trigger: RequiredTrigger,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|URL]", help="The script; standard input if absent or -.", show_default=False
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", "-n", help="The hook's name. [default: the file's, without .js]", show_default=False
        ),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            "-s",
            metavar="NAME=VALUE",
            help="A secret for context.webtask.secrets; repeat for more.",
            show_default=False,
        ),
    ] = None,
    secrets_file: Annotated[
        Path | None,
        typer.Option(
            "--secrets-file", metavar="FILE", help="Secrets, one NAME=VALUE a line.", show_default=False
        ),
    ] = None,
    dependency: Annotated[
        list[str] | None,
        typer.Option(
            "--dependency",
            metavar="MODULE=VERSION",
            help="An npm module; repeat for more. Modules that the script requires and nobody declares are found by "
            "themselves.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileFile = None,
    data: Data = None,
) -> None:
    """Create a hook, disabled, or update the one of that name and keep its state.

    Secrets that are not named here stay as they are.
    """
    secrets = _pairs(_lines_of(secrets_file), "--secrets-file") | _pairs(secret or [], "--secret")
    dependencies = _pairs(dependency or [], "--dependency")
    script, default_name = await _read_script(source)
    chosen = name or default_name
    if not chosen:
        raise CommandError("Name the hook: a script from standard input has no name. Use --name.")
    async with management_client(find_profile(profile, data)) as client:
        existing = await client.find_hook(chosen)
        if existing is None:
            body: dict[str, Any] = {"name": chosen, "triggerId": trigger.value, "script": script}
            body |= {"dependencies": dependencies} if dependencies else {}
            body |= {"secrets": secrets} if secrets else {}
            _warn_of_modules(await client.request("POST", "/api/v2/hooks", json=body))
            say("Hook created in disabled state. To enable this hook to run in production, call:")
            say()
            say(f"$ tenterhook enable {_quoted(chosen)}")
            return
        if existing["triggerId"] != trigger.value:
            raise CommandError(
                f"The hook {chosen} is a {existing['triggerId']} hook and cannot become a {trigger.value} hook. "
                "Choose another --name, or remove it first."
            )
        changes: dict[str, Any] = {"script": script}
        changes |= {"dependencies": dependencies} if dependencies else {}
        # Secrets first: code that needs a new one must not run before it is there.
        await _put_secrets(client, existing["id"], secrets)
        _warn_of_modules(await client.request("PATCH", f"/api/v2/hooks/{existing['id']}", json=changes))
        say(f"Hook updated in {'enabled' if existing['enabled'] else 'disabled'} state.")


@command
async def list_hooks(
    *,
    trigger: Annotated[
        Trigger | None,
        typer.Option("--trigger", "-t", help="Only hooks of this extensibility point.", show_default=False),
    ] = None,
    output_format: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="For people or for programs.")
    ] = OutputFormat.TEXT,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Skip that many hooks.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most that many.")] = 10,
    profile: ProfileFile = None,
    data: Data = None,
) -> None:
    """List hooks by extensibility point."""
    async with management_client(find_profile(profile, data)) as client:
        hooks = sorted(
            await client.hooks(trigger.value if trigger else None),
            key=lambda hook: (hook["triggerId"], hook["name"]),
        )
    shown = hooks[offset : offset + limit]
    if output_format is OutputFormat.JSON:
        say_json(_by_trigger(shown))
        return
    if not hooks:
        say("You do not have any hooks. To get started, try:")
        say()
        say("$ tenterhook scaffold -t post-user-registration > hook.js")
        say("$ tenterhook create -t post-user-registration hook.js")
        return
    if not shown:
        say(f"You have fewer than {offset + 1} hooks.")
        return
    for point, members in _by_trigger(shown).items():
        say(point)
        for member in members:
            say(f"  {on_one_line(member['name'])}{' (enabled)' if member['enabled'] else ''}")
    say()
    say(f"Successfully listed hooks {offset + 1} to {offset + len(shown)}.")
    if offset + len(shown) < len(hooks):
        remark(f"{len(hooks) - offset - len(shown)} more: --offset {offset + len(shown)}")


@command
async def enable(name: HookName, profile: ProfileFile = None, data: Data = None) -> None:
    """Enable a hook; the one enabled so far at its extensibility point is disabled in the same step."""
    async with management_client(find_profile(profile, data)) as client:
        hook = await client.hook_named(name)
        if hook["enabled"]:
            say(f"The {name} ({hook['triggerId']}) hook is already enabled.")
            return
        siblings = await client.hooks(hook["triggerId"])
        for sibling in siblings:
            if sibling["enabled"]:
                say(f"Disabling hook {on_one_line(sibling['name'])}.")
        say(f"Enabling hook {name}.")
        await client.request("PATCH", f"/api/v2/hooks/{hook['id']}", json={"enabled": True})
        say(f"The {name} ({hook['triggerId']}) hook has been enabled.")


@command
async def disable(name: HookName, profile: ProfileFile = None, data: Data = None) -> None:
    """Disable a hook; nothing runs at its extensibility point then."""
    async with management_client(find_profile(profile, data)) as client:
        hook = await client.hook_named(name)
        if not hook["enabled"]:
            say(f"The {name} ({hook['triggerId']}) hook is already disabled.")
            return
        say(f"Disabling hook {name}.")
        await client.request("PATCH", f"/api/v2/hooks/{hook['id']}", json={"enabled": False})
        say(f"The {name} ({hook['triggerId']}) hook has been disabled.")


@command
async def edit(name: HookName, profile: ProfileFile = None, data: Data = None) -> None:
    """Edit a hook's script in VISUAL or EDITOR and save it.

    If somebody else saved the hook meanwhile, nothing is overwritten and your text is kept in a file.
    """
    async with management_client(find_profile(profile, data)) as client:
        hook = await client.hook_named(name)
        answer = await client.request("GET", f"/api/v2/hooks/{hook['id']}")
        script = answer.json()["script"]
        with edited(script, name) as draft:
            if draft.text == script:
                say("Nothing changed.")
                return
            headers = {"If-Match": answer.headers["ETag"]} if "ETag" in answer.headers else {}
            try:
                saved = await client.request(
                    "PATCH", f"/api/v2/hooks/{hook['id']}", json={"script": draft.text}, headers=headers
                )
            except RefusedError as error:
                if error.status == httpx.codes.PRECONDITION_FAILED:
                    raise CommandError(
                        f"The hook {name} was saved by somebody else meanwhile. Your text is in {draft.path}; "
                        f"run `tenterhook edit {_quoted(name)}` again and bring both together.",
                        ExitCode.BAD_REQUEST,
                    ) from error
                raise CommandError(
                    f"{error.message} Your text is in {draft.path}.", error.exit_code
                ) from error
            draft.saved()
            _warn_of_modules(saved)
    say(f"Hook updated in {'enabled' if hook['enabled'] else 'disabled'} state.")


@command
async def remove(
    name: HookName,
    silent: Annotated[bool, typer.Option("--silent", "-s", help="Do not ask.")] = False,
    profile: ProfileFile = None,
    data: Data = None,
) -> None:
    """Remove a hook, with its secrets and versions; runs that wait for it are cancelled."""
    async with management_client(find_profile(profile, data)) as client:
        hook = await client.hook_named(name)
        state = "enabled " if hook["enabled"] else ""
        if not silent:
            typer.confirm(f"Remove the {state}{hook['triggerId']} hook {name}?", abort=True, err=True)
        await client.request("DELETE", f"/api/v2/hooks/{hook['id']}")
        say(f"Removed hook: {name}")


def _warn_of_modules(answer: httpx.Response) -> None:
    """Say what a save without a failure hides: the hook is stored, but its modules could not be had."""
    problem = module_problem(answer)
    if problem:
        remark(f"Its npm modules could not be had, so it will not run yet: {on_one_line(problem)}")


def _by_trigger(hooks: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for hook in hooks:
        grouped.setdefault(hook["triggerId"], []).append(
            {"name": hook["name"], "type": hook["triggerId"], "enabled": hook["enabled"], "id": hook["id"]}
        )
    return grouped


async def _put_secrets(client: ManagementClient, hook_id: str, secrets: dict[str, str]) -> None:
    """Add new secrets and change existing ones; the API has a call for each and refuses the other kind."""
    if not secrets:
        return
    path = f"/api/v2/hooks/{hook_id}/secrets"
    known = await client.get(path)
    changed = {name: value for name, value in secrets.items() if name in known}
    added = {name: value for name, value in secrets.items() if name not in known}
    if changed:
        await client.request("PATCH", path, json=changed)
    if added:
        await client.request("POST", path, json=added)


async def _read_script(source: str | None) -> tuple[str, str | None]:
    """Return the script's text, and the name that its source suggests."""
    if source is None or source == "-":
        if sys.stdin.isatty():
            remark("Reading the script from this terminal; end it with Ctrl-D.")
        return sys.stdin.read(), None
    if source.startswith(("https://", "http://")):
        return await _download(source), Path(httpx.URL(source).path).stem or None
    return read_text(Path(source)), Path(source).stem


async def _download(url: str) -> str:
    try:
        async with (
            httpx.AsyncClient(follow_redirects=True, timeout=30) as http,
            http.stream("GET", url) as answer,
        ):
            answer.raise_for_status()
            content = bytearray()
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > MAX_DOWNLOAD_BYTES:
                    raise CommandError(f"The script at {url} is larger than {MAX_DOWNLOAD_BYTES} bytes.")
            return content.decode()
    except (httpx.HTTPError, UnicodeDecodeError) as error:
        raise CommandError(f"The script at {url} cannot be had: {error}.") from error


def _lines_of(path: Path | None) -> list[str]:
    if path is None:
        return []
    return [
        line for line in read_text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    """Return NAME=VALUE texts as a mapping; a failure does not repeat the text, which may be a secret."""
    pairs = {}
    for number, text in enumerate(texts, 1):
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise CommandError(f"{option} number {number} is not NAME=VALUE.")
        pairs[name.strip()] = value
    return pairs


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
