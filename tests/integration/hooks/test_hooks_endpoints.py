"""/api/v2/hooks as real clients use it: shapes, filters, refusals, tenants kept apart."""

from __future__ import annotations

import asyncio
import json

import pytest

SCRIPT = "module.exports = (user, context, cb) => cb();"
NEW = {"name": "first", "script": SCRIPT, "triggerId": "post-user-registration"}
MISSING = {
    "statusCode": 404,
    "error": "Not Found",
    "message": "Error: Hook does not exist",
    "errorCode": "HookDoesNotExist",
}


async def sapi(world) -> list[dict]:
    async with world.database.reader() as reader:
        rows = await reader.raw.fetch(
            "SELECT description, details::text AS details FROM tenant_logs WHERE type = 'sapi' ORDER BY log_id"
        )
    return [{"description": row["description"], **json.loads(row["details"])} for row in rows]


async def test_hook_from_creation_to_deletion(api):
    created = await api.post("/api/v2/hooks", json=NEW)
    assert created.status_code == 201
    hook = created.json()
    assert hook == {**NEW, "id": hook["id"], "dependencies": {}, "enabled": False}
    assert len(hook["id"]) == 26
    path = f"/api/v2/hooks/{hook['id']}"

    fetched = await api.get(path)
    assert (fetched.status_code, fetched.json()) == (200, hook)
    assert fetched.headers["ETag"] == created.headers["ETag"]

    changed = await api.patch(path, json={"name": "renamed"})
    assert (changed.status_code, changed.json()) == (200, {**hook, "name": "renamed"})

    deleted = await api.request("DELETE", path, json={})
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "DELETE"):
        gone = await api.request(method, path)
        assert (gone.status_code, gone.json()) == (404, MISSING)
    assert (await api.patch(path, json={"name": "x"})).json() == MISSING


async def test_form_body_is_accepted(api):
    created = await api.post(
        "/api/v2/hooks", data={**NEW, "enabled": "true", "dependencies[lodash]": "4.17.21"}
    )
    assert created.status_code == 201
    assert created.json()["enabled"] is True
    assert created.json()["dependencies"] == {"lodash": "4.17.21"}


@pytest.mark.parametrize("name", ["a", "My Hook-2", "x" * 255])
async def test_names_that_are_accepted(api, name):
    assert (await api.post("/api/v2/hooks", json={**NEW, "name": name})).status_code == 201


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "'Expected type string but found type null' on property name"),
        ({"name": ""}, "String does not match pattern"),
        ({"name": " a"}, "String does not match pattern"),
        ({"name": "a-"}, "String does not match pattern"),
        ({"name": "a_b"}, "String does not match pattern"),
        ({"name": "a\n"}, "String does not match pattern"),
        ({"name": "x" * 256}, "String is too long, maximum 255"),
        ({"script": ""}, "String is too short, minimum 1"),
        ({"script": "x" * 10_001}, "The script is too large, maximum 10000 bytes' on property script"),
        ({"script": "ü" * 5_001}, "The script is too large"),
        ({"script": "a\u0000b"}, "U+0000"),
        ({"script": 1}, "Expected type string but found type integer"),
        ({"triggerId": "client-credentials-exchange"}, "No enum match for: client-credentials-exchange"),
        ({"enabled": "true"}, "Expected type boolean but found type string"),
        ({"dependencies": {"lodash": 4}}, "Expected type string but found type integer"),
        ({"dependencies": ["lodash"]}, "Expected type object but found type array"),
        ({"dependencies": {"../x": "1"}}, "on property dependencies"),
        ({"active": True}, "Additional properties not allowed: active"),
        ({"id": "x"}, "Additional properties not allowed: id"),
        ({"secrets": {"A": 1}}, "on property secrets.A"),
        ({"secrets": {"A B": "x"}}, "String does not match pattern"),
        ({"secrets": {"A": "_VALUE_NOT_SHOWN_"}}, "_VALUE_NOT_SHOWN_ stands for a value"),
        ({"secrets": {f"S{number}": "x" for number in range(21)}}, "A hook can have 20 secrets"),
    ],
)
async def test_bad_hooks_are_refused_and_nothing_is_written(api, world, change, message):
    answer = await api.post("/api/v2/hooks", json={**NEW, **change})
    body = answer.json()
    assert answer.status_code == 400
    assert {**body, "message": ""} == {
        "statusCode": 400,
        "error": "Bad Request",
        "message": "",
        "errorCode": "invalid_body",
    }
    assert message in body["message"]
    assert (await api.get("/api/v2/hooks")).json() == []
    assert await sapi(world) == []


@pytest.mark.parametrize("missing", ["name", "script", "triggerId"])
async def test_missing_property_is_named(api, missing):
    answer = await api.post(
        "/api/v2/hooks", json={key: value for key, value in NEW.items() if key != missing}
    )
    assert answer.json()["message"] == f"Payload validation error: 'Missing required property: {missing}'."


@pytest.mark.parametrize(
    "change", [{}, {"triggerId": "post-change-password"}, {"id": "x"}, {"secrets": {}}, {"name": None}, []]
)
async def test_bad_changes_are_refused(api, create_hook, change):
    hook = await create_hook()
    answer = await api.patch(f"/api/v2/hooks/{hook['id']}", json=change)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_body")
    assert (await api.get(f"/api/v2/hooks/{hook['id']}")).json() == hook


@pytest.mark.parametrize("body", [b"{", b"nothing", b'{"name": "\\ud800"}', b"[1]"])
async def test_wrong_json_is_refused(api, body):
    answer = await api.post("/api/v2/hooks", content=body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_body")


async def test_duplicate_name_is_a_conflict_and_another_tenants_is_not(api, world, create_hook):
    first = await create_hook(name="taken")
    second = await create_hook(name="free")
    expected = {
        "statusCode": 409,
        "error": "Conflict",
        "message": "A hook named 'taken' exists already.",
        "errorCode": "hook_name_taken",
    }
    for answer in (
        await api.post("/api/v2/hooks", json={**NEW, "name": "taken"}),
        await api.patch(f"/api/v2/hooks/{second['id']}", json={"name": "taken"}),
    ):
        assert (answer.status_code, answer.json()) == (409, expected)
    assert (await api.patch(f"/api/v2/hooks/{first['id']}", json={"name": "taken"})).status_code == 200
    async with await world.client(tenant=world.other) as other:
        assert (await other.post("/api/v2/hooks", json={**NEW, "name": "taken"})).status_code == 201


@pytest.mark.parametrize("hook_id", ["a_b", "a.b", "%20", "a%7Cb"])
async def test_bad_id_is_a_path_error(api, hook_id):
    answer = await api.get(f"/api/v2/hooks/{hook_id}")
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_uri")
    assert (
        "Path validation error: 'String does not match pattern: ^[A-Za-z0-9-]*$'" in answer.json()["message"]
    )


async def test_list_is_filtered_paged_and_narrowed_as_the_sdks_ask(api, create_hook):
    a = await create_hook(name="a", enabled=True)
    b = await create_hook(name="b")
    c = await create_hook(name="c", triggerId="pre-user-registration", enabled=True)

    async def names(query: str) -> list[str]:
        answer = await api.get(f"/api/v2/hooks?{query}")
        assert answer.status_code == 200, answer.text
        return [hook["name"] for hook in answer.json()]

    assert (await api.get("/api/v2/hooks")).json() == [a, b, c]
    assert await names("include_fields=true&include_totals=false&enabled=true") == ["a", "c"]
    assert await names("enabled=false") == ["b"]
    assert await names("triggerId=post-user-registration") == ["a", "b"]
    assert await names("triggerId=post-user-registration&enabled=true") == ["a"]
    assert await names("page=1&per_page=2") == ["c"]
    assert await names("per_page=0") == []
    totals = (await api.get("/api/v2/hooks?page=0&per_page=2&include_totals=true")).json()
    assert totals == {"total": 3, "start": 0, "limit": 2, "hooks": [a, b]}
    recorded = await api.get("/api/v2/hooks?fields=id&include_fields=true&include_totals=true&per_page=50")
    assert recorded.json() == {
        "total": 3,
        "start": 0,
        "limit": 50,
        "hooks": [{"id": hook["id"]} for hook in (a, b, c)],
    }
    assert (await api.get("/api/v2/hooks?fields=script,id&include_fields=false&per_page=1")).json() == [
        {key: value for key, value in a.items() if key not in {"script", "id"}}
    ]
    assert (await api.get(f"/api/v2/hooks/{a['id']}?fields=id,name")).json() == {"id": a["id"], "name": "a"}


@pytest.mark.parametrize(
    "query",
    [
        "page=-1",
        "per_page=101",
        "per_page=x",
        "enabled=maybe",
        "triggerId=unknown",
        "fields=id,secret",
        "fields=",
    ],
)
async def test_bad_queries_are_refused(api, query):
    answer = await api.get(f"/api/v2/hooks?{query}")
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_query_string")
    assert answer.json()["message"].startswith("Query validation error: ")


@pytest.mark.parametrize(
    ("method", "suffix", "scope"),
    [
        ("GET", "", "read:hooks"),
        ("POST", "", "create:hooks"),
        ("GET", "/{id}", "read:hooks"),
        ("PATCH", "/{id}", "update:hooks"),
        ("DELETE", "/{id}", "delete:hooks"),
        ("GET", "/{id}/secrets", "read:hooks"),
        ("POST", "/{id}/secrets", "create:hooks,update:hooks"),
        ("PATCH", "/{id}/secrets", "create:hooks,update:hooks"),
        ("DELETE", "/{id}/secrets", "delete:hooks"),
    ],
)
async def test_every_endpoint_asks_for_its_scope(world, create_hook, method, suffix, scope):
    hook = await create_hook()
    path = f"/api/v2/hooks{suffix.format(id=hook['id'])}"
    async with await world.client("read:logs") as api:
        answer = await api.request(method, path, json=["A"] if method == "DELETE" else {})
        assert (answer.status_code, answer.json()) == (
            403,
            {
                "statusCode": 403,
                "error": "Forbidden",
                "message": f"Insufficient scope, expected any of: {scope}",
                "errorCode": "insufficient_scope",
            },
        )
        del api.headers["Authorization"]
        assert (await api.request(method, path)).status_code == 401


async def test_another_tenants_hook_is_not_found(world, create_hook):
    hook = await create_hook(secrets={"KEY": "value"})
    async with await world.client(tenant=world.other) as other:
        path = f"/api/v2/hooks/{hook['id']}"
        answers = [
            await other.get(path),
            await other.patch(path, json={"name": "stolen"}),
            await other.patch(path, json={"script": SCRIPT}),
            await other.delete(path),
            await other.get(f"{path}/secrets"),
            await other.post(f"{path}/secrets", json={"A": "b"}),
            await other.patch(f"{path}/secrets", json={"KEY": "b"}),
            await other.request("DELETE", f"{path}/secrets", json=["KEY"]),
            await other.get(f"/api/extensions/hooks/{hook['id']}/versions"),
            await other.get(f"/api/extensions/hooks/{hook['id']}/versions/1"),
        ]
        assert [answer.json() for answer in answers] == [MISSING] * len(answers)
        assert (await other.get("/api/v2/hooks")).json() == []


async def test_enabling_swaps_and_says_so(api, world, create_hook):
    first = await create_hook(name="first", enabled=True)
    elsewhere = await create_hook(name="elsewhere", enabled=True, triggerId="pre-user-registration")
    async with await world.client(tenant=world.other) as other:
        foreign = (await other.post("/api/v2/hooks", json={**NEW, "enabled": True})).json()
        created = await api.post("/api/v2/hooks", json={**NEW, "name": "second", "enabled": True})
        assert created.headers["Tenterhook-Disabled"] == first["id"]
        assert (await sapi(world))[-1]["hook"]["disabled"] == {"id": first["id"], "name": "first"}
        swapped = await api.patch(f"/api/v2/hooks/{first['id']}", json={"enabled": True})
        assert swapped.headers["Tenterhook-Disabled"] == created.json()["id"]
        again = await api.patch(f"/api/v2/hooks/{first['id']}", json={"enabled": True})
        assert "Tenterhook-Disabled" not in again.headers
        enabled = (await api.get("/api/v2/hooks?enabled=true")).json()
        assert [hook["id"] for hook in enabled] == [first["id"], elsewhere["id"]]
        assert (await other.get("/api/v2/hooks?enabled=true")).json() == [foreign]


async def test_enabling_at_once_leaves_one_enabled_and_fails_nobody(api, create_hook):
    hooks = [await create_hook(name=f"hook {number}") for number in range(6)]
    answers = await asyncio.gather(
        *(api.patch(f"/api/v2/hooks/{hook['id']}", json={"enabled": True}) for hook in hooks),
        *(api.post("/api/v2/hooks", json={**NEW, "name": f"new {n}", "enabled": True}) for n in range(4)),
    )
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len((await api.get("/api/v2/hooks?enabled=true")).json()) == 1


async def test_stale_if_match_is_412_and_changes_nothing(api, create_hook):
    hook = await create_hook()
    path = f"/api/v2/hooks/{hook['id']}"
    tag = (await api.get(path)).headers["ETag"]
    assert tag.startswith('"')
    fresh = await api.patch(path, json={"script": "// second"}, headers={"If-Match": f'"other", {tag}'})
    assert fresh.status_code == 200
    assert fresh.headers["ETag"] != tag
    for stale in (tag, f"W/{fresh.headers['ETag']}", '""'):
        answer = await api.patch(path, json={"script": "// third"}, headers={"If-Match": stale})
        assert answer.status_code == 412
        assert answer.json()["error"] == "Precondition Failed"
        assert answer.json()["errorCode"] == "precondition_failed"
    assert (await api.get(path)).json()["script"] == "// second"
    assert (await api.patch(path, json={"name": "x"}, headers={"If-Match": "*"})).status_code == 200


async def test_etag_changes_with_every_visible_change(api, create_hook):
    hook = await create_hook(enabled=True)
    path = f"/api/v2/hooks/{hook['id']}"
    tags = [(await api.get(path)).headers["ETag"]]
    for change in (
        {"name": "b"},
        {"script": "// b"},
        {"dependencies": {"lodash": "4.17.21"}},
        {"enabled": False},
    ):
        answer = await api.patch(path, json=change)
        assert answer.status_code == 200, answer.text
        assert (await api.get(path)).headers["ETag"] == answer.headers["ETag"]
        tags.append(answer.headers["ETag"])
    await api.patch(path, json={"enabled": True})
    before = (await api.get(path)).headers["ETag"]
    await create_hook(name="sibling", enabled=True)
    tags += [before, (await api.get(path)).headers["ETag"]]
    assert len(set(tags)) == len(tags) - 2  # disabled twice, enabled again: the same state, the same tag


async def test_of_two_changes_based_on_one_state_one_wins(api, create_hook):
    hook = await create_hook()
    path = f"/api/v2/hooks/{hook['id']}"
    tag = (await api.get(path)).headers["ETag"]
    answers = await asyncio.gather(
        *(api.patch(path, json={"script": f"// {number}"}, headers={"If-Match": tag}) for number in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert (await api.get(path)).json() == winner


async def test_changes_at_once_of_script_and_dependencies_are_both_kept(api, create_hook):
    hook = await create_hook()
    path = f"/api/v2/hooks/{hook['id']}"
    answers = await asyncio.gather(
        api.patch(path, json={"script": "require('lodash'); // changed"}),
        api.patch(path, json={"dependencies": {"lodash": "4.17.21"}}),
    )
    assert {answer.status_code for answer in answers} == {200}
    newest = (await api.get(f"/api/extensions/hooks/{hook['id']}/versions/3")).json()
    assert newest["script"] == "require('lodash'); // changed"
    assert newest["dependencies"] == {"lodash": "4.17.21"}
    # Resolved for what was stored, not for the half that one of the two had seen.
    assert [(module["name"], module["origin"]) for module in newest["modules"]] == [("lodash", "declared")]


async def test_script_that_does_not_compile_is_stored(api):
    script = "function (user, context, callback) {"
    created = await api.post("/api/v2/hooks", json={**NEW, "script": script})
    assert (created.status_code, created.json()["script"]) == (201, script)


async def test_log_has_who_changed_what_without_code_and_secrets(api, world, create_hook):
    hook = await create_hook(
        script="module.exports = 1; // xoxb-token", secrets={"KEY": "sesame-one"}, enabled=True
    )
    path = f"/api/v2/hooks/{hook['id']}"
    await api.patch(path, json={"script": "module.exports = 2; // xoxb-token"})
    await api.post(f"{path}/secrets", json={"MORE": "sesame-two"})
    await api.patch(f"{path}/secrets", json={"MORE": "sesame-three"})
    await api.request("DELETE", f"{path}/secrets", json=["MORE"])
    await api.delete(path)
    entries = await sapi(world)
    assert [entry["description"] for entry in entries] == [
        "Create a hook",
        "Update a hook",
        "Add hook secrets",
        "Update hook secrets",
        "Delete hook secrets",
        "Delete a hook",
    ]
    created, updated, added, *_rest = entries
    assert created["request"]["body"]["secrets"] == {"KEY": "*****"}
    assert created["request"]["method"] == "post"
    assert created["response"]["statusCode"] == 201
    assert created["response"]["body"]["id"] == hook["id"]
    assert updated["hook"]["version"] == 2
    assert added["request"]["body"] == {"MORE": "*****"}
    written = json.dumps(entries)
    assert "sesame" not in written
    assert "xoxb" not in written
