"""The starting document's Slack sample, pasted as it stands but for the URL, on real sign-ups and real packages."""

from __future__ import annotations

import asyncio
from importlib import resources

import httpx
import pytest

from tenterhook.cli import development
from tenterhook.cli.development.certificates import ensure_certificates
from tests.program import Program
from tests.registry.fixture import npm_registry
from tests.slack_receiver import SlackReceiver

__all__ = ["npm_registry"]

SAMPLE = """\
module.exports = function (user, context, cb) {

  // Read more about incoming webhooks at https://api.slack.com/incoming-webhooks
  var SLACK_HOOK = 'YOUR SLACK HOOK URL';

  // Post the new user's name and email address to the selected channel
  var slack = require('slack-notify')(SLACK_HOOK);
  var message = 'New User: ' + (user.name || user.email) + ' (' + user.email + ')';
  var channel = '#some_channel';

  slack.success({
   text: message,
   channel: channel
  });

  // Return immediately; the request to the Slack API will continue on the sandbox
  cb();
};
"""
"""Byte for byte the starting document's."""


def test_the_demo_is_the_starting_documents_sample() -> None:
    assert resources.files(development).joinpath("slack_sample.js").read_text().rstrip("\n") == SAMPLE.rstrip(
        "\n"
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("version", "declared", "secure", "username"),
    [
        ("2.0.7", {}, True, "Success"),  # nothing declared: the newest that is old enough
        ("0.1.7", {"slack-notify": "0.1.7"}, False, "Hoorah"),
    ],
)
async def test_a_sign_up_makes_the_sample_post_to_slack(
    tmp_path, npm_registry, version: str, declared: dict[str, str], secure: bool, username: str
) -> None:
    certificates = ensure_certificates(tmp_path / "tls")
    home = tmp_path / "home"
    home.mkdir()
    program = Program(
        tmp_path,
        TENTERHOOK_EXTRA_CA_FILE=str(certificates.ca),
        npm_config_registry=npm_registry.url,
        HOME=str(home),
    )
    with SlackReceiver(
        certificate=certificates.cert if secure else None, key=certificates.key if secure else None
    ) as receiver:
        try:
            program.init()
            program.serve()
            async with await program.management() as management:
                hook = await program.create_hook(
                    SAMPLE.replace("YOUR SLACK HOOK URL", receiver.url), dependencies=declared
                )
                how = "declared" if declared else "inferred"
                assert hook.headers["Tenterhook-Modules"] == f"slack-notify@{version} ({how})"
                async with program.applicant() as applicant:
                    answer = await program.sign_up(applicant, "ada@example.com")
                assert answer.status_code == 200, answer.text
                await asyncio.to_thread(receiver.wait_for, 1, 60)
                run = await _finished_run(management)
            assert program.stop() == 0
        finally:
            program.close()
    assert len(receiver.messages) == 1
    message = receiver.messages[0]
    assert message["text"] == "New User: ada@example.com (ada@example.com)"
    assert message["channel"] == "#some_channel"
    assert message["username"] == username
    assert message["icon_emoji"] == ":trophy:"
    assert run["state"] == "succeeded", run["attempts"]
    assert run["user_id"] == f"auth0|{answer.json()['_id']}"
    assert run["event"]["user"]["id"] == answer.json()["_id"]
    (attempt,) = run["attempts"]
    assert attempt["outcome"] == "ok"
    assert attempt["called_back_at"] <= attempt["settled_at"]
    (call,) = attempt["calls"]
    assert (call["method"], call["status"], call["path"]) == ("POST", 200, "/services/T000/B000/XXXX")
    # `request`, below 0.1.7, opens its connection in the next turn only.
    assert call["open_at_callback"] is secure


async def _finished_run(management: httpx.AsyncClient) -> dict:
    async with asyncio.timeout(60):
        while True:
            found = (await management.get("/api/extensions/runs")).json()["runs"]
            if found and found[0]["finished_at"] is not None:
                return (await management.get(f"/api/extensions/runs/{found[0]['id']}")).json()
            await asyncio.sleep(0.1)
