"""Versions of a hook's code, and the npm modules that are decided with each, from a real npm."""

from __future__ import annotations

import pytest

from tenterhook.hooks import HookVersionNotFoundError, load

BARE = "require('lodash'); module.exports = (user, context, cb) => cb();"


@pytest.fixture
def versions_of(api):
    async def versions(hook) -> list[dict]:
        answer = await api.get(f"/api/extensions/hooks/{hook['id']}/versions")
        assert answer.status_code == 200
        return answer.json()

    return versions


async def test_saves_of_code_make_versions_and_nothing_else_does(api, create_hook, versions_of):
    hook = await create_hook(script="// 1")
    path = f"/api/v2/hooks/{hook['id']}"
    for change in (
        {"script": "// 2"},
        {"name": "renamed"},
        {"enabled": True},
        {"enabled": False},
        {"dependencies": {}},
        {"script": "// 2"},
    ):
        assert (await api.patch(path, json=change)).status_code == 200
    found = await versions_of(hook)
    assert [(each["version"], each["newest"]) for each in found] == [
        (4, True),
        (3, False),
        (2, False),
        (1, False),
    ]
    assert all("script" not in each for each in found)
    scripts = [
        (await api.get(f"/api/extensions/hooks/{hook['id']}/versions/{n}")).json()["script"]
        for n in range(1, 5)
    ]
    assert scripts == ["// 1", "// 2", "// 2", "// 2"]
    page = (await api.get(f"/api/extensions/hooks/{hook['id']}/versions?page=1&per_page=3")).json()
    assert [each["version"] for each in page] == [1]


@pytest.mark.parametrize(("number", "status"), [("5", 404), ("0", 400), ("x", 400), (str(2**31), 400)])
async def test_absent_version_is_not_found(api, create_hook, number, status):
    hook = await create_hook()
    answer = await api.get(f"/api/extensions/hooks/{hook['id']}/versions/{number}")
    assert answer.status_code == status


async def test_load_takes_the_newest_version_or_the_one_asked_for(api, world, create_hook):
    hook = await create_hook(script="// 1")
    await api.patch(f"/api/v2/hooks/{hook['id']}", json={"script": "// 2"})
    async with world.database.reader() as reader:
        newest = await load(reader, hook["id"], world.vault)
        first = await load(reader, hook["id"], world.vault, version=1)
        with pytest.raises(HookVersionNotFoundError):
            await load(reader, hook["id"], world.vault, version=3)
    assert (newest.version, newest.script) == (2, "// 2")
    assert (first.version, first.script) == (1, "// 1")


async def test_modules_are_decided_at_save_and_reported(api, create_hook, versions_of):
    created = await api.post(
        "/api/v2/hooks",
        json={
            "name": "modules",
            "triggerId": "post-user-registration",
            "script": "require('lodash'); require('slack-notify@0.1.7');",
        },
    )
    assert created.headers["Tenterhook-Modules"] == "lodash@4.18.1 (inferred), slack-notify@0.1.7 (versioned)"
    assert created.json()["dependencies"] == {}
    hook = created.json()
    (version,) = await versions_of(hook)
    assert version["modules"] == [
        {
            "specifier": "lodash",
            "name": "lodash",
            "version": "4.18.1",
            "origin": "inferred",
            "requested": "",
        },
        {
            "specifier": "slack-notify@0.1.7",
            "name": "slack-notify",
            "version": "0.1.7",
            "origin": "versioned",
            "requested": "0.1.7",
        },
    ]
    assert version["module_error"] is None


async def test_next_version_keeps_the_modules_without_asking_the_registry(
    api, create_hook, npm_registry, versions_of
):
    hook = await create_hook(script=BARE)
    asked = len(npm_registry.requests)
    await api.patch(f"/api/v2/hooks/{hook['id']}", json={"script": BARE + " // changed"})
    newest, before = await versions_of(hook)
    assert newest["modules"] == before["modules"] != []
    assert len(npm_registry.requests) == asked


async def test_hooks_with_the_same_modules_share_a_set_and_keep_who_chose(api, create_hook, world):
    await create_hook(name="inferred", script=BARE)
    declared = await create_hook(name="declared", script=BARE, dependencies={"lodash": "4.18.1"})
    async with world.database.reader() as reader:
        assert await reader.raw.fetchval("SELECT count(*) FROM module_sets") == 1
        loaded = await load(reader, declared["id"], world.vault)
    assert [module.origin.value for module in loaded.module_set.modules] == ["declared"]
    assert loaded.module_set.key == loaded.module_set_key


@pytest.mark.parametrize(
    ("dependencies", "words"),
    [({"no-such-module": "1.0.0"}, "no-such-module"), ({"lodash": "99.0.0"}, "lodash has no version 99.0.0")],
)
async def test_declared_module_that_does_not_exist_is_refused(api, world, create_hook, dependencies, words):
    hook = await create_hook()
    new = {"name": "x", "script": "1", "triggerId": "post-user-registration", "dependencies": dependencies}
    for answer in (
        await api.post("/api/v2/hooks", json=new),
        await api.patch(f"/api/v2/hooks/{hook['id']}", json={"dependencies": dependencies}),
    ):
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_body")
        assert words in answer.json()["message"]
        assert answer.json()["message"].endswith("on property dependencies.")
    assert (await api.get("/api/v2/hooks")).json() == [hook]


@pytest.mark.parametrize(
    ("script", "dependencies", "code"),
    [
        ("require('no-such-module')", {}, "module_not_found"),
        ("require('lodash@99.0.0')", {"lodash": "4.17.21"}, "module_version_not_found"),
        ("require('./helper')", {}, "unusable_require"),
    ],
)
async def test_required_module_that_cannot_be_had_is_stored_with_the_reason(
    api, create_hook, versions_of, script, dependencies, code
):
    hook = await create_hook(script=script, dependencies=dependencies)
    (version,) = await versions_of(hook)
    assert version["modules"] == []
    assert (version["module_error"]["code"], version["module_error"]["passing"]) == (code, False)
    shown = await api.get(f"/api/v2/hooks/{hook['id']}")
    assert shown.headers["Tenterhook-Module-Error"].startswith(f"{code}: ")
    assert set(shown.json()) == {"id", "name", "script", "dependencies", "enabled", "triggerId"}
