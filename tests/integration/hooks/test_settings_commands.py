"""``tenterhook hooks limits`` and ``hooks egress``, as their users call them, against the API on a socket."""

from __future__ import annotations

import asyncio
import json
import re
import socket

import pytest
import uvicorn

from tenterhook.api.authorization import MANAGEMENT_SCOPES
from tenterhook.cli import program
from tenterhook.cli.hook_settings_commands import hooks
from tenterhook.cli.profile import Profile, save_profile
from tenterhook.sandbox import KINDS
from tests.factories import make_client
from tests.integration.hooks.test_hook_settings import made, record_run


@pytest.fixture
async def address(world):
    """Where the API listens."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(world.app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listening]))
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.fixture
async def run(world, address, tmp_path, monkeypatch, capsys):
    """Run a command with a profile of acme's; ``expect`` is its exit code."""
    await world.tokens.rotate(world.acme)
    world.signing.add(world.acme.id)
    client, secret = await make_client(
        world.database, world.acme, grant_types=["client_credentials"], scopes=MANAGEMENT_SCOPES
    )
    profile = Profile(
        url=address,
        tenant=world.acme.name,
        domain=world.acme.domain,
        audience=world.acme.management_audience,
        client_id=client.client_id,
        client_secret=secret,
    )
    path = tmp_path / "profile.json"
    save_profile(profile, path)
    monkeypatch.setenv("TENTERHOOK_PROFILE", str(path))
    monkeypatch.setenv("COLUMNS", "200")

    async def run(*arguments: str, expect: int = 0) -> str:
        code = await asyncio.to_thread(program.run, list(arguments))
        written = capsys.readouterr()
        assert code == expect, written.out + written.err
        return written.out if expect == 0 else written.err

    return run


def test_there_is_an_option_for_every_limit():
    [command] = [each for each in hooks.registered_commands if each.name == "limits"]
    options = {
        declaration
        for annotation in command.callback.__annotations__.values()
        for declaration in re.findall(r"--[a-z-]+", str(annotation))
    }
    assert {kind.option for kind in KINDS} - options == set()


async def test_limits_are_shown_changed_and_given_back(run, create_hook):
    await create_hook()
    shown = await run("hooks", "limits", "first")
    assert re.search(r"wall_time_seconds +20 +default +20 +300 +seconds", shown)
    assert "Own process: no" in shown

    changed = await run(
        "hooks", "limits", "first", "--wall-time", "1m", "--memory", "512MiB", "--own-process"
    )
    assert re.search(r"wall_time_seconds +60 +hook +20 +300", changed)
    assert re.search(rf"memory_bytes +{2**29} +hook", changed)
    assert "Own process: yes" in changed

    back = json.loads(
        await run("hooks", "limits", "first", "--wall-time", "default", "--shared-process", "--json")
    )
    assert (back["limits"]["wall_time_seconds"], back["limits"]["memory_bytes"]) == (None, 2**29)
    assert back["own_process"] is False


async def test_limit_beyond_the_maximum_names_maximum_and_setting(run, create_hook):
    await create_hook()
    said = await run("hooks", "limits", "first", "--wall-time", "301", expect=6)
    assert "maximum 300 seconds" in said
    assert "TENTERHOOK_WALL_TIME_MAXIMUM_SECONDS" in said
    assert "--memory much" in await run("hooks", "limits", "first", "--memory", "much", expect=2)
    assert "No such hook" in await run("hooks", "limits", "second", expect=5)


async def test_list_grows_by_proposals_and_shrinks(run, create_hook, world):
    hook = await create_hook()
    shown = await run(
        "hooks", "egress", "first", "--mode", "report", "--allow", "b.example.com", "--allow", "10.0.0.0/8:*"
    )
    assert shown.split() == ["Mode:", "report", "List:", "10.0.0.0/8:*", "b.example.com:443"]
    assert (
        await run("hooks", "egress", "first", "--remove", "b.example.com")
        == "Mode: report\nList:\n  10.0.0.0/8:*\n"
    )
    assert "Not on the list" in await run("hooks", "egress", "first", "--remove", "b.example.com", expect=5)
    # However it is written: the server keeps the canonical text.
    await run("hooks", "egress", "first", "--allow", "[FD00::0:1]", "--allow", "bücher.example")
    shown = await run("hooks", "egress", "first", "--remove", "[fd00::1]:443", "--remove", "BÜCHER.example")
    assert shown.split() == ["Mode:", "report", "List:", "10.0.0.0/8:*"]
    assert "without scheme" in await run("hooks", "egress", "first", "--remove", "https://a/x", expect=2)

    await record_run(world, world.acme, hook["id"], [made("93.184.216.34", 443, ["api.example.com"])])
    proposed = await run("hooks", "egress", "first", "--propose")
    assert "api.example.com:443  (1 connections" in proposed
    assert "$ tenterhook hooks egress \"first\" --allow 'api.example.com:443'" in proposed
    accepted = await run("hooks", "egress", "first", "--allow", "api.example.com:443", "--mode", "enforce")
    assert accepted == "Mode: enforce\nList:\n  10.0.0.0/8:*\n  api.example.com:443\n"
    proposal = json.loads(await run("hooks", "egress", "first", "--propose", "--json"))
    assert (proposal["proposed"], proposal["unused"]) == ([], ["10.0.0.0/8:*"])


async def test_entry_that_cannot_be_read_is_refused(run, create_hook):
    await create_hook()
    said = await run("hooks", "egress", "first", "--allow", "https://a.example.com/x", expect=6)
    assert "egress.allow" in said
    assert "egress.mode" in await run("hooks", "egress", "first", "--mode", "closed", expect=6)
