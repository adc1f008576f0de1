"""The product as its own processes on a database made for the occasion, and the ceiling beside it.

Everything lives in one temporary folder and ends with the block.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from tenterhook.application import initialize
from tenterhook.database import Database, embedded
from tenterhook.flows import ProvisionedTenant
from tenterhook.settings import Settings

HERE = Path(__file__).parent
_START_SECONDS, _STOP_SECONDS = 60.0, 40.0
_SETTLE_SECONDS = 120.0

NO_OP_HOOK = "module.exports = function (user, context, cb) { cb(); };\n"
SLEEPING_HOOK = "module.exports = function (user, context, cb) { setTimeout(cb, 2000); };\n"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A data folder with a running database and a tenant in it."""

    settings: Settings
    """They name the database, so that several processes may use it."""
    postmaster: int
    maintenance_url: SecretStr
    """The database server's superuser."""
    tenant: ProvisionedTenant


@asynccontextmanager
async def prepared() -> AsyncIterator[Prepared]:
    """Start an embedded database in a temporary folder and create the tenant."""
    with tempfile.TemporaryDirectory(prefix="tenterhook-bench-") as folder:
        data_dir = Path(folder) / "data"
        server = await embedded.start(data_dir)
        try:
            settings = Settings(data_dir=data_dir, database_url=server.url)
            yield Prepared(
                settings=settings,
                postmaster=server.pid,
                maintenance_url=server.maintenance_url,
                tenant=await initialize(settings),
            )
        finally:
            await embedded.stop(server)


@asynccontextmanager
async def program(
    *arguments: str, environment: dict[str, str], ready: str, log: Path | None = None
) -> AsyncIterator[tuple[int, str]]:
    """Run a program inside the block; yields its process id and the line that said it is ready.

    Its log is appended to ``log``: a terminal would slow it down.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TENTERHOOK_")}
    with Path(log or os.devnull).open("ab") as log_file:
        process = await asyncio.create_subprocess_exec(
            *arguments, env=inherited | environment, stdout=asyncio.subprocess.PIPE, stderr=log_file
        )
    try:
        if process.stdout is None:
            raise RuntimeError("The program's output is not ours.")
        async with asyncio.timeout(_START_SECONDS):
            while True:
                line = (await process.stdout.readline()).decode()
                if not line:
                    raise RuntimeError(f"{arguments} ended before it was ready.")
                if ready in line:
                    break
        yield process.pid, line.strip()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def ceiling() -> AsyncIterator[tuple[int, int]]:
    """Run the server that only hashes; yields its process id and its port."""
    async with program(sys.executable, str(HERE / "ceiling.py"), environment={}, ready="Listening on") as (
        pid,
        line,
    ):
        yield pid, int(line.rpartition(":")[2])


@dataclass(kw_only=True)
class Product:
    """API and worker, running."""

    api: int
    worker: int
    postmaster: int
    port: int
    client_id: str
    database: Database
    """The benchmark's own connections, for looking at the runs."""
    management: httpx.AsyncClient

    async def create_hook(self, name: str, script: str) -> str:
        """Create a hook, not enabled."""
        answer = await self.management.post(
            "/api/v2/hooks", json={"name": name, "script": script, "triggerId": "post-user-registration"}
        )
        answer.raise_for_status()
        return str(answer.json()["id"])

    async def enable(self, hook: str | None, all_hooks: list[str]) -> None:
        """Have this hook enabled and no other."""
        for each in all_hooks:
            answer = await self.management.patch(f"/api/v2/hooks/{each}", json={"enabled": each == hook})
            answer.raise_for_status()

    async def open_runs(self) -> int:
        """Return how many runs have not ended."""
        async with self.database.reader() as reader:
            return int(
                await reader.raw.fetchval("SELECT count(*) FROM runs WHERE state IN ('waiting', 'running')")
            )

    async def wait_until_settled(self) -> None:
        """Return when no run is open."""
        async with asyncio.timeout(_SETTLE_SECONDS):
            while await self.open_runs():
                await asyncio.sleep(0.2)


@asynccontextmanager
async def product(base: Prepared) -> AsyncIterator[Product]:
    """Run ``tenterhook api`` and ``tenterhook worker``."""
    url = base.settings.database_url
    if url is None or base.tenant.management_client_secret is None:
        raise RuntimeError("Prepared without a database or a client.")
    environment = {
        "DATABASE_URL": url.get_secret_value(),
        "TENTERHOOK_DATA_DIR": str(base.settings.data_dir),
        "TENTERHOOK_PORT": "0",
    }
    tenterhook = (sys.executable, "-m", "tenterhook")
    database = Database(url, pool_size=1)
    log = base.settings.data_dir / "bench.log"
    async with (
        program(*tenterhook, "worker", environment=environment, ready="Waiting", log=log) as (worker, _),
        program(*tenterhook, "api", environment=environment, ready="Listening on", log=log) as (api, line),
        httpx.AsyncClient(base_url=line.split()[-1], timeout=60) as management,
    ):
        answer = await management.post(
            "/oauth/token",
            json={
                "grant_type": "client_credentials",
                "client_id": base.tenant.management_client_id,
                "client_secret": base.tenant.management_client_secret.get_secret_value(),
                "audience": f"{base.tenant.public_url.rstrip('/')}/api/v2/",
            },
        )
        answer.raise_for_status()
        management.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        try:
            yield Product(
                api=api,
                worker=worker,
                postmaster=base.postmaster,
                port=int(line.rpartition(":")[2]),
                client_id=base.tenant.application_client_id,
                database=database,
                management=management,
            )
        finally:
            await database.close()


async def load(
    port: int,
    *,
    count: int,
    connections: int,
    client_id: str,
    prefix: str,
    gap_ms: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Run the load generator to its end and return what it printed; every answer must have been 200."""
    task = {
        "port": port,
        "count": count,
        "connections": connections,
        "client_id": client_id,
        "prefix": prefix,
        "gap_ms": gap_ms,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(HERE / "load.py"), json.dumps(task), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError("The load generator failed.")
    result: dict[str, Any] = json.loads(output)
    if result["statuses"] != {"200": count}:
        raise RuntimeError(f"Not every answer was 200: {result['statuses']}")
    return result
