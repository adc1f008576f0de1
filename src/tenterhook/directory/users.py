"""Users: who registered in which connection.

E-mail addresses and usernames are unique in their connection whatever their case: their *keys* (NFKC, case-folded)
carry the unique indexes, so that of two sign-ups at once one fails, however they interleave. Password hashes lie in a
table of their own, which only ``password_of`` reads: no value here can carry one along.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import ColumnElement, Row, and_, delete, func, select

from tenterhook.database import Reader, Transaction, jsonb_text
from tenterhook.directory.errors import (
    DirectoryWriteError,
    UnknownConnectionError,
    UnknownUserError,
    UserExistsError,
)
from tenterhook.directory.tables import connections, user_passwords, users
from tenterhook.ids import USER_ID_PREFIX, ConnectionId, TenantId, UserId, new_user_id

SEARCHABLE = ("email", "username", "user_id", "name", "nickname", "given_name", "family_name", "phone_number")
"""Fields that ``list_of_tenant`` can filter by."""
SORTABLE = ("created_at", "updated_at", "email", "username", "name")
"""Fields that ``list_of_tenant`` can sort by."""


@dataclass(frozen=True, kw_only=True)
class NewUser:
    """A user about to be; its tenant is the connection's."""

    connection_id: ConnectionId
    id: UserId | None = None
    """None: a new id is made."""
    email: str | None = None
    email_verified: bool = False
    username: str | None = None
    phone_number: str | None = None
    phone_verified: bool = False
    given_name: str | None = None
    family_name: str | None = None
    name: str | None = None
    nickname: str | None = None
    picture: str | None = None
    blocked: bool = False
    user_metadata: Mapping[str, Any] = field(default_factory=dict)
    app_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class User:
    """A registered user."""

    id: UserId
    """Bare: 24 hexadecimal digits, unless the management API chose another; never with ``auth0|``."""
    tenant_id: TenantId
    connection_id: ConnectionId
    email: str | None
    email_verified: bool
    username: str | None
    phone_number: str | None
    phone_verified: bool
    given_name: str | None
    family_name: str | None
    name: str | None
    nickname: str | None
    picture: str | None
    blocked: bool
    user_metadata: Mapping[str, Any]
    app_metadata: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class UserInConnection:
    """A user and the name of the connection, as management clients are shown them together."""

    user: User
    connection_name: str


def identity_key(text: str) -> str:
    """Return the form in which two spellings of one e-mail address or username are the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def bare_id(user_id: str) -> UserId:
    """Return the id without ``auth0|``, which the management API's clients may or may not send."""
    return UserId(user_id.removeprefix(USER_ID_PREFIX))


_INSERT = """
WITH created AS (
    INSERT INTO users (id, tenant_id, connection_id, email, email_key, email_verified, username, username_key,
                       phone_number, phone_verified, given_name, family_name, name, nickname, picture, blocked,
                       user_metadata, app_metadata)
    SELECT $1, tenant_id, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17
    FROM connections WHERE id = $2
    RETURNING id, tenant_id, created_at, updated_at
), secured AS (
    INSERT INTO user_passwords (user_id, hash)
    SELECT id, $18::text FROM created WHERE $18::text IS NOT NULL
)
SELECT tenant_id, created_at, updated_at FROM created
"""
_UNIQUE = {
    "users_connection_id_email_key_idx": "email",
    "users_connection_id_username_key_idx": "username",
    "users_pkey": "user_id",
}


async def insert(transaction: Transaction, new_user: NewUser, password_hash: str | None) -> User:
    """Write a user and their password's hash (None: they have no password) in one statement.

    Raises:
        UserExistsError: e-mail address, username or id is taken; the transaction is then of no further use.
        UnknownConnectionError: the connection was deleted meanwhile.
        DirectoryWriteError: any other refusal by the database.
    """
    user_id = new_user.id or new_user_id()
    try:
        row = await transaction.raw.fetchrow(
            _INSERT,
            user_id,
            new_user.connection_id,
            new_user.email,
            identity_key(new_user.email) if new_user.email is not None else None,
            new_user.email_verified,
            new_user.username,
            identity_key(new_user.username) if new_user.username is not None else None,
            new_user.phone_number,
            new_user.phone_verified,
            new_user.given_name,
            new_user.family_name,
            new_user.name,
            new_user.nickname,
            new_user.picture,
            new_user.blocked,
            jsonb_text(new_user.user_metadata),
            jsonb_text(new_user.app_metadata),
            password_hash,
        )
    except asyncpg.UniqueViolationError as error:
        raise UserExistsError(field=_UNIQUE.get(error.constraint_name or "", "user_id")) from None
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        # Such an error quotes the failing row, and the hash is in it: it must not be chained.
        raise DirectoryWriteError(reason=type(error).__name__) from None
    if row is None:
        raise UnknownConnectionError
    return User(
        id=user_id,
        tenant_id=TenantId(row["tenant_id"]),
        connection_id=new_user.connection_id,
        email=new_user.email,
        email_verified=new_user.email_verified,
        username=new_user.username,
        phone_number=new_user.phone_number,
        phone_verified=new_user.phone_verified,
        given_name=new_user.given_name,
        family_name=new_user.family_name,
        name=new_user.name,
        nickname=new_user.nickname,
        picture=new_user.picture,
        blocked=new_user.blocked,
        user_metadata=new_user.user_metadata,
        app_metadata=new_user.app_metadata,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def exists(reader: Reader, user_id: str) -> bool:
    """Tell whether the user is still there; the worker asks before each attempt."""
    return await reader.raw.fetchval("SELECT 1 FROM users WHERE id = $1", user_id) is not None


async def get(reader: Reader, tenant_id: TenantId, user_id: str) -> UserInConnection:
    """Return the tenant's user of this id, with or without ``auth0|``, or raise ``UnknownUserError``."""
    row = await reader.one_or_none(
        _shown().where(users.c.tenant_id == tenant_id, users.c.id == bare_id(user_id))
    )
    if row is None:
        raise UnknownUserError
    return _in_connection(row)


async def list_by_email(reader: Reader, tenant_id: TenantId, email: str) -> list[UserInConnection]:
    """Return the tenant's users of this address, in every connection, whatever its case."""
    rows = await reader.all(
        _shown()
        .where(users.c.tenant_id == tenant_id, users.c.email_key == identity_key(email))
        .order_by(users.c.created_at, users.c.id)
    )
    return [_in_connection(row) for row in rows]


async def list_of_tenant(
    reader: Reader,
    tenant_id: TenantId,
    *,
    offset: int,
    limit: int,
    connection_name: str | None = None,
    equals: Sequence[tuple[str, str]] = (),
    sort: tuple[str, bool] = ("created_at", False),
) -> list[UserInConnection]:
    """Return one page of the tenant's users.

    ``equals`` narrows by ``SEARCHABLE`` fields, ``sort`` is one of ``SORTABLE`` and whether it descends.
    """
    name, descends = sort
    column = users.c[name]
    order = column.desc().nulls_last() if descends else column.asc().nulls_last()
    rows = await reader.all(
        _shown()
        .where(_matching(tenant_id, connection_name, equals))
        .order_by(order, users.c.id)
        .offset(offset)
        .limit(limit)
    )
    return [_in_connection(row) for row in rows]


async def count_of_tenant(
    reader: Reader,
    tenant_id: TenantId,
    *,
    connection_name: str | None = None,
    equals: Sequence[tuple[str, str]] = (),
) -> int:
    """Return how many users ``list_of_tenant`` would list in all."""
    statement = (
        select(func.count())
        .select_from(users.join(connections, connections.c.id == users.c.connection_id))
        .where(_matching(tenant_id, connection_name, equals))
    )
    row = await reader.one_or_none(statement)
    return 0 if row is None else int(row[0])


async def remove(transaction: Transaction, tenant_id: TenantId, user_id: str) -> bool:
    """Delete the user and their password; False when there was none."""
    result = await transaction.execute(
        delete(users).where(users.c.tenant_id == tenant_id, users.c.id == bare_id(user_id))
    )
    return result.rowcount == 1


async def password_of(reader: Reader, user_id: UserId) -> str | None:
    """Return the hash of the user's password, for ``PasswordHasher.verify`` alone; None when they have none."""
    row = await reader.one_or_none(select(user_passwords.c.hash).where(user_passwords.c.user_id == user_id))
    return None if row is None else str(row.hash)


def _shown() -> Any:
    joined = users.join(connections, connections.c.id == users.c.connection_id)
    return select(users, connections.c.name.label("connection_name")).select_from(joined)


def _matching(
    tenant_id: TenantId, connection_name: str | None, equals: Sequence[tuple[str, str]]
) -> ColumnElement[bool]:
    conditions = [users.c.tenant_id == tenant_id]
    if connection_name is not None:
        conditions.append(connections.c.name == connection_name)
    for name, value in equals:
        if name == "user_id":
            conditions.append(users.c.id == bare_id(value))
        elif name in {"email", "username"}:
            conditions.append(users.c[name + "_key"] == identity_key(value))
        else:
            conditions.append(users.c[name] == value)
    return and_(*conditions)


def _in_connection(row: Row[Any]) -> UserInConnection:
    user = User(
        id=UserId(row.id),
        tenant_id=TenantId(row.tenant_id),
        connection_id=ConnectionId(row.connection_id),
        email=row.email,
        email_verified=row.email_verified,
        username=row.username,
        phone_number=row.phone_number,
        phone_verified=row.phone_verified,
        given_name=row.given_name,
        family_name=row.family_name,
        name=row.name,
        nickname=row.nickname,
        picture=row.picture,
        blocked=row.blocked,
        user_metadata=row.user_metadata,
        app_metadata=row.app_metadata,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
    return UserInConnection(user=user, connection_name=row.connection_name)
