"""Asking the hook before registration, with real Node processes."""

from __future__ import annotations

import json

import pytest

from tenterhook.hooks import (
    PRE_USER_REGISTRATION,
    MetadataAdditions,
    RegistrationDeniedError,
    ask_before_registration,
    hook_before_registration,
    starter_code,
)

EVENT = json.loads(PRE_USER_REGISTRATION.runner_body)


@pytest.fixture
def ask(world, invoker, create_hook):
    async def ask(script: str | None, *, enabled: bool = True) -> MetadataAdditions:
        if script is not None:
            await create_hook(triggerId="pre-user-registration", script=script, enabled=enabled)
        return await ask_enabled(world, invoker)

    return ask


async def ask_enabled(world, invoker) -> MetadataAdditions:
    """Do as the registrar does."""
    async with world.database.reader() as reader:
        hook_id = await hook_before_registration(reader, world.acme.id)
    return MetadataAdditions() if hook_id is None else await ask_before_registration(invoker, hook_id, EVENT)


async def test_without_an_enabled_hook_nothing_changes(ask):
    assert await ask(None) == MetadataAdditions()
    assert await ask("throw new Error('never called')", enabled=False) == MetadataAdditions()


async def test_another_tenants_hook_is_not_asked(world, invoker):
    async with await world.client(tenant=world.other) as other:
        answer = await other.post(
            "/api/v2/hooks",
            json={
                "name": "refuses",
                "script": "module.exports = (user, context, cb) => cb(new Error('no'));",
                "triggerId": "pre-user-registration",
                "enabled": True,
            },
        )
        assert answer.status_code == 201
    added = await ask_enabled(world, invoker)
    assert added == MetadataAdditions()


async def test_metadata_of_the_answer_is_added(ask):
    added = await ask(
        "module.exports = (user, context, cb) => cb(null, { user: { user_metadata: { from: user.email }, "
        "app_metadata: { $bad: 1, plan: 'trial' }, email: 'x' } });"
    )
    assert added == MetadataAdditions(user_metadata={"from": "user1@foo.com"}, app_metadata={"plan": "trial"})


@pytest.mark.parametrize(
    "script", [starter_code(PRE_USER_REGISTRATION), "module.exports = (u, c, cb) => cb();"]
)
async def test_hook_without_an_opinion_adds_nothing(ask, script):
    assert await ask(script) == MetadataAdditions()


async def test_refusal_with_two_texts(ask):
    with pytest.raises(RegistrationDeniedError) as raised:
        await ask(
            "module.exports = (user, context, cb) => cb(new PreUserRegistrationError('for the log', 'for people'));"
        )
    assert (raised.value.message, raised.value.friendly_message) == ("for the log", "for people")


@pytest.mark.parametrize(
    "script",
    [
        "module.exports = (user, context, cb) => cb(new Error('inside'));",
        "module.exports = (user, context, cb) => cb('inside');",
        "module.exports = () => { throw new Error('inside'); };",
        "module.exports = async () => { throw new Error('inside'); };",
        "module.exports = () => {};",
        "module.exports = 'no function';",
        "function (",
        "require('no-such-module');",
        "module.exports = () => process.exit(0);",
    ],
)
async def test_whatever_goes_wrong_refuses_without_showing_the_inside(ask, script):
    with pytest.raises(RegistrationDeniedError) as raised:
        await ask(script)
    assert raised.value.message == "The registration was refused."
    assert raised.value.log_text != raised.value.message
    assert "inside" not in f"{raised.value.message}{raised.value.friendly_message}{raised.value.details}"
