"""/api/extensions/hooks/{id}/settings and …/egress/proposal: what a hook has of its own, its bounds, and who may change it."""

from __future__ import annotations

import json

import pytest

from tenterhook.hooks import load
from tenterhook.ids import RunId, new_run_id
from tenterhook.sandbox import KINDS
from tenterhook.settings import Settings, environment_name

NO_OWN = {kind.name: None for kind in KINDS}
OPEN = {"mode": "open", "allow": []}


@pytest.fixture
async def path(create_hook) -> str:
    hook = await create_hook()
    return f"/api/extensions/hooks/{hook['id']}/settings"


async def test_hook_without_settings_has_the_operators(api, path):
    found = await api.get(path)
    assert found.status_code == 200
    body = found.json()
    assert (body["limits"], body["egress"], body["own_process"]) == (NO_OWN, OPEN, False)
    for kind in KINDS:
        limit = body["limits_in_force"][kind.name]
        assert limit["value"] == limit["default"] == kind.default(Settings())
        assert (limit["own"], limit["maximum"]) == (None, kind.maximum(Settings()))


async def test_settings_from_first_change_to_none_left(api, path, world):
    changed = await api.patch(
        path,
        json={
            "limits": {"wall_time_seconds": 1.5, "memory_bytes": 2**29},
            "egress": {
                "mode": "enforce",
                "allow": ["B.example.com", "a.example.com:8443", "b.example.com:443"],
            },
            "own_process": True,
        },
    )
    assert changed.status_code == 200, changed.text
    body = changed.json()
    assert body["limits"] == {**NO_OWN, "wall_time_seconds": 1.5, "memory_bytes": 2**29}
    assert body["egress"] == {"mode": "enforce", "allow": ["a.example.com:8443", "b.example.com:443"]}
    assert body["own_process"] is True
    assert body["limits_in_force"]["wall_time_seconds"]["value"] == 1.5
    found = await api.get(path)
    assert (found.json(), found.headers["ETag"]) == (body, changed.headers["ETag"])

    # What is not sent stays.
    less = (
        await api.patch(path, json={"limits": {"memory_bytes": None}, "egress": {"mode": "report"}})
    ).json()
    assert less["limits"] == {**NO_OWN, "wall_time_seconds": 1.5}
    assert less["egress"] == {"mode": "report", "allow": body["egress"]["allow"]}
    assert less["own_process"] is True

    # What was read may be sent back.
    assert (await api.patch(path, json={"limits": less["limits"]})).json() == less

    none = {"limits": NO_OWN, "egress": OPEN, "own_process": False}
    assert (await api.patch(path, json=none)).json().items() >= none.items()
    async with world.database.reader() as reader:
        logged = await reader.raw.fetch(
            "SELECT details::text AS details FROM tenant_logs WHERE description = $1 ORDER BY log_id",
            "Update a hook's settings",
        )
    assert [json.loads(row["details"])["request"]["body"] for row in logged][1] == {
        "limits": {"memory_bytes": None},
        "egress": {"mode": "report"},
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_limit_is_accepted_at_its_bounds_and_refused_beyond(api, path, kind):
    maximum = kind.maximum(Settings())
    for inside in (kind.minimum, maximum):
        assert (await api.patch(path, json={"limits": {kind.name: inside}})).status_code == 200
    refused = await api.patch(path, json={"limits": {kind.name: maximum + 1}})
    assert refused.status_code == 400
    assert refused.json() == {
        "statusCode": 400,
        "error": "Bad Request",
        "message": f"Payload validation error: '{kind.text_of(maximum + 1)} is too much, maximum "
        f"{kind.text_of(maximum)} {kind.unit}; the operator can raise the maximum with "
        f"{environment_name(kind.maximum_setting)}' on property limits.{kind.name}.",
        "errorCode": "invalid_body",
    }
    below = await api.patch(path, json={"limits": {kind.name: kind.minimum - 1}})
    assert (below.status_code, "is too little" in below.json()["message"]) == (400, True)
    assert (await api.get(path)).json()["limits"][kind.name] == maximum


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "At least one of limits, egress, own_process is required"),
        ({"limit": {}}, "limit"),
        ({"limits": {"wall_time": 1}}, "wall_time"),
        ({"limits": {"wall_time_seconds": "1"}}, "limits.wall_time_seconds"),
        ({"limits": {"wall_time_seconds": True}}, "limits.wall_time_seconds"),
        ({"limits": {"threads": 64.5}}, "limits.threads"),
        ({"limits": None}, "limits"),
        ({"own_process": 1}, "own_process"),
        ({"egress": {"mode": "closed"}}, "egress.mode"),
        ({"egress": {"allow": "a.example.com"}}, "egress.allow"),
        ({"egress": {"allow": ["https://a.example.com/"]}}, "on property egress.allow"),
        ({"egress": {"allow": [f"{number}.example.com" for number in range(101)]}}, "egress.allow"),
    ],
)
async def test_change_that_cannot_be_used_is_refused_and_changes_nothing(api, path, change, said):
    refused = await api.patch(path, json=change)
    assert refused.status_code == 400, refused.text
    assert said in refused.json()["message"]
    assert (await api.get(path)).json()["limits"] == NO_OWN


async def test_hundred_entries_are_not_too_many(api, path):
    entries = [f"{number}.example.com" for number in range(100)]
    assert (await api.patch(path, json={"egress": {"allow": entries}})).status_code == 200


async def test_change_based_on_an_older_state_is_refused(api, path):
    seen = (await api.get(path)).headers["ETag"]
    first = await api.patch(path, json={"own_process": True}, headers={"If-Match": seen})
    assert first.status_code == 200
    second = await api.patch(path, json={"limits": {"threads": 32}}, headers={"If-Match": seen})
    assert (second.status_code, second.json()["errorCode"]) == (412, "precondition_failed")
    again = await api.patch(
        path, json={"limits": {"threads": 32}}, headers={"If-Match": first.headers["ETag"]}
    )
    assert (again.status_code, again.json()["own_process"]) == (200, True)


async def test_settings_belong_to_the_hook_and_not_to_its_version(api, path, world):
    hook_id = path.split("/")[4]
    await api.patch(
        path, json={"limits": {"grace_seconds": 3}, "egress": {"mode": "report", "allow": ["a.example.com"]}}
    )
    await api.patch(
        f"/api/v2/hooks/{hook_id}", json={"script": "module.exports = (u, c, cb) => cb(null, 2);"}
    )
    async with world.database.reader() as reader:
        for version in (1, 2):
            loaded = await load(reader, hook_id, world.vault, version)
            assert loaded.settings.limits == {"grace_seconds": 3.0}
            assert loaded.settings.rules.to_json() == {"mode": "report", "allow": ["a.example.com:443"]}
    assert (await api.get(path)).json()["limits"]["grace_seconds"] == 3


async def test_other_tenants_and_lesser_tokens_are_kept_out(api, path, world):
    async with await world.client(tenant=world.other) as stranger:
        assert (await stranger.get(path)).status_code == 404
        assert (await stranger.patch(path, json={"own_process": True})).status_code == 404
        assert (await stranger.get(path.replace("settings", "egress/proposal"))).status_code == 404
    async with await world.client("read:hooks") as reader:
        assert (await reader.get(path)).status_code == 200
        assert (await reader.patch(path, json={"own_process": True})).status_code == 403
        assert (await reader.get(path.replace("settings", "egress/proposal"))).status_code == 403
    assert (await api.get(path)).json()["own_process"] is False


async def test_deleted_hook_leaves_no_settings(api, path, world):
    await api.patch(path, json={"own_process": True})
    await api.delete(f"/api/v2/hooks/{path.split('/')[4]}")
    assert (await api.get(path)).status_code == 404
    async with world.database.reader() as reader:
        assert await reader.raw.fetchval("SELECT count(*) FROM hook_settings") == 0


def made(address, port, names=(), *, allowed=True, reason="public"):
    return {"address": address, "port": port, "names": list(names), "allowed": allowed, "reason": reason}


async def record_run(world, tenant, hook_id: str, connections) -> RunId:
    run_id = new_run_id()
    async with world.database.transaction() as transaction:
        await transaction.raw.execute(
            "INSERT INTO runs (id, tenant_id, kind, subject_id, event, occurred_at, state) "
            "VALUES ($1, $2, 'hook', $3, '{}', now(), 'succeeded')",
            run_id,
            tenant.id,
            hook_id,
        )
        await transaction.raw.execute(
            "INSERT INTO attempts (run_id, number, worker_id, started_at, connections) VALUES ($1, 1, 'w', now(), $2)",
            run_id,
            json.dumps(connections),
        )
    return run_id


async def test_list_is_proposed_from_past_runs(api, path, world, create_hook):
    hook_id = path.split("/")[4]
    proposal_path = path.replace("settings", "egress/proposal")
    empty = (await api.get(proposal_path)).json()
    assert empty == {**OPEN, "proposed": [], "refused": [], "unused": []}

    await api.patch(
        path, json={"egress": {"mode": "enforce", "allow": ["listed.example.com", "idle.example.com"]}}
    )
    for _run in range(2):
        await record_run(
            world,
            world.acme,
            hook_id,
            [
                made("93.184.216.34", 443, ["api.example.com"]),
                made("93.184.216.35", 443, ["api.example.com"]),
                made("203.0.113.9", 8443),
                made("93.184.216.36", 443, ["listed.example.com"]),
                made("127.0.0.1", 8585, [], reason="own_url"),
                made("10.0.0.1", 22, [], allowed=False, reason="not_public"),
                made("93.184.216.37", 443, ["new.example.com"], allowed=False, reason="not_listed"),
                made(None, None, ["unasked.example.com"], allowed=False, reason="name_not_listed"),
            ],
        )
    other_hook = await create_hook(name="second")
    await record_run(
        world, world.acme, other_hook["id"], [made("93.184.216.38", 443, ["second.example.com"])]
    )
    proposal = (await api.get(proposal_path)).json()
    assert proposal["mode"] == "enforce"
    assert [(each["entry"], each["times"]) for each in proposal["proposed"]] == [
        ("api.example.com:443", 4),
        ("203.0.113.9:8443", 2),
    ]
    assert [(each["entry"], each["times"]) for each in proposal["refused"]] == [
        ("new.example.com:443", 2),
        ("unasked.example.com:443", 2),
    ]
    assert proposal["unused"] == ["idle.example.com:443"]

    entries = [each["entry"] for each in proposal["proposed"]]
    allow = [*proposal["allow"], *entries]
    assert (await api.patch(path, json={"egress": {"allow": allow}})).status_code == 200
    assert (await api.get(proposal_path)).json()["proposed"] == []
