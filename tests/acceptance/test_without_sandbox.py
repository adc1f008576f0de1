"""Where no sandbox can be made: the program as its users meet it, under a filter that takes seccomp and Landlock away."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest

from tests import without_sandbox
from tests.program import TENTERHOOK, Program

UNSAFE = "TENTERHOOK_UNSAFE_RUN_HOOKS_WITHOUT_SANDBOX"
HOOK = "module.exports = (user, context, cb) => { console.log('ran for', user.email); cb(); };"


@pytest.fixture
def no_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every program of the test started where no sandbox can be made."""
    wrapper = tmp_path / "tenterhook"
    wrapper.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{without_sandbox.__file__}" "{TENTERHOOK}" "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setattr("tests.program.TENTERHOOK", str(wrapper))


async def run_when(management: httpx.AsyncClient, condition) -> dict:
    """Return the newest run once it is as wanted."""
    async with asyncio.timeout(60):
        while True:
            runs = (await management.get("/api/extensions/runs")).json()["runs"]
            if runs and condition(runs[0]):
                return runs[0]
            await asyncio.sleep(0.1)


@pytest.mark.usefixtures("no_sandbox")
async def test_hooks_wait_and_everybody_is_told(tmp_path, monkeypatch) -> None:
    program = Program(tmp_path)
    try:
        program.init()
        program.serve()
        log = program.log.read_text()
        assert "Sandbox: NONE. HOOKS DO NOT RUN" in log
        await program.create_hook(HOOK)
        async with program.applicant() as applicant, await program.management() as management:
            health = (await applicant.get("/health")).json()
            assert (health["sandbox"]["tier"], health["sandbox"]["hooks_run"]) == (0, False)
            assert "layers" not in health["sandbox"]
            assert (await management.get("/health")).json()["sandbox"]["layers"]
            assert (await applicant.get("/ready")).status_code == 200

            # Who signs up notices nothing; the run waits, and says why.
            assert (await program.sign_up(applicant, "ada@example.com")).status_code == 200
            run = await run_when(management, lambda run: run["state_reason"] is not None)
            assert (run["state"], run["attempts"]) == ("waiting", 0)
            assert "no sandbox can be made" in run["state_reason"]
            assert "no sandbox can be made" in program.command("runs", "show", run["id"]).stdout

            # The Runner says it, and the command line with it.
            tried = program.command("run", "first", check=False)
            assert tried.returncode != 0
            assert "no sandbox can be made" in tried.stderr

            # A hook that decides is never passed over.
            await program.create_hook(HOOK, name="gate", triggerId="pre-user-registration")
            refused = await program.sign_up(applicant, "eve@example.com")
            assert refused.status_code == 400
            assert "sandbox" not in refused.text
            logged = (await management.get("/api/v2/logs", params={"q": "type:fs"})).json()
            assert "no sandbox can be made" in logged[0]["description"]
            gate = (await management.get("/api/v2/hooks")).json()
            for hook in gate:
                if hook["name"] == "gate":
                    await management.delete(f"/api/v2/hooks/{hook['id']}")
        assert program.stop() == 0

        # Nothing was lost: where there is a sandbox, the run that waited is executed.
        monkeypatch.undo()
        program.serve()
        async with await program.management() as management:
            run = await run_when(management, lambda run: run["state"] != "waiting" and run["finished_at"])
            assert (run["state"], run["attempts"], run["unsandboxed"]) == ("succeeded", 1, False)
        assert program.stop() == 0
    finally:
        program.close()


@pytest.mark.usefixtures("no_sandbox")
async def test_with_the_unsafe_setting_hooks_run_and_every_run_bears_the_mark(tmp_path) -> None:
    program = Program(tmp_path, **{UNSAFE: "true"})
    try:
        program.init()
        program.serve()
        assert f"Sandbox: NONE, AND HOOKS RUN ALL THE SAME ({UNSAFE})" in program.log.read_text()
        await program.create_hook(HOOK)
        async with program.applicant() as applicant, await program.management() as management:
            assert (await applicant.get("/health")).json()["sandbox"]["unsandboxed"] is True
            assert (await program.sign_up(applicant, "ada@example.com")).status_code == 200
            run = await run_when(management, lambda run: run["finished_at"])
            assert (run["state"], run["unsandboxed"]) == ("succeeded", True)
            whole = (await management.get(f"/api/extensions/runs/{run['id']}")).json()
            assert [attempt["unsandboxed"] for attempt in whole["attempts"]] == [True]
        assert "UNSANDBOXED" in program.command("runs", "show", run["id"]).stdout
        assert "UNSANDBOXED" in program.command("runs", "ls").stdout
        assert "UNSANDBOXED" in program.command("run", "first").stdout
        assert program.stop() == 0
    finally:
        program.close()


@pytest.mark.usefixtures("no_sandbox")
@pytest.mark.parametrize("unsafe", ["false", "true"])
def test_the_doctor_finds_it_and_fails(tmp_path, unsafe) -> None:
    program = Program(tmp_path, **{UNSAFE: unsafe})
    shown = program.command("doctor", check=False)
    assert shown.returncode == 1
    assert ("HOOKS RUN ALL THE SAME" if unsafe == "true" else "hooks are refused") in shown.stdout
    report = json.loads(program.command("doctor", "--json", check=False).stdout)
    assert report["verdict"] == "problem"
    assert report["sandbox"]["tier"] == 0
    assert report["sandbox"]["unsandboxed"] is (unsafe == "true")
    missing = [layer for layer in report["sandbox"]["layers"] if not layer["available"]]
    assert missing
    assert all(layer["lost"] for layer in missing)
    assert not program.data.exists()  # it looked, and left nothing
