"""The verbs for hooks, against a real server, as its users call them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from tests.program import Command, environment, running, tenterhook

POINT = "post-user-registration"
HOOK = "module.exports = function (user, context, cb) {\n  console.log('hello ' + user.email);\n  cb();\n};\n"
FAILING = "module.exports = function (user, context, cb) { cb(new Error('no such luck')); };\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def env(tmp_path):
    return environment(TENTERHOOK_DATA_DIR=str(tmp_path / "data"))


@contextlib.asynccontextmanager
async def serving(env, *options: str) -> AsyncIterator[tuple[Command, str]]:
    async with running("serve", "--port", "0", *options, env=env) as program:
        yield program, (await program.line(r"Listening on (\S+)"))[1]


@pytest.fixture(scope="module")
def initialized(tmp_path_factory) -> Path:
    """A data folder as ``init`` leaves it, to be copied."""
    folder = tmp_path_factory.mktemp("initialized") / "data"
    ended = tenterhook("init", env=environment(TENTERHOOK_DATA_DIR=str(folder)))
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
async def run(env, initialized) -> AsyncIterator[Callable]:
    """Run a command beside a server; ``expect`` is its exit code."""

    async def run(*arguments: str, expect: int = 0, text: str | None = None, **changes: str) -> str:
        ended = await asyncio.to_thread(tenterhook, *arguments, env=env | changes, text=text)
        assert ended.returncode == expect, ended.stdout + ended.stderr
        return ended.stdout if expect == 0 else ended.stderr

    subprocess.run(["cp", "-a", "--", initialized, env["TENTERHOOK_DATA_DIR"]], check=True)
    async with serving(env):
        yield run


@pytest.fixture
def hook_file(tmp_path) -> Path:
    path = tmp_path / "greet.js"
    path.write_text(HOOK)
    return path


async def test_init_prints_its_promised_keys_and_shows_a_secret_once(env, tmp_path):
    def init(*options: str) -> dict:
        ended = tenterhook("init", "--json", *options, env=env)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    first = await asyncio.to_thread(init, "--public-url", "https://localhost:8443/", "--tenant", "acme")
    secret = first["management"].pop("client_secret")
    assert len(secret) == 64
    assert set(first) == {"tenant", "domain", "public_url", "connection", "application", "management"}
    assert first["tenant"] == "acme"
    assert first["domain"] == "localhost:8443"
    assert first["public_url"] == "https://localhost:8443"
    assert first["connection"] == "Username-Password-Authentication"
    profile = tmp_path / "data" / "profile.json"
    assert stat.S_IMODE(profile.stat().st_mode) == 0o600
    assert json.loads(profile.read_text())["audience"] == "https://localhost:8443/api/v2/"

    second = await asyncio.to_thread(init)
    assert second["management"].pop("client_secret") is None
    assert second == first
    assert json.loads(profile.read_text())["client_secret"] == secret

    rotated = await asyncio.to_thread(init, "--rotate")
    assert rotated["management"]["client_secret"] not in {None, secret}
    async with serving(env):
        listed = await asyncio.to_thread(tenterhook, "ls", env=env)
        assert listed.returncode == 0, listed.stderr
        assert "You do not have any hooks" in listed.stdout


async def test_a_hooks_life(run, hook_file, tmp_path):
    created = await run("create", "-t", POINT, str(hook_file), "-s", "KEY=1")
    assert created == (
        "Hook created in disabled state. To enable this hook to run in production, call:\n\n"
        "$ tenterhook enable greet\n"
    )
    assert await run("enable", "greet") == (
        f"Enabling hook greet.\nThe greet ({POINT}) hook has been enabled.\n"
    )
    assert await run("enable", "greet") == f"The greet ({POINT}) hook is already enabled.\n"
    assert await run("create", "-t", POINT, "-n", "other", "-", text=FAILING)
    assert await run("enable", "other") == (
        f"Disabling hook greet.\nEnabling hook other.\nThe other ({POINT}) hook has been enabled.\n"
    )
    assert (
        await run("create", "-t", POINT, "-n", "other", "-", text=FAILING)
        == "Hook updated in enabled state.\n"
    )
    assert await run("ls") == f"{POINT}\n  greet\n  other (enabled)\n\nSuccessfully listed hooks 1 to 2.\n"
    listed = json.loads(await run("ls", "-o", "json", "-t", POINT, "--offset", "1"))
    assert [(hook["name"], hook["type"], hook["enabled"]) for hook in listed[POINT]] == [
        ("other", POINT, True)
    ]
    assert json.loads(await run("ls", "-o", "json", "-t", "credentials-exchange")) == {}
    assert await run("ls", "--offset", "7") == "You have fewer than 8 hooks.\n"
    assert await run("disable", "other") == (
        f"Disabling hook other.\nThe other ({POINT}) hook has been disabled.\n"
    )
    assert await run("disable", "other") == f"The other ({POINT}) hook is already disabled.\n"
    assert "Cancelled" in await run("rm", "other", text="n\n", expect=1)
    assert await run("rm", "other", "-s") == "Removed hook: other\n"
    assert await run("rm", "other", "-s", expect=5) == "tenterhook: No such hook: other\n"
    assert await run("enable", "other", expect=5) == "tenterhook: No such hook: other\n"
    assert "cannot become" in await run("create", "-t", "pre-user-registration", str(hook_file), expect=2)


async def test_updating_without_secrets_keeps_them(run, tmp_path):
    script = tmp_path / "secretive.js"
    script.write_text(
        "module.exports = (user, context, cb) => cb(null, Object.keys(context.webtask.secrets).sort());\n"
    )
    secrets = tmp_path / "secrets"
    secrets.write_text("# comment\nTWO=from=file\n\n")
    await run("create", "-t", POINT, str(script), "-s", "ONE=1", "--secrets-file", str(secrets))
    await run("create", "-t", POINT, str(script))
    await run("create", "-t", POINT, str(script), "-s", "ONE=changed", "-s", "THREE=3")
    execution = json.loads(await run("run", "secretive", "--json"))
    assert execution["result"] == ["ONE", "THREE", "TWO"]


async def test_the_runner_takes_a_body_and_a_draft_and_tells_failures_by_its_exit_code(
    run, hook_file, tmp_path
):
    await run("create", "-t", POINT, str(hook_file))
    assert "log: hello user1@foo.com" in await run("run", "greet")
    body = json.loads(Path(__file__).with_name("body.json").read_text())
    body["user"]["email"] = "ada@example.com"
    assert "log: hello ada@example.com" in await run("run", "greet", "--body", "-", text=json.dumps(body))
    draft = tmp_path / "draft.js"
    draft.write_text(FAILING)
    await run("run", "greet", "--draft", str(draft), expect=10)
    assert "log: hello user1@foo.com" in await run("run", "greet")


async def test_edit_saves_what_the_editor_left(run, hook_file, tmp_path):
    await run("create", "-t", POINT, str(hook_file))
    assert await run("edit", "greet", EDITOR="true", VISUAL="") == "Nothing changed.\n"
    await run("edit", "greet", EDITOR="sed -i s/hello/goodbye/", VISUAL="")
    assert "log: goodbye user1@foo.com" in await run("run", "greet")
    assert "did not work" in await run("edit", "greet", EDITOR="false", VISUAL="", expect=2)


async def test_runs_and_logs_show_what_happened(run, env, tmp_path):
    await run("create", "-t", POINT, "-n", "failing", "-", text=FAILING)
    await run("enable", "failing")
    profile = json.loads((tmp_path / "data" / "profile.json").read_text())
    application = json.loads(await run("init", "--json"))["application"]["client_id"]
    async with httpx.AsyncClient(base_url=profile["url"], trust_env=False) as http:
        answer = await http.post(
            "/dbconnections/signup",
            json={
                "client_id": application,
                "connection": "Username-Password-Authentication",
                "email": "ada@example.com",
                "password": "Correct-Horse-7-Battery",
            },
        )
        assert answer.status_code == 200, answer.text
    while not (runs := json.loads(await run("runs", "ls", "--json", "--state", "attention"))):
        await asyncio.sleep(0)  # each turn asks the program once more; the test's time limit ends it
    assert runs[0]["hook_name"] == "failing"
    shown = await run("runs", "show", runs[0]["id"])
    assert "state: attention" in shown
    assert "no such luck" in shown
    logs = [json.loads(line) for line in (await run("logs", "--no-follow", "--raw")).splitlines()]
    assert {"ss", "fpurh"} <= {log["type"] for log in logs}
    assert "no such luck" in await run("logs", "--no-follow", "-v")
    assert "failing" in await run("runs", "ls", "--hook", "failing")
    assert "does not exist" in await run("runs", "show", "0" * 26, expect=5)


async def test_logs_follow(run, env, hook_file):
    await run("create", "-t", POINT, str(hook_file))
    assert await run("logs", "--lines", "0", "--no-follow") == ""
    async with running("logs", "--lines", "1", "--raw", env=env) as following:
        await following.line("log_id")  # the newest so far: from here on it follows
        await run("enable", "greet")
        assert (await following.line(r"Update a hook"))[0]


async def test_tenants_are_made_beside_the_running_server(run):
    made = json.loads(await run("tenants", "create", "acme", "--domain", "Acme.Example:9000", "--json"))
    assert made["domain"] == "acme.example:9000"
    assert made["public_url"] == "https://acme.example:9000"
    assert made["management"]["client_secret"]
    listed = json.loads(await run("tenants", "ls", "--json"))
    assert [tenant["name"] for tenant in listed] == ["default", "acme"]
    assert "already" in await run("tenants", "create", "acme", "--domain", "b.example", expect=6)
    # With two tenants the Host decides; the profile's is the first one's.
    assert "You do not have any hooks" in await run("ls")


async def test_without_a_server_the_failure_says_how_to_start_one(env):
    await asyncio.to_thread(tenterhook, "init", env=env | {"TENTERHOOK_PORT": "9"})
    ended = await asyncio.to_thread(tenterhook, "ls", env=env)
    assert ended.returncode == 7
    assert "tenterhook serve" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_serve_speaks_https_with_given_files_and_ends_in_order(env, tmp_path):
    async with running("start", "--tls", "--port", "0", env=env) as program:
        await program.line(r"Runs appear here")
    tls = tmp_path / "data" / "tls"
    files = ("--tls-cert", str(tls / "server.pem"), "--tls-key", str(tls / "server-key.pem"))
    async with serving(env, *files) as (program, url):
        assert url.startswith("https://")
        answer = await asyncio.to_thread(
            subprocess.run,
            ["curl", "-sS", "-i", "--cacert", str(tls / "ca.pem"), f"{url}/health"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "200 OK" in answer.stdout
        assert "\nserver:" not in answer.stdout.lower()
    assert program.process.returncode == 0, program.output
