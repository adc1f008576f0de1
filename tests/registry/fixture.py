"""The fixture ``npm_registry``: a loopback npm registry of its own for each test (see ``server.py``)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.registry.server import NpmRegistry, running


@pytest.fixture
def npm_registry() -> Iterator[NpmRegistry]:
    """Serve the real archives on loopback; ``ModuleStore(registry=npm_registry.url)`` installs from it."""
    with running() as registry:
        yield registry
