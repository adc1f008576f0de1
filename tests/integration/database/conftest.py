"""A running embedded server for tests that only look at one, and a database to start one on."""

from __future__ import annotations

import asyncio
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

from tenterhook.database import embedded


@pytest.fixture(scope="session")
def made_data_dir(tmp_path_factory) -> Path:
    """A data folder whose database has been made, started and stopped, to be copied: making one takes longer."""
    folder = tmp_path_factory.mktemp("made") / "data"

    async def make() -> None:
        await embedded.stop(await embedded.start(folder))

    with ThreadPoolExecutor(1) as other_thread:  # this one has the tests' event loop
        other_thread.submit(asyncio.run, make()).result()
    return folder


@pytest.fixture
def data_dir(made_data_dir, tmp_path) -> Path:
    """A data folder of the test's own, as a server that was stopped has left it."""
    copy = tmp_path / "data"
    subprocess.run(
        ["cp", "-a", "--", made_data_dir, copy], check=True
    )  # -a: whom each file belongs to, as well
    return copy


@pytest_asyncio.fixture
async def server(data_dir):
    """An embedded server in a data folder of its own."""
    running = await embedded.start(data_dir)
    yield running
    await embedded.stop(running)
