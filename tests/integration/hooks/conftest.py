"""Two tenants on a real database, npm on the loopback registry, a real sandbox, and the API over all of it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tenterhook.api import create_app
from tenterhook.api.authorization import MANAGEMENT_SCOPES
from tenterhook.clock import SystemClock
from tenterhook.database import Database, Vault
from tenterhook.directory import AccessTokens, Tenant, Tenants, tenants
from tenterhook.hooks import HookEditor, HookInvoker
from tenterhook.ids import TenantId, new_client_id
from tenterhook.sandbox import SandboxPool
from tenterhook.sandbox.modules import ModuleStore
from tenterhook.settings import Settings
from tests.registry.fixture import npm_registry

__all__ = ["npm_registry"]

SECONDS = 3600


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """The parts, and two tenants to tell apart."""

    app: FastAPI
    settings: Settings
    database: Database
    vault: Vault
    modules: ModuleStore
    editor: HookEditor
    tokens: AccessTokens
    acme: Tenant
    other: Tenant
    signing: set[TenantId] = dataclasses.field(default_factory=set)
    """Tenants that have a signing key already."""

    async def client(self, *scopes: str, tenant: Tenant | None = None) -> httpx.AsyncClient:
        """Return a management client of a tenant (acme), with all scopes unless some are named."""
        tenant = tenant or self.acme
        if tenant.id not in self.signing:
            self.signing.add(tenant.id)
            await self.tokens.rotate(tenant)
        token = await self.tokens.mint(
            tenant,
            client_id=new_client_id(),
            audience=tenant.management_audience,
            scopes=scopes or MANAGEMENT_SCOPES,
            lifetime_seconds=SECONDS,
        )
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app),
            base_url=f"http://{tenant.domain}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=120,
        )


@pytest.fixture
def modules_folder() -> Iterator[Path]:
    """Return a folder that a hook's own uid can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="tenterhook-modules-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
async def world(database: Database, tmp_path, modules_folder, npm_registry, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))  # the developer's .npmrc is not the test's
    settings = Settings(data_dir=tmp_path / "data", max_script_bytes=10_000)
    clock, vault = SystemClock(), Vault(b"v" * 32)
    modules = ModuleStore(folder=modules_folder, registry=npm_registry.url)
    editor = HookEditor(
        database=database, modules=modules, vault=vault, max_script_bytes=settings.max_script_bytes
    )
    async with database.transaction() as transaction:
        acme = await tenants.create(transaction, name="acme", domain="acme.localhost")
        other = await tenants.create(transaction, name="other", domain="other.localhost")
    app = create_app(settings)
    access_tokens = AccessTokens(database, vault, clock)
    app.state.database, app.state.vault, app.state.clock = database, vault, clock
    app.state.tenants, app.state.access_tokens = Tenants(database, clock), access_tokens
    app.state.hooks = editor
    return World(
        app=app,
        settings=settings,
        database=database,
        vault=vault,
        modules=modules,
        editor=editor,
        tokens=access_tokens,
        acme=acme,
        other=other,
    )


@pytest.fixture
async def api(world: World):
    """The management client of acme with every scope."""
    async with await world.client() as client:
        yield client


@pytest.fixture
async def invoker(world: World, modules_folder):
    """Real Node processes."""
    async with SandboxPool.from_settings(world.settings, readable_dirs=(modules_folder,)) as pool:
        invoker = HookInvoker(
            pool=pool,
            modules=world.modules,
            database=world.database,
            vault=world.vault,
            settings=world.settings,
        )
        world.app.state.invoker = invoker
        yield invoker
        await invoker.close()


CreateHook = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def create_hook(api: httpx.AsyncClient) -> CreateHook:
    """Create a hook through the API and return it."""

    async def create(**properties: Any) -> dict[str, Any]:
        answer = await api.post(
            "/api/v2/hooks",
            json={
                "name": "first",
                "script": "module.exports = (user, context, cb) => cb();",
                "triggerId": "post-user-registration",
                **properties,
            },
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    return create
