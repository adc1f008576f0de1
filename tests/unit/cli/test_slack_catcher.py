"""Slack's incoming-webhook protocol, request by request."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import httpx
import pytest

from tenterhook.cli.development.slack_catcher import MAX_BODY_BYTES, SlackCatcher, SlackField, SlackMessage

PATH = "/services/T00000000/B00000000/token"
# As slack-notify 2.0.7 and 0.1.7 send the same call of success().
VERSION_2 = {
    "channel": "#some_channel",
    "icon_emoji": ":trophy:",
    "username": "Success",
    "text": "New User: a (a)",
}
VERSION_0 = {**VERSION_2, "username": "Hoorah"}


@pytest.fixture
def shown() -> list[SlackMessage]:
    return []


@pytest.fixture
async def http(shown):
    transport = httpx.ASGITransport(SlackCatcher(PATH, shown.append))
    async with httpx.AsyncClient(transport=transport, base_url="https://127.0.0.1") as client:
        yield client


async def test_json_without_a_content_type_as_slack_notify_2_sends_it(http, shown):
    answer = await http.post(PATH, content=json.dumps(VERSION_2))
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"] == "text/html"
    assert shown == [
        SlackMessage(channel="#some_channel", username="Success", icon=":trophy:", text="New User: a (a)")
    ]


async def test_a_form_as_slack_notify_0_sends_it(http, shown):
    answer = await http.post(PATH, data={"payload": json.dumps(VERSION_0)})
    assert (answer.status_code, answer.text) == (200, "ok")
    assert shown[0].username == "Hoorah"
    assert shown[0].text == "New User: a (a)"


async def test_fields_attachments_and_blocks_are_kept(http, shown):
    payload = {
        "attachments": [
            {"fallback": "Alert details", "fields": [{"title": "Plan", "value": 7, "short": True}]},
            {"pretext": "before", "text": "after"},
            {"fallback": "only this"},
        ],
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "a block"}}, {"type": "divider"}],
    }
    assert (await http.post(PATH, json=payload)).text == "ok"
    assert shown[0].fields == (SlackField(title="Plan", value="7"),)
    assert shown[0].attachments == ("before\nafter", "only this", "a block")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "invalid_payload"),
        (b"{", "invalid_payload"),
        (b"[]", "invalid_payload"),
        (b"payload=", "invalid_payload"),
        (b"payload=%7B", "invalid_payload"),
        (b"\xff", "invalid_payload"),
        (b"[" * 100_000, "invalid_payload"),
        (b'{"text": 1}', "invalid_payload"),
        (b'{"text": "x", "channel": {}}', "invalid_payload"),
        (b'{"attachments": "x"}', "invalid_payload"),
        (b'{"attachments": [1]}', "invalid_payload"),
        (b"{}", "no_text"),
        (b'{"text": ""}', "no_text"),
        (b'{"attachments": []}', "no_text"),
        (json.dumps({"attachments": [{"text": "x"}] * 101}).encode(), "too_many_attachments"),
    ],
)
async def test_bad_payloads_are_answered_as_slack_does(http, shown, body, text):
    answer = await http.post(PATH, content=body)
    assert (answer.status_code, answer.text) == (400, text)
    assert shown == []


async def test_a_hundred_attachments_are_not_too_many(http, shown):
    assert (await http.post(PATH, json={"attachments": [{"text": "x"}] * 100})).text == "ok"
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/", 404, "no_service"),
        ("/services/T1/B1/token", 404, "no_service"),
        (PATH + "/more", 404, "no_service"),
        ("/services/T00000000/B00000000/wrong", 403, "invalid_token"),
        ("/services/T00000000/B00000000/", 403, "invalid_token"),
    ],
)
async def test_other_paths_are_not_this_webhook(http, shown, path, status, text):
    answer = await http.post(path, json=VERSION_2)
    assert (answer.status_code, answer.text) == (status, text)
    assert shown == []


async def test_get_is_not_a_method_of_webhooks(http):
    answer = await http.get(PATH)
    assert (answer.status_code, answer.text) == (405, "method_not_allowed")


@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 413)])
async def test_the_body_has_a_limit(http, excess, status):
    frame = len(json.dumps({"text": ""}))
    body = json.dumps({"text": "x" * (MAX_BODY_BYTES - frame + excess)})
    assert (await http.post(PATH, content=body)).status_code == status


async def test_a_form_with_more_than_a_payload(http, shown):
    body = urlencode({"other": "1", "payload": json.dumps({"text": "hi"})})
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert (await http.post(PATH, content=body, headers=headers)).text == "ok"
    assert shown[0].text == "hi"
