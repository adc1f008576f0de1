"""A running embedded server for tests that only look at one."""

from __future__ import annotations

import pytest_asyncio

from tenterhook.database import embedded


@pytest_asyncio.fixture
async def server(tmp_path):
    """An embedded server in a new data folder."""
    running = await embedded.start(tmp_path / "data")
    yield running
    await embedded.stop(running)
