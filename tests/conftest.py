"""One real PostgreSQL for the whole session, and a fresh migrated database for each test that asks for one.

The server is the embedded one, started in a folder of the session's own. Migrating takes a second, cloning a migrated
template a tenth of that.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import uvloop
from pydantic import SecretStr

from tenterhook.database import Database, embedded, migrate


def pytest_asyncio_loop_factories(config, item):
    """Run tests on the loop that the product runs on: its transports are not asyncio's."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_xdist_auto_num_workers(config):
    """One process more than there are processors: at any time some test only waits for a process that it started."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(trylast=True)  # after pytest-randomly has put them into an order of its own
def pytest_collection_modifyitems(items):
    """Begin with those that asked for more time than the others have, so that nobody waits for them at the end."""
    items.sort(key=_own_timeout_seconds, reverse=True)


def _own_timeout_seconds(item) -> int:
    marker = item.get_closest_marker("timeout")
    return marker.args[0] if marker else 0


_TEMPLATE = "template_of_tests"
_NUMBERS = itertools.count()


class _Loop:
    """An event loop in a thread of its own, for what outlives the tests' loops."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(300)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def _with_database(url: SecretStr, name: str) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    return SecretStr(urlunsplit(parts._replace(path=f"/{name}", netloc=parts.netloc or "")))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory) -> Iterator[embedded.EmbeddedServer]:
    """The session's server, with a migrated template."""
    loop = _Loop()
    server = loop.run(embedded.start(tmp_path_factory.mktemp("postgres")))

    async def prepare() -> None:
        connection = await asyncpg.connect(server.maintenance_url.get_secret_value())
        await connection.execute(f"CREATE DATABASE {_TEMPLATE} OWNER tenterhook")
        await connection.close()
        await migrate(_with_database(server.url, _TEMPLATE))

    try:
        loop.run(prepare())
        yield server
    finally:
        loop.run(embedded.stop(server))
        loop.close()


@pytest.fixture
async def database_url(postgres: embedded.EmbeddedServer) -> AsyncIterator[SecretStr]:
    """A fresh migrated database's URL; the database is dropped afterwards."""
    name = f"test_{next(_NUMBERS)}"
    maintenance = await asyncpg.connect(postgres.maintenance_url.get_secret_value())
    try:
        await maintenance.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} OWNER tenterhook")
        yield _with_database(postgres.url, name)
        await maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await maintenance.close()


@pytest.fixture
async def database(database_url: SecretStr) -> AsyncIterator[Database]:
    """A fresh migrated database, opened."""
    opened = Database(database_url, pool_size=8)
    yield opened
    await opened.close()
