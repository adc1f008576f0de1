"""The application: everything is built here, once, from settings, and taken down in the opposite order.

    database (embedded, or DATABASE_URL) ─► schema, key ─► hashing, modules, sandbox ─► API and/or worker

``serve`` opens both, ``api`` and ``worker`` one each; any number of processes may run on one ``DATABASE_URL``. The
embedded database belongs to one process at a time.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI
from pydantic import SecretStr

from tenterhook.api.app import create_app
from tenterhook.api.authorization import MANAGEMENT_SCOPES
from tenterhook.clock import Clock, SystemClock
from tenterhook.database import (
    DEFAULT_KEY_FILE_NAME,
    Database,
    Vault,
    check_key,
    embedded,
    load_or_create_key,
    migrate,
    require_current_schema,
)
from tenterhook.directory import AccessTokens, PasswordHasher, Tenant, Tenants, tenants
from tenterhook.errors import ConfigurationError, TenterhookError
from tenterhook.flows import ProvisionedTenant, Registrar, provision
from tenterhook.hooks import HookEditor, HookInvoker
from tenterhook.hooks.hook_runs import HookRuns
from tenterhook.runs import RunSignals, Worker, WorkerLimits
from tenterhook.sandbox import SandboxPool, SandboxStatus
from tenterhook.sandbox.modules import ModuleStore
from tenterhook.settings import Settings

log = structlog.get_logger(__name__)

MODULES_FOLDER = "modules"
"""Where in the data folder npm modules are kept."""
DEFAULT_TENANT = "default"


@dataclass(kw_only=True)
class Application:
    """What runs: the API's ASGI application, the worker, or both."""

    asgi: FastAPI | None
    """None in a process that is only a worker."""
    worker: Worker | None
    """None in a process that is only an API."""
    database: Database
    run_signals: RunSignals
    """What happens to runs in this process, for who wants to watch."""
    ended: asyncio.Event
    """Set when a part ended that nobody asked to end: there is no going on."""
    sandbox: SandboxStatus
    """What protects hooks here; at worst they do not run."""


@asynccontextmanager
async def open_database(
    settings: Settings, *, create: bool, on_loss: Callable[[], None] = lambda: None
) -> AsyncIterator[Database]:
    """Open the database: the one of ``DATABASE_URL``, or the embedded one, started and owned by this process.

    The embedded one's schema is brought up to date; another one's only with ``create``. An embedded server that ends
    unasked is started again; ``on_loss`` is called when it cannot be had back under the same address.

    Raises:
        SchemaOutdatedError: the database of ``DATABASE_URL`` is behind; run ``tenterhook migrate``.
        ConfigurationError: the data folder is in use or unusable.
        DatabaseUnavailableError: the database of ``DATABASE_URL`` cannot be reached.
    """
    async with AsyncExitStack() as stack:
        url = settings.database_url
        if url is None:
            owner = _EmbeddedOwner(settings.data_dir, on_loss)
            url = await stack.enter_async_context(owner.running())
        async with _opened(url, settings, migrating=create or settings.database_url is None) as database:
            yield database


class _EmbeddedOwner:
    """Keeps the embedded server running for as long as this process wants it."""

    def __init__(self, data_dir: Path, on_loss: Callable[[], None]) -> None:
        self._data_dir = data_dir
        self._on_loss = on_loss
        self._server: embedded.EmbeddedServer | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SecretStr]:
        """Start the server and yield its URL; leaving the block stops it."""
        self._server = await embedded.start(self._data_dir)
        watching = asyncio.create_task(self._watch(self._server), name="embedded-database")
        try:
            yield self._server.url
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            if self._server is not None:
                await embedded.stop(self._server)

    async def _watch(self, server: embedded.EmbeddedServer) -> None:
        url = server.url
        while server.url == url:
            await embedded.wait_until_ended(server)
            log.error("embedded_database_ended", pid=server.pid)
            self._server = None
            try:
                await embedded.stop(server)  # what is left of it, and its lock
                self._server = server = await embedded.start(self._data_dir)
            except (TenterhookError, OSError) as error:
                log.critical("embedded_database_lost", error=str(error))
                break
            log.warning("embedded_database_restarted", pid=server.pid)
        self._on_loss()


@asynccontextmanager
async def join_database(settings: Settings, *, create: bool) -> AsyncIterator[Database]:
    """Open the database for a command beside ``serve``: the embedded one is joined when it runs, else started."""
    running = None if settings.database_url is not None else embedded.url_of_running(settings.data_dir)
    if running is not None:
        async with _opened(running, settings, migrating=create) as database:
            yield database
    else:
        async with open_database(settings, create=create) as database:
            yield database


@asynccontextmanager
async def _opened(url: SecretStr, settings: Settings, *, migrating: bool) -> AsyncIterator[Database]:
    if migrating:
        await migrate(url)
    database = Database(url, pool_size=settings.database_pool_size)
    try:
        await require_current_schema(database)
        yield database
    finally:
        await database.close()


async def open_vault(settings: Settings, database: Database) -> Vault:
    """Return the vault with this database's key; the embedded database's is made when it is missing.

    Raises:
        ConfigurationError: no key file, or one of another database.
    """
    file = settings.secrets_key_file or settings.data_dir / DEFAULT_KEY_FILE_NAME
    vault = Vault(load_or_create_key(file, create=settings.secrets_key_file is None))
    async with database.transaction() as transaction:
        await check_key(transaction, vault)
    return vault


OPEN_FILES = 65_536
"""Descriptors that a server wants: three for each Node process, one for each client and connection to the database."""


def _allow_open_files() -> None:
    """Raise this process's limit as far as the system lets it: distributions start it at 1,024, for select(2)'s sake."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@asynccontextmanager
async def open_application(settings: Settings, *, api: bool, worker: bool) -> AsyncIterator[Application]:
    """Build and start what the process is to be; leaving the block stops it in order.

    Raises:
        ConfigurationError: the operator must change something first; see ``open_database`` and ``open_vault``.
    """
    clock = SystemClock()
    _require_initialized(settings)
    _allow_open_files()
    async with AsyncExitStack() as stack:
        ended = asyncio.Event()
        database = await stack.enter_async_context(open_database(settings, create=False, on_loss=ended.set))
        vault = await open_vault(settings, database)
        modules_folder = settings.data_dir.absolute() / MODULES_FOLDER
        modules = _module_store(settings, modules_folder)
        await modules.clean()
        # Hooks see the sets, not the cache and the locks beside them.
        pool = await stack.enter_async_context(
            SandboxPool.from_settings(settings, readable_dirs=(modules_folder / "store",))
        )
        invoker = HookInvoker(pool=pool, modules=modules, database=database, vault=vault, settings=settings)
        stack.push_async_callback(invoker.close)
        application = Application(
            asgi=None,
            worker=None,
            database=database,
            run_signals=RunSignals(),
            ended=ended,
            sandbox=pool.status.sandbox,
        )
        if application.sandbox.unsandboxed:
            log.warning("hooks_run_unsandboxed")
        if worker:
            await stack.enter_async_context(
                _working(settings, application, HookRuns(invoker, vault, clock), pool)
            )
        if api:
            application.asgi = _api(
                settings=settings,
                application=application,
                invoker=invoker,
                modules=modules,
                vault=vault,
                clock=clock,
                stack=stack,
            )
        yield application


def _require_initialized(settings: Settings) -> None:
    """Refuse an empty data folder before anything is made in it: it is most likely a mistyped name."""
    if settings.database_url is None and not embedded.exists(settings.data_dir):
        folder = settings.data_dir.absolute()
        raise ConfigurationError(
            f"There is no database in {folder} yet. Run `tenterhook init --data {settings.data_dir}` first, or name "
            "another folder with --data."
        )


def _module_store(settings: Settings, folder: Path) -> ModuleStore:
    # Readable by the uids of hooks, which reach it through a mount; the data folder around it is closed.
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    return ModuleStore(
        folder=folder,
        minimum_age_days=settings.module_minimum_age_days,
        timeout_seconds=settings.module_install_timeout_seconds,
        max_set_bytes=settings.max_module_set_bytes,
    )


@asynccontextmanager
async def _working(
    settings: Settings, application: Application, hook_runs: HookRuns, pool: SandboxPool
) -> AsyncIterator[None]:
    """Run the worker inside the block; leaving it drains the worker."""
    limits = WorkerLimits(
        concurrency=settings.worker_concurrency,
        lease_seconds=settings.run_lease_seconds,
        rescue_interval_seconds=settings.rescue_interval_seconds,
        reconcile_interval_seconds=settings.reconcile_interval_seconds,
        dequeue_timeout_seconds=settings.dequeue_timeout_seconds,
        drain_timeout_seconds=settings.drain_timeout_seconds,
    )
    worker = Worker(
        application.database,
        {hook_runs.name: hook_runs},
        limits,
        application.run_signals,
        refusal=application.sandbox.refusal,
        unsandboxed=application.sandbox.unsandboxed,
    )
    application.worker = worker
    task = asyncio.create_task(worker.run(partial(pool.close, drain_seconds=0)), name="worker")
    # Set also by an orderly end; by then nobody looks any more.
    task.add_done_callback(lambda _task: application.ended.set())
    try:
        yield
    finally:
        worker.stop()
        await task


def _api(
    *,
    settings: Settings,
    application: Application,
    invoker: HookInvoker,
    modules: ModuleStore,
    vault: Vault,
    clock: Clock,
    stack: AsyncExitStack,
) -> FastAPI:
    database = application.database
    hasher = PasswordHasher(threads=settings.hashing_threads, line_length=settings.hashing_line_length)
    stack.callback(hasher.close)
    app = create_app(settings)
    state = app.state
    state.database = database
    state.clock = clock
    state.sandbox = application.sandbox
    state.tenants = Tenants(database, clock)
    state.access_tokens = AccessTokens(database, vault, clock)
    state.hasher = hasher
    state.invoker = invoker
    state.hooks = HookEditor(
        database=database, modules=modules, vault=vault, max_script_bytes=settings.max_script_bytes
    )
    state.registrar = Registrar(
        database=database,
        hasher=hasher,
        invoker=invoker,
        signals=application.run_signals,
        clock=clock,
        plain_password_to_hooks=settings.unsafe_plain_password_to_pre_user_registration,
    )
    worker = application.worker
    if worker is not None:

        async def worker_listens() -> str | None:
            # One that may run no hooks is no reason to turn sign-ups away: /health tells of it.
            return None if worker.listening or worker.refusal else "the worker is not connected to the queue"

        state.readiness_checks["worker"] = worker_listens
    return app


async def initialize(
    settings: Settings,
    *,
    tenant_name: str = DEFAULT_TENANT,
    public_url: str | None = None,
    rotate: bool = False,
) -> ProvisionedTenant:
    """Create what is missing: database, schema, key, and the tenant with its connection and clients.

    ``public_url`` given again changes the tenant's address; ``rotate`` makes a new management secret and voids the old.

    Raises:
        ConfigurationError: as ``open_application``.
    """
    async with join_database(settings, create=True) as database:
        await open_vault(settings, database)
        async with database.transaction() as transaction:
            return await provision(
                transaction,
                name=tenant_name,
                public_url=public_url,
                default_public_url=f"http://127.0.0.1:{settings.port}",
                scopes=MANAGEMENT_SCOPES,
                rotate=rotate,
            )


async def create_tenant(
    settings: Settings, *, name: str, domain: str, public_url: str | None = None
) -> ProvisionedTenant:
    """Create another tenant with what ``initialize`` gives one; raises ``TenantExistsError``."""
    async with join_database(settings, create=False) as database:
        await open_vault(settings, database)
        async with database.transaction() as transaction:
            tenant = await tenants.create(transaction, name=name, domain=domain, public_url=public_url)
            return await provision(
                transaction,
                name=tenant.name,
                public_url=None,
                default_public_url=tenant.public_url,
                scopes=MANAGEMENT_SCOPES,
                rotate=False,
            )


async def list_tenants(settings: Settings) -> list[Tenant]:
    """Return every tenant, the oldest first."""
    async with join_database(settings, create=False) as database, database.reader() as reader:
        return await tenants.list_all(reader)


async def migrate_database(settings: Settings) -> None:
    """Bring the database's schema to this release."""
    async with join_database(settings, create=True):
        pass


__all__ = [
    "Application",
    "ProvisionedTenant",
    "create_tenant",
    "initialize",
    "list_tenants",
    "migrate_database",
    "open_application",
]
