"""A store that installs from the loopback registry, and real Node to load what it installed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tenterhook.sandbox.modules import InstalledSet, ModuleStore
from tenterhook.sandbox.modules.npm import NODE
from tests.registry.fixture import npm_registry

__all__ = ["npm_registry"]

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


class FixedClock:
    """A clock whose days stand still; elapsed seconds are the test's."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic_seconds(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(autouse=True)
def _no_npmrc_of_the_developer(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture
def make_store(tmp_path, npm_registry, clock):
    """Make stores that share one folder and registry unless told otherwise."""

    def make(**changes) -> ModuleStore:
        return ModuleStore(
            **{"folder": tmp_path / "modules", "registry": npm_registry.url, "clock": clock, **changes}
        )

    return make


@pytest.fixture
def store(make_store) -> ModuleStore:
    return make_store()


async def run_node(*arguments: str) -> tuple[int, str]:
    """Run JavaScript in plain Node, outside any sandbox; return status and output."""
    process = await asyncio.create_subprocess_exec(
        NODE, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _none = await process.communicate()
    return process.returncode, output.decode().strip()


async def load(installed: InstalledSet, specifier: str, subpath: str = "", show: str = "typeof m"):
    """Load a module as the sandbox does, by its name from the set's folder; return status and output."""
    return await run_node(
        "-e",
        f"const m = require('module').createRequire(process.argv[1] + '/')(process.argv[2]); console.log({show})",
        str(installed.directory),
        installed.require_names[specifier] + subpath,
    )
