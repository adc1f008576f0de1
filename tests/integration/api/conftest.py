"""The product's API on a fresh database, with one tenant as ``init`` makes it; requests go in without a socket."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tenterhook.api.authorization import MANAGEMENT_SCOPES
from tenterhook.application import open_application
from tenterhook.database import Database
from tenterhook.directory import Connection, Tenant, connections, tenants
from tenterhook.flows import ProvisionedTenant, provision
from tenterhook.settings import Settings

PUBLIC_URL = "http://auth.localhost:8585"
HOST = "auth.localhost:8585"
PASSWORD = "Correct-Horse-7-Battery"


@dataclasses.dataclass(frozen=True, kw_only=True)
class House:
    """The API, its database and the tenant."""

    app: FastAPI
    database: Database
    tenant: Tenant
    connection: Connection
    made: ProvisionedTenant
    http: httpx.AsyncClient
    """No token; the tenant's Host."""

    def sign_up_body(self, **changes: Any) -> dict[str, Any]:
        """Return a good sign-up, changed; a value of ``...`` removes the property."""
        body = {
            "client_id": self.made.application_client_id,
            "connection": self.made.connection,
            "email": "ada@example.com",
            "password": PASSWORD,
            **changes,
        }
        return {name: value for name, value in body.items() if value is not ...}

    async def sign_up(self, **changes: Any) -> httpx.Response:
        """Sign up with a good body, changed."""
        return await self.http.post("/dbconnections/signup", json=self.sign_up_body(**changes))

    def token_body(self, **changes: Any) -> dict[str, Any]:
        """Return a good token request, changed; a value of ``...`` removes the property."""
        secret = self.made.management_client_secret
        assert secret is not None
        body = {
            "grant_type": "client_credentials",
            "client_id": self.made.management_client_id,
            "client_secret": secret.get_secret_value(),
            "audience": self.tenant.management_audience,
            **changes,
        }
        return {name: value for name, value in body.items() if value is not ...}

    async def bearer(self, **changes: Any) -> dict[str, str]:
        """Return the header of a fresh token."""
        answer = await self.http.post("/oauth/token", json=self.token_body(**changes))
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def set_options(self, **options: Any) -> None:
        """Replace the connection's options."""
        async with self.database.transaction() as transaction:
            await transaction.raw.execute(
                "UPDATE connections SET options = $1 WHERE id = $2", json.dumps(options), self.connection.id
            )

    async def rows(self, query: str) -> list[Any]:
        """Ask the database itself."""
        async with self.database.reader() as reader:
            return await reader.raw.fetch(query)


@pytest.fixture
async def house(database_url, tmp_path):
    """The API without a worker."""
    settings = Settings(data_dir=tmp_path / "data", database_url=database_url, hashing_threads=2)
    async with open_application(settings, api=True, worker=False) as application:
        database = application.database
        async with database.transaction() as transaction:
            made = await provision(
                transaction,
                name="acme",
                public_url=PUBLIC_URL,
                default_public_url=PUBLIC_URL,
                scopes=MANAGEMENT_SCOPES,
                rotate=False,
            )
        async with database.reader() as reader:
            tenant = await tenants.get_by_name(reader, "acme")
            connection = await connections.get_by_name(reader, tenant.id, made.connection)
        transport = httpx.ASGITransport(app=application.asgi)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", timeout=60) as http:
            yield House(
                app=application.asgi,
                database=database,
                tenant=tenant,
                connection=connection,
                made=made,
                http=http,
            )


@pytest.fixture
async def api(house: House):
    """A management client with every scope."""
    headers = await house.bearer()
    transport = httpx.ASGITransport(app=house.app)
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://{HOST}", headers=headers, timeout=60
    ) as client:
        yield client
