"""The Runner, through the API and with real Node processes."""

from __future__ import annotations

import json

import pytest

from tenterhook.hooks import POINTS, POST_USER_REGISTRATION, starter_code

ECHO = "module.exports = (user, context, cb) => { console.log('hello', user.email); cb(null, { user, context }); };"

pytestmark = pytest.mark.usefixtures("invoker")


@pytest.fixture
def run(api):
    async def run(hook, **body) -> dict:
        answer = await api.post(f"/api/extensions/hooks/{hook['id']}/runner", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return run


async def test_default_body_reaches_the_hook(create_hook, run):
    ran = await run(await create_hook(script=ECHO))
    sample = json.loads(POST_USER_REGISTRATION.runner_body)
    assert ran["outcome"] == "ok"
    assert ran["saved_version"] is None
    assert ran["error"] is None
    assert ran["result"]["user"] == sample["user"]
    assert ran["verdict"] == {"result": ran["result"]}
    webtask = ran["result"]["context"].pop("webtask")
    assert ran["result"]["context"] == sample["context"]
    assert (webtask["id"], webtask["attempt"], webtask["body"]) == (ran["run_id"], 1, sample)
    assert [line["text"] for line in ran["console"]] == ["hello user1@foo.com"]
    assert ran["calls"] == []
    assert ran["timings"]["started_at"] <= ran["timings"]["called_back_at"] <= ran["timings"]["settled_at"]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.trigger_id)
async def test_starter_code_runs_at_every_point(create_hook, run, point):
    hook = await create_hook(triggerId=point.trigger_id, script=starter_code(point))
    ran = await run(hook)
    assert (ran["outcome"], ran["error"]) == ("ok", None)


async def test_own_body_and_secrets(create_hook, run):
    hook = await create_hook(
        script="module.exports = (user, context, cb) => cb(null, [user.email, context.webtask.secrets.KEY, "
        "context.webtask.data.KEY, Object.keys(context.webtask.headers)]);",
        secrets={"KEY": "value"},
    )
    ran = await run(hook, body={"user": {"email": "me@example.com"}, "context": {"connection": {}}})
    assert ran["result"] == ["me@example.com", "value", "value", []]


async def test_script_is_saved_first_and_then_run(api, create_hook, run):
    hook = await create_hook()
    answer = await api.post(f"/api/extensions/hooks/{hook['id']}/runner", json={"script": ECHO})
    assert answer.json()["saved_version"] == 2
    assert answer.headers["Tenterhook-Version"] == "2"
    assert (await api.get(f"/api/v2/hooks/{hook['id']}")).json() == {**hook, "script": ECHO}
    assert (await run(hook))["result"]["user"]["username"] == "user1"


async def test_draft_runs_unsaved_with_the_hooks_secrets_and_its_own_modules(api, create_hook, run):
    hook = await create_hook(secrets={"KEY": "value"})
    ran = await run(
        hook,
        draft=True,
        script="const _ = require('lodash'); module.exports = (user, context, cb) => "
        "cb(null, [_.chunk([1, 2], 1).length, context.webtask.secrets.KEY]);",
    )
    assert ran["result"] == [2, "value"], ran["error"]
    assert ran["saved_version"] is None
    assert [(each["name"], each["origin"]) for each in ran["modules"]["modules"]] == [("lodash", "inferred")]
    assert (await api.get(f"/api/v2/hooks/{hook['id']}")).json() == hook
    assert len((await api.get(f"/api/extensions/hooks/{hook['id']}/versions")).json()) == 1


async def test_two_drafts_are_told_apart(create_hook, run):
    hook = await create_hook()
    for number in (1, 2):
        ran = await run(hook, draft=True, script=f"module.exports = (u, c, cb) => cb(null, {number});")
        assert ran["result"] == number


async def test_error_has_the_authors_line(create_hook, run):
    hook = await create_hook(
        script="// one\nmodule.exports = (user, context, cb) => {\n  cb(new TypeError('broken'));\n};"
    )
    ran = await run(hook)
    assert ran["outcome"] == "error"
    assert ran["result"] is None
    assert (ran["error"]["name"], ran["error"]["message"]) == ("TypeError", "broken")
    assert "hook.js:3:" in ran["error"]["stack"]
    assert ran["verdict"]["error"]["message"] == "broken"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("module.exports = function (", "Unable to compile"),
        ("module.exports = 1;", "function"),
        ("require('no-such-module');", "no-such-module"),
    ],
)
async def test_code_that_cannot_start_says_why(create_hook, run, script, words):
    ran = await run(await create_hook(script=script))
    assert ran["outcome"] == "could_not_start"
    assert words in ran["error"]["message"]


async def test_no_run_is_recorded(world, create_hook, run):
    await run(await create_hook(enabled=True))
    async with world.database.reader() as reader:
        assert await reader.raw.fetchval("SELECT count(*) FROM runs") == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"body": {}}, "'user' of the Runner's body must be an object"),
        (
            {"body": {"user": {}, "context": {}}},
            "'context.connection' of the Runner's body must be an object",
        ),
        ({"body": []}, "Expected type object but found type array"),
        ({"body": None}, "Expected type object but found type null"),
        ({"script": ""}, "String is too short"),
        ({"script": "x" * 10_001, "draft": True}, "The script is too large"),
        ({"script": "x" * 10_001}, "The script is too large"),
        ({"draft": "yes"}, "Expected type boolean"),
        ({"dependencies": {"no-such-module": "1"}, "draft": True}, "no-such-module"),
        ({"code": "1"}, "Additional properties not allowed: code"),
    ],
)
async def test_bad_requests_are_refused_and_nothing_is_saved(api, create_hook, body, words):
    hook = await create_hook()
    answer = await api.post(f"/api/extensions/hooks/{hook['id']}/runner", json=body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_body")
    assert words in answer.json()["message"]
    assert len((await api.get(f"/api/extensions/hooks/{hook['id']}/versions")).json()) == 1


async def test_another_tenants_hook_and_a_missing_scope(world, create_hook):
    hook = await create_hook()
    path = f"/api/extensions/hooks/{hook['id']}/runner"
    async with await world.client(tenant=world.other) as other, await world.client("read:hooks") as reader:
        assert (await other.post(path, json={})).json()["errorCode"] == "HookDoesNotExist"
        assert (await reader.post(path, json={})).status_code == 403


async def test_catalogue_is_served(api):
    listed = (await api.get("/api/extensions/extensibility-points")).json()
    assert [point["trigger_id"] for point in listed] == [point.trigger_id for point in POINTS]
    one = (await api.get("/api/extensions/extensibility-points/post-user-registration")).json()
    assert one in listed
    assert one["starter_code"] == starter_code(POST_USER_REGISTRATION)
    assert one["runner_body"] == POST_USER_REGISTRATION.runner_body
    missing = await api.get("/api/extensions/extensibility-points/unknown")
    assert (missing.status_code, missing.json()["errorCode"]) == (404, "unknown_trigger")
