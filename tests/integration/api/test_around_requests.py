"""What holds for every request: shapes of errors, CORS, health, and the API's description."""

from __future__ import annotations

import pytest

from tests.factories import make_tenant

from .conftest import House

ORIGIN = "https://shop.example"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "auth0-client,content-type",
}


@pytest.mark.parametrize("path", ["/dbconnections/signup", "/dbconnections/change_password", "/oauth/token"])
async def test_a_preflight_is_answered(house: House, path) -> None:
    answer = await house.http.options(path, headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Headers"] == "auth0-client,content-type"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Origin" in answer.headers["Vary"]


async def test_answers_and_errors_carry_the_origin(house: House) -> None:
    headers = {"Origin": ORIGIN}
    ok = await house.http.post("/dbconnections/signup", json=house.sign_up_body(), headers=headers)
    refused = await house.http.post("/dbconnections/signup", json={}, headers=headers)
    absent = await house.http.get("/dbconnections/nothing", headers=headers)

    async def explode(plain: str) -> str:
        raise RuntimeError

    house.app.state.hasher.hash = explode
    body = house.sign_up_body(email="b@example.com")
    broken = await house.http.post("/dbconnections/signup", json=body, headers=headers)
    assert [answer.status_code for answer in (ok, refused, absent, broken)] == [200, 400, 404, 500]
    for answer in (ok, refused, absent, broken):
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_the_management_api_is_not_for_foreign_pages(house: House) -> None:
    answer = await house.http.options("/api/v2/users", headers=PREFLIGHT)
    assert "Access-Control-Allow-Origin" not in answer.headers
    answer = await house.http.get("/api/v2/users", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "keys"),
    [
        ("GET", "/nothing", 404, {"statusCode", "error", "message", "errorCode"}),
        ("GET", "/api/v2/nothing", 404, {"statusCode", "error", "message", "errorCode"}),
        ("PUT", "/api/v2/users", 405, {"statusCode", "error", "message", "errorCode"}),
        ("GET", "/dbconnections/signup", 405, {"name", "code", "description", "statusCode"}),
        ("GET", "/oauth/token", 405, {"error", "error_description"}),
    ],
)
async def test_what_no_route_takes_has_its_familys_shape(house: House, method, path, status, keys) -> None:
    answer = await house.http.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == keys


async def test_an_unknown_host_is_404_among_several_tenants(house: House) -> None:
    await make_tenant(house.database)
    house.app.state.tenants._read_at = float("-inf")
    body = house.sign_up_body()
    answer = await house.http.post("/dbconnections/signup", json=body, headers={"Host": "unknown.localhost"})
    assert (answer.status_code, answer.json()["code"]) == (404, "inexistent_tenant")
    assert (await house.http.post("/dbconnections/signup", json=body)).status_code == 200


async def test_health_asks_nobody_and_ready_asks_the_database(house: House) -> None:
    answer = await house.http.get("/health", headers={"Host": "anything"})
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    answer = await house.http.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": {"database": "ok"}})

    async with house.database.transaction() as transaction:
        await transaction.raw.execute("UPDATE alembic_version SET version_num = '0000'")
    answer = await house.http.get("/ready")
    assert answer.status_code == 503
    assert "tenterhook migrate" in answer.json()["checks"]["database"]


async def test_a_failing_check_makes_unready(house: House) -> None:
    async def worker() -> str | None:
        return "the worker is not connected to the queue"

    house.app.state.readiness_checks["worker"] = worker
    answer = await house.http.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["worker"] == "the worker is not connected to the queue"


async def test_the_description_shows_bodies_and_scopes(house: House) -> None:
    description = (await house.http.get("/openapi.json")).json()
    sign_up = description["paths"]["/dbconnections/signup"]["post"]
    schema = sign_up["requestBody"]["content"]["application/json"]["schema"]
    assert {"client_id", "email", "password", "connection"} <= set(schema["required"])
    assert description["paths"]["/api/v2/users"]["get"]["security"] == [{"bearer": ["read:users"]}]
    assert description["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
