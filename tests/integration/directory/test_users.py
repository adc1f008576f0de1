"""Users on the real database: uniqueness, erasure, and that an error of the database never carries the hash."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from tenterhook.database import Database
from tenterhook.directory import (
    DirectoryWriteError,
    NewUser,
    UnknownConnectionError,
    UnknownUserError,
    UserExistsError,
    connections,
    users,
)
from tenterhook.ids import ConnectionId, UserId, new_connection_id
from tests.factories import make_client, make_connection, make_tenant

HASH = "$argon2id$marker-of-this-test"


@pytest.fixture
async def connection(database: Database):
    tenant = await make_tenant(database)
    return await make_connection(database, tenant.id)


async def insert(database: Database, connection_id: ConnectionId, **fields):
    async with database.transaction() as transaction:
        return await users.insert(transaction, NewUser(connection_id=connection_id, **fields), HASH)


async def test_an_inserted_user_reads_back_the_same(database: Database, connection) -> None:
    metadata = {"plan": {"a": [1, None, "ü"]}}
    user = await insert(database, connection.id, email="a@b.example", user_metadata=metadata, blocked=True)
    assert user.tenant_id == connection.tenant_id
    async with database.reader() as reader:
        found = await users.get(reader, connection.tenant_id, user.id)
        assert found.user == user
        assert found.connection_name == connection.name
        assert await users.password_of(reader, user.id) == HASH
        assert await users.exists(reader, user.id)
        assert not await users.exists(reader, "nobody")


async def test_of_concurrent_inserts_one_wins_in_each_connection(database: Database, connection) -> None:
    other = await make_connection(database, connection.tenant_id, name="other")
    spellings = ["a@b.example", "A@B.example", "a@B.EXAMPLE", "A@b.example"]
    for place in (connection, other):
        results = await asyncio.gather(
            *(insert(database, place.id, email=spelling) for spelling in spellings), return_exceptions=True
        )
        losers = [result for result in results if isinstance(result, UserExistsError)]
        assert [loser.field for loser in losers] == ["email"] * 3


async def test_the_field_that_clashes_is_named(database: Database, connection) -> None:
    user = await insert(database, connection.id, email="a@b.example", username="ada")
    with pytest.raises(UserExistsError) as caught:
        await insert(database, connection.id, email="c@d.example", username="ADA")
    assert caught.value.field == "username"
    with pytest.raises(UserExistsError) as caught:
        await insert(database, connection.id, id=user.id, email="e@f.example")
    assert caught.value.field == "user_id"


async def test_users_without_address_or_name_do_not_clash(database: Database, connection) -> None:
    for _ in range(2):
        await insert(database, connection.id, phone_number="+491234")


async def test_an_unknown_connection_is_refused(database: Database) -> None:
    with pytest.raises(UnknownConnectionError):
        await insert(database, new_connection_id(), email="a@b.example")


async def test_a_refusal_by_the_database_does_not_quote_the_hash(database: Database, connection) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("ALTER TABLE user_passwords ADD CHECK (length(hash) < 5)")
    with pytest.raises(DirectoryWriteError) as caught:
        await insert(database, connection.id, email="a@b.example")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.details)
    assert HASH not in shown


async def test_removing_a_user_removes_the_password_once(database: Database, connection) -> None:
    user = await insert(database, connection.id, email="a@b.example")
    async with database.transaction() as transaction:
        assert await users.remove(transaction, connection.tenant_id, f"auth0|{user.id}")
        assert not await users.remove(transaction, connection.tenant_id, user.id)
        assert await users.password_of(transaction, user.id) is None
        with pytest.raises(UnknownUserError):
            await users.get(transaction, connection.tenant_id, user.id)


async def test_a_rolled_back_transaction_leaves_no_user(database: Database, connection) -> None:
    user_id = UserId("f" * 24)

    async def register_and_fail() -> None:
        async with database.transaction() as transaction:
            await users.insert(transaction, NewUser(connection_id=connection.id, id=user_id), HASH)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await register_and_fail()
    async with database.reader() as reader:
        assert not await users.exists(reader, user_id)


async def test_a_sign_up_target_needs_client_and_connection_of_one_tenant(
    database: Database, connection
) -> None:
    tenant = await make_tenant(database)
    client, _ = await make_client(database, tenant)
    await make_connection(database, tenant.id, options={"passwordPolicy": "low"})
    async with database.transaction() as transaction:
        own = await connections.get_by_name(transaction, tenant.id, connection.name)
        await connections.enable_client(transaction, own.id, client.client_id)
        await connections.enable_client(transaction, own.id, client.client_id)
        target = await connections.sign_up_target(transaction, tenant.id, client.client_id, own.name)
    assert target.connection == own
    assert target.connection.options == {"passwordPolicy": "low"}
    assert target.client == client
