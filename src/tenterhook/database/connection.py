"""One connection pool, two ways to speak, one real transaction.

``Database.transaction()`` opens a transaction on one asyncpg connection and hands out a ``Transaction``: its
``execute`` runs SQLAlchemy Core statements, its ``raw`` is the asyncpg connection itself, for the hot path (sign-up)
and for the queue engine. Both speak inside the same transaction, because SQLAlchemy is told AUTOCOMMIT and so never
begins one of its own: seen otherwise, the raw connection is *not* in a transaction until SQLAlchemy's first
statement, and a job enqueued through it would be committed on its own.

Functions that write take the ``Transaction`` as their first argument; functions that only read take a ``Reader``,
which a ``Transaction`` also is. No transaction is open while user code runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from pydantic import SecretStr
from sqlalchemy import CursorResult, Executable, Row
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tenterhook.errors import ConfigurationError, TenterhookError

APPLICATION_NAME = "tenterhook"
IDLE_IN_TRANSACTION_LIMIT_MS = 60_000
"""A transaction left open stops vacuum for everybody (research/engine.md, pitfall 9)."""


class DatabaseUnavailableError(TenterhookError):
    """The database cannot be reached; nothing was changed. Try again shortly."""

    code = "database_unavailable"


UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,  # no room on its disk, no more connections
    asyncpg.ConnectionDoesNotExistError,
)
"""What a lost, starting, stopping or full database raises; a closed connection's InterfaceError counts as well."""


class Reader:
    """A connection to ask questions on; each statement sees what is committed."""

    def __init__(self, connection: AsyncConnection, raw: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection
        self.raw = raw

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run one SQLAlchemy Core statement."""
        return await self._connection.execute(statement, parameters)

    async def one_or_none(self, statement: Executable) -> Row[Any] | None:
        """Return the only row, or None."""
        return (await self._connection.execute(statement)).one_or_none()

    async def all(self, statement: Executable) -> Sequence[Row[Any]]:
        """Return every row."""
        return (await self._connection.execute(statement)).all()


class Transaction(Reader):
    """A connection inside a transaction: what is written through it happens wholly or not at all."""


class Database:
    """The pool of connections to one PostgreSQL database."""

    def __init__(self, url: SecretStr, *, pool_size: int) -> None:
        """Prepare the pool; nothing is connected yet."""
        self.url = url
        self._engine: AsyncEngine = create_async_engine(
            _sqlalchemy_url(url),
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            # The connection used last is the next one: few stay busy, with their plans and caches warm.
            pool_use_lifo=True,
            pool_timeout=30,
            pool_pre_ping=False,  # a lost connection is seen by the statement that needs it, and replaced
            hide_parameters=True,  # an exception must not carry a password hash or a secret
            connect_args={
                "timeout": 10,
                "server_settings": {
                    "application_name": APPLICATION_NAME,
                    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_LIMIT_MS),
                    "jit": "off",
                },
            },
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """Borrow a connection for reading."""
        async with self._borrow() as (connection, raw):
            yield Reader(connection, raw)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Borrow a connection inside a transaction: committed at the end, rolled back by an exception."""
        async with self._borrow() as (connection, raw), raw.transaction():
            yield Transaction(connection, raw)

    @asynccontextmanager
    async def _borrow(self) -> AsyncIterator[tuple[AsyncConnection, asyncpg.Connection[asyncpg.Record]]]:
        raw: asyncpg.Connection[asyncpg.Record] | None = None
        try:
            async with self._engine.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                if raw is None:
                    raise DatabaseUnavailableError
                try:
                    yield connection, raw
                except asyncpg.InternalClientError:
                    # What the driver says when the server went away in the middle of an exchange.
                    raw.terminate()
                    raise
                finally:
                    # The pool learns of a death only from its own statements; ours bypass it.
                    if raw.is_closed():
                        await connection.invalidate()
        except UNAVAILABLE as error:
            raise DatabaseUnavailableError from error
        except asyncpg.InternalClientError as error:
            raise DatabaseUnavailableError from error
        except asyncpg.InterfaceError as error:
            if raw is not None and raw.is_closed():
                raise DatabaseUnavailableError from error
            raise
        except SQLAlchemyError as error:
            if _is_unavailability(error):
                raise DatabaseUnavailableError from error
            raise

    async def dedicated_connection(self, **server_settings: str) -> asyncpg.Connection[asyncpg.Record]:
        """Open a connection outside the pool, for LISTEN and the queue engine; the caller closes it."""
        return await asyncpg.connect(
            asyncpg_url(self.url),
            timeout=10,
            server_settings={
                "application_name": f"{APPLICATION_NAME}-queue",
                "jit": "off",
                **server_settings,
            },
        )


def _is_unavailability(error: SQLAlchemyError) -> bool:
    """Look through SQLAlchemy's wrapping: its adapter's error is caused by asyncpg's."""
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig.__cause__ if error.orig is not None else None
    return error.connection_invalidated or isinstance(cause, UNAVAILABLE)


def asyncpg_url(url: SecretStr) -> str:
    """Return the URL in the form asyncpg reads; ``?host=/socket/dir`` included."""
    plain = url.get_secret_value()
    return "postgresql://" + plain.split("://", 1)[1]


def _sqlalchemy_url(url: SecretStr) -> str:
    try:
        parsed = make_url(url.get_secret_value()).set(drivername="postgresql+asyncpg")
    except Exception as error:  # SQLAlchemy's and int()'s several errors all mean: not a URL
        # The text itself is withheld: it holds the password.
        raise ConfigurationError(
            "DATABASE_URL is not a URL; expected postgresql://user:password@host/name"
        ) from error
    return parsed.render_as_string(hide_password=False)
