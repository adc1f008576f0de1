"""``tenterhook start``: from an empty folder to a message in Slack, by pasting one line."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import stat

import pytest

from tests.program import Command, environment, running, tenterhook
from tests.registry.fixture import npm_registry

__all__ = ["npm_registry"]


@pytest.fixture
def env(tmp_path, npm_registry):
    return environment(
        TENTERHOOK_DATA_DIR=str(tmp_path / "data"),
        npm_config_registry=npm_registry.url,
        npm_config_cache=str(tmp_path / "npm-cache"),
    )


async def paste(line: str) -> dict[str, object]:
    """Run a line in a shell, as somebody who pastes it, and return the JSON that it prints."""
    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await shell.communicate()
    assert shell.returncode == 0, errors.decode()
    answer = json.loads(output)
    assert "email" in answer, answer
    return answer


async def see_the_run(program: Command, email: str) -> None:
    await program.line(rf"registered\s+{re.escape(email)}")
    await program.line(r"started\s+slack-new-user, attempt 1")
    await program.line(r"cb\s+without an error")
    await program.line(r"Slack would show in #some_channel")
    await program.line(r"Success")
    await program.line(rf"New User: {re.escape(email)} \({re.escape(email)}\)")
    await program.line(r"settled\s+ok: the run succeeded")


@pytest.mark.parametrize("options", [(), ("--tls",)], ids=["http", "https"])
async def test_a_pasted_sign_up_makes_the_message_appear_and_a_second_start_goes_on(env, options):
    async with running("start", "--port", "0", *options, env=env) as program:
        url = (await program.line(r"Server\s+(\S+)"))[1]
        assert url.startswith("https://127.0.0.1:" if options else "http://127.0.0.1:")
        client_id = (await program.line(r"Application\s+client id (\S+)"))[1]
        stand_in = (await program.line(r"Slack\s+a stand-in at (\S+);"))[1]
        line = (await program.line(r"^curl .*"))[0]
        assert client_id in line
        for _ in range(2):
            await see_the_run(program, str((await paste(line))["email"]))
    assert program.process.returncode == 0, program.output

    async with running("start", "--port", "0", *options, env=env) as program:
        assert (await program.line(r"Application\s+client id (\S+)"))[1] == client_id
        assert (await program.line(r"Slack\s+a stand-in at (\S+);"))[1] == stand_in
        await see_the_run(program, str((await paste((await program.line(r"^curl .*"))[0]))["email"]))
        listed = await asyncio.to_thread(tenterhook, "ls", "-o", "json", env=env)
        hooks = json.loads(listed.stdout)["post-user-registration"]
        assert [(hook["name"], hook["enabled"]) for hook in hooks] == [("slack-new-user", True)]


async def test_a_taken_port_of_the_stand_in_is_changed_in_the_hook(env, tmp_path):
    async with running("start", "--port", "0", env=env) as program:
        old = (await program.line(r"a stand-in at 127.0.0.1:(\d+);"))[1]
        await program.line(r"Runs appear here")
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", int(old)))
        squatter.listen()
        async with running("start", "--port", "0", env=env) as program:
            assert (await program.line(r"a stand-in at 127.0.0.1:(\d+);"))[1] != old
            await see_the_run(program, str((await paste((await program.line(r"^curl .*"))[0]))["email"]))


async def test_without_a_registry_it_says_so_and_goes_on(env, npm_registry):
    npm_registry.hide("slack-notify")
    async with running("start", "--port", "0", env=env) as program:
        await program.line(r"The demo hook slack-new-user does not work yet: .*slack-notify")
        line = (await program.line(r"^curl .*"))[0]
        await paste(line)
        await program.line(r"started\s+slack-new-user")
        await program.line(r"settled\s+could_not_start: the run needs attention")


async def test_a_taken_port_names_the_setting_and_starts_nothing(env, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for command in ("start", "serve", "api"):
            ended = await asyncio.to_thread(tenterhook, command, env=env | {"TENTERHOOK_PORT": str(port)})
            assert ended.returncode == 9
            assert ended.stdout == ""
            assert re.fullmatch(
                rf"tenterhook: Port {port} on 127\.0\.0\.1 is taken .*TENTERHOOK_PORT.*\n", ended.stderr
            )
    assert not (tmp_path / "data").exists()


async def test_a_lost_profile_is_made_anew(env, tmp_path):
    profile = tmp_path / "data" / "profile.json"
    async with running("start", "--port", "0", env=env) as program:
        await program.line(r"Runs appear here")
    profile.unlink()
    async with running("start", "--port", "0", env=env) as program:
        await program.line(r"Demo hook\s+slack-new-user, enabled")
    assert stat.S_IMODE(profile.stat().st_mode) == 0o600
