"""/api/v2/hooks/{id}/secrets: written, never read back, sealed where they lie."""

from __future__ import annotations

import pytest

from tenterhook.database import SealedValueError, Vault
from tenterhook.hooks import load

SHOWN = "_VALUE_NOT_SHOWN_"


@pytest.fixture
async def hook(create_hook):
    return await create_hook(secrets={"KEY": "first value"})


@pytest.fixture
def path(hook):
    return f"/api/v2/hooks/{hook['id']}/secrets"


@pytest.fixture
def values_of(world, hook):
    async def values() -> dict[str, str]:
        async with world.database.reader() as reader:
            loaded = await load(reader, hook["id"], world.vault)
        return {name: value.get_secret_value() for name, value in loaded.secrets.items()}

    return values


async def test_names_are_shown_and_values_are_not(api, create_hook, path):
    assert (await api.get(path)).json() == {"KEY": SHOWN}
    bare = await create_hook(name="bare")
    answer = await api.get(f"/api/v2/hooks/{bare['id']}/secrets")
    assert (answer.status_code, answer.json()) == (200, {})


async def test_secrets_are_added_changed_and_deleted(api, path, values_of):
    added = await api.post(path, json={"B": "b", "A": "a"})
    assert (added.status_code, added.json()) == (201, {})
    changed = await api.patch(path, json={"KEY": "second value ü"})
    assert (changed.status_code, changed.json()) == (201, {})
    assert await values_of() == {"A": "a", "B": "b", "KEY": "second value ü"}
    deleted = await api.request("DELETE", path, json=["A", "B", "NOT_THERE"])
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await api.get(path)).json() == {"KEY": SHOWN}


async def test_secrets_do_not_make_a_version_or_change_the_tag(api, hook, path):
    before = (await api.get(f"/api/v2/hooks/{hook['id']}")).headers
    await api.post(path, json={"B": "b"})
    after = (await api.get(f"/api/v2/hooks/{hook['id']}")).headers
    assert (after["ETag"], after["Tenterhook-Version"]) == (before["ETag"], "1")


async def test_adding_what_is_there_is_a_conflict_and_adds_nothing(api, path, values_of):
    answer = await api.post(path, json={"NEW": "x", "KEY": "y"})
    assert (answer.status_code, answer.json()) == (
        409,
        {
            "statusCode": 409,
            "error": "Conflict",
            "message": "The hook has a secret named 'KEY' already; change it with PATCH.",
            "errorCode": "hook_secret_exists",
        },
    )
    assert await values_of() == {"KEY": "first value"}


async def test_changing_what_is_not_there_is_not_found_and_changes_nothing(api, path, values_of):
    answer = await api.patch(path, json={"KEY": "x", "NEW": "y"})
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "hook_secret_not_found")
    assert await values_of() == {"KEY": "first value"}


async def test_placeholder_keeps_the_value_on_change_and_is_refused_on_addition(api, path, values_of):
    await api.post(path, json={"OTHER": "other"})
    assert (await api.patch(path, json={"KEY": SHOWN, "OTHER": "changed"})).status_code == 201
    assert await values_of() == {"KEY": "first value", "OTHER": "changed"}
    refused = await api.post(path, json={"NEW": SHOWN})
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "invalid_body")
    assert "NEW" not in await values_of()


async def test_twenty_are_the_most(api, path, values_of):
    assert (await api.post(path, json={f"S{n}": "x" for n in range(19)})).status_code == 201
    refused = await api.post(path, json={"ONE_MORE": "x"})
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "invalid_body")
    assert len(await values_of()) == 20


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        ["KEY", "value"],
        {"KEY": 1},
        {"KEY": None},
        {"": "x"},
        {"A B": "x"},
        {"A.B": "x"},
        {"A\n": "x"},
        {"x" * 129: "x"},
        {"KEY": "x" * 8193},
        {"KEY": "a\u0000b"},
        {f"S{number}": "x" for number in range(21)},
    ],
)
async def test_bad_secrets_are_refused(api, path, values_of, method, body):
    answer = await api.request(method, path, json=body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_body"), answer.text
    assert await values_of() == {"KEY": "first value"}


@pytest.mark.parametrize("body", [[], {}, {"KEY": 1}, "KEY", [1], [None]])
async def test_bad_lists_of_names_are_refused(api, path, values_of, body):
    answer = await api.request("DELETE", path, json=body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_body")
    assert await values_of() == {"KEY": "first value"}


async def test_no_refusal_quotes_a_value(api, path):
    answers = [
        await api.post(path, json={"KEY": "sesame"}),
        await api.patch(path, json={"NEW": "sesame"}),
        await api.post(path, json={"A B": "sesame"}),
        await api.post(path, json={"A": ["sesame"]}),
        await api.post(path, json={"A": "sesame" * 2000}),
    ]
    assert [answer.status_code for answer in answers] == [409, 404, 400, 400, 400]
    assert "sesame" not in "".join(answer.text for answer in answers)


async def test_values_lie_sealed_and_open_only_for_their_hook_name_and_key(world, hook, create_hook):
    second = await create_hook(name="second", secrets={"KEY": "other value"})
    async with world.database.transaction() as transaction:
        sealed = await transaction.raw.fetchval(
            "SELECT sealed FROM hook_secrets WHERE hook_id = $1", hook["id"]
        )
        assert b"first value" not in sealed
        await transaction.raw.execute(
            "UPDATE hook_secrets SET sealed = $1 WHERE hook_id = $2", sealed, second["id"]
        )
    async with world.database.reader() as reader:
        assert (await load(reader, hook["id"], world.vault)).secrets[
            "KEY"
        ].get_secret_value() == "first value"
        with pytest.raises(SealedValueError):
            await load(reader, second["id"], world.vault)
        with pytest.raises(SealedValueError):
            await load(reader, hook["id"], Vault(b"w" * 32))
