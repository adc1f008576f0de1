"""POST /oauth/token, the tenant's public keys, and what the management API says to every kind of wrong token."""

from __future__ import annotations

import base64
import hmac
import json

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tenterhook.api.authorization import MANAGEMENT_SCOPES
from tenterhook.directory import tenants
from tests.factories import make_client, make_tenant

from .conftest import HOST, PUBLIC_URL, House


async def test_a_token_is_what_auth0s_is_and_verifies_with_the_published_keys(house: House) -> None:
    answer = await house.http.post("/oauth/token", json=house.token_body(organization=None, scope=None))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 86_400)
    assert body["scope"].split() == sorted(MANAGEMENT_SCOPES)
    assert answer.headers["Cache-Control"] == "no-store"

    keys = (await house.http.get("/.well-known/jwks.json")).json()
    assert not {"d", "p", "q"} & set(keys["keys"][0])
    token = jwt.decode(body["access_token"], KeySet.import_key_set(keys), ["RS256"])
    assert token.header["kid"] == keys["keys"][0]["kid"]
    client_id = house.made.management_client_id
    assert token.claims["iss"] == PUBLIC_URL + "/"
    assert token.claims["aud"] == PUBLIC_URL + "/api/v2/"
    assert token.claims["sub"] == client_id + "@clients"
    assert (token.claims["azp"], token.claims["gty"]) == (client_id, "client-credentials")
    assert token.claims["exp"] - token.claims["iat"] == 86_400


async def test_forms_and_basic_authentication_are_taken(house: House) -> None:
    assert (await house.http.post("/oauth/token", data=house.token_body())).status_code == 200
    body = house.token_body()
    basic = base64.b64encode(f"{body.pop('client_id')}:{body.pop('client_secret')}".encode()).decode()
    answer = await house.http.post("/oauth/token", data=body, headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200


async def test_fewer_scopes_can_be_asked_for(house: House) -> None:
    answer = await house.http.post("/oauth/token", json=house.token_body(scope="read:users read:hooks"))
    assert answer.json()["scope"] == "read:hooks read:users"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ...}, 400, "invalid_request"),
        ({"grant_type": 1}, 400, "invalid_request"),
        ({"client_id": ...}, 400, "invalid_request"),
        ({"client_id": "nobody"}, 401, "access_denied"),
        ({"client_secret": "wrong"}, 401, "access_denied"),
        ({"client_secret": ""}, 401, "access_denied"),
        ({"client_secret": ...}, 401, "access_denied"),
        ({"client_secret": None}, 401, "access_denied"),
        ({"audience": ...}, 400, "invalid_request"),
        ({"audience": "https://elsewhere.example/api/v2/"}, 403, "access_denied"),
        ({"audience": PUBLIC_URL + "/api/v2"}, 403, "access_denied"),
        ({"scope": "read:users read:everything"}, 403, "access_denied"),
    ],
)
async def test_a_refused_exchange_says_so_in_oauths_shape(house: House, changes, status, error) -> None:
    answer = await house.http.post("/oauth/token", json=house.token_body(**changes))
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.json()["error"] == error


async def test_wrong_json_and_wrong_basic_are_refused(house: House) -> None:
    answer = await house.http.post("/oauth/token", content=b"{")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    for text in ("%%%", base64.b64encode(b"no colon").decode(), base64.b64encode(b"\xff:\xff").decode()):
        answer = await house.http.post(
            "/oauth/token", json=house.token_body(), headers={"Authorization": f"Basic {text}"}
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "access_denied")


async def test_clients_without_the_grant_type_or_a_grant_are_refused(house: House) -> None:
    no_type, secret = await make_client(house.database, house.tenant, scopes=["read:users"])
    answer = await house.http.post(
        "/oauth/token",
        json=house.token_body(client_id=no_type.client_id, client_secret=secret.get_secret_value()),
    )
    assert (answer.status_code, answer.json()["error"]) == (403, "unauthorized_client")
    no_grant, secret = await make_client(house.database, house.tenant, grant_types=["client_credentials"])
    answer = await house.http.post(
        "/oauth/token",
        json=house.token_body(client_id=no_grant.client_id, client_secret=secret.get_secret_value()),
    )
    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")


async def test_exchanges_are_in_the_tenant_log_without_secret_and_token(house: House) -> None:
    token = (await house.http.post("/oauth/token", json=house.token_body())).json()["access_token"]
    await house.http.post("/oauth/token", json=house.token_body(client_secret="wrong-secret-marker"))
    rows = await house.rows("SELECT type, client_id, details::text FROM tenant_logs ORDER BY log_id")
    assert [row["type"] for row in rows] == ["seccft", "feccft"]
    secret = house.made.management_client_secret
    for forbidden in (token, secret.get_secret_value(), "wrong-secret-marker"):
        assert forbidden not in repr([dict(row) for row in rows])


async def test_discovery_names_the_public_url(house: House) -> None:
    body = (await house.http.get("/.well-known/openid-configuration")).json()
    assert body["issuer"] == PUBLIC_URL + "/"
    assert body["jwks_uri"] == PUBLIC_URL + "/.well-known/jwks.json"
    assert body["token_endpoint"] == PUBLIC_URL + "/oauth/token"


# What the management API says to a wrong token


async def get_users(house: House, authorization: str | None, **headers: str) -> httpx.Response:
    if authorization is not None:
        headers["Authorization"] = authorization
    return await house.http.get("/api/v2/users", headers=headers)


def claims_of(token: str) -> dict:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def encoded(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def hs256(kid: str, payload: str, secret: bytes) -> str:
    """By hand: the library refuses to make what an attacker would."""
    signed = f"{encoded({'alg': 'HS256', 'kid': kid})}.{payload}"
    digest = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer x", "Bearer a.b.c", "Bearer é"]
)
async def test_no_token_and_nonsense_are_401(house: House, authorization) -> None:
    answer = await get_users(house, None if authorization is None else authorization.encode("latin-1"))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    body = answer.json()
    assert (body["statusCode"], body["error"]) == (401, "Unauthorized")
    assert body["message"] in {"Missing authentication", "Invalid token"}


async def test_forged_tokens_are_401(house: House) -> None:
    good = (await house.bearer())["Authorization"].removeprefix("Bearer ")
    header, payload, signature = good.split(".")
    kid = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    claims = claims_of(good)
    stranger = RSAKey.generate_key(2048)
    public = (await house.http.get("/.well-known/jwks.json")).json()["keys"][0]
    public_pem = RSAKey.import_key(public).as_pem(private=False)
    forged = {
        "alg none": f"{encoded({'alg': 'none', 'kid': kid})}.{payload}.",
        "alg none with a signature": f"{encoded({'alg': 'none', 'kid': kid})}.{payload}.{signature}",
        "another key": jwt.encode({"alg": "RS256", "kid": kid}, claims, stranger),
        "an unknown key": jwt.encode({"alg": "RS256", "kid": "other"}, claims, stranger),
        "no key id": jwt.encode({"alg": "RS256"}, claims, stranger),
        "HS256 with the public key": hs256(kid, payload, public_pem),
        "changed claims": f"{header}.{encoded({**claims, 'scope': 'read:users', 'x': 1})}.{signature}",
        "too long": good + "A" * 20_000,
    }  # fmt: skip
    assert (await get_users(house, f"Bearer {good}")).status_code == 200
    for what, token in forged.items():
        answer = await get_users(house, f"Bearer {token}")
        assert (answer.status_code, answer.json()["message"]) == (401, "Invalid token"), what


async def test_an_expired_token_says_so(house: House) -> None:
    token = await house.app.state.access_tokens.mint(
        house.tenant,
        client_id=house.made.management_client_id,
        audience=house.tenant.management_audience,
        scopes=["read:users"],
        lifetime_seconds=-60,
    )
    answer = await get_users(house, f"Bearer {token}")
    assert answer.status_code == 401
    assert answer.json()["message"] == "Expired token received for JSON Web Token validation"


async def test_a_token_for_another_audience_is_401(house: House) -> None:
    token = await house.app.state.access_tokens.mint(
        house.tenant,
        client_id=house.made.management_client_id,
        audience="https://elsewhere.example/",
        scopes=["read:users"],
        lifetime_seconds=60,
    )
    answer = await get_users(house, f"Bearer {token}")
    assert answer.status_code == 401
    assert answer.json()["message"].startswith("Bad audience")


async def test_another_tenants_token_is_401_and_a_second_tenant_ends_the_default(house: House) -> None:
    headers = await house.bearer()
    other = await make_tenant(house.database, name="other")
    house.app.state.tenants._read_at = float("-inf")
    token = await house.app.state.access_tokens.mint(
        other,
        client_id=house.made.management_client_id,
        audience=house.tenant.management_audience,
        scopes=["read:users"],
        lifetime_seconds=60,
    )
    assert (await get_users(house, f"Bearer {token}")).status_code == 401
    assert (await get_users(house, headers["Authorization"])).status_code == 200
    assert (await get_users(house, headers["Authorization"], Host="other.localhost")).status_code == 401
    answer = await get_users(house, headers["Authorization"], Host="unknown.localhost")
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "inexistent_tenant")


async def test_an_unknown_host_is_the_only_tenants(house: House) -> None:
    headers = await house.bearer()
    for host in ("127.0.0.1:9", HOST.upper()):
        assert (await get_users(house, headers["Authorization"], Host=host)).status_code == 200


async def test_a_missing_scope_is_403_and_names_what_is_expected(house: House) -> None:
    headers = await house.bearer(scope="read:hooks")
    answer = await house.http.get("/api/v2/users", headers=headers)
    assert answer.status_code == 403
    assert answer.json() == {
        "statusCode": 403,
        "error": "Forbidden",
        "message": "Insufficient scope, expected any of: read:users",
        "errorCode": "insufficient_scope",
    }


async def test_a_rotated_key_signs_and_the_old_one_still_verifies(house: House) -> None:
    before = await house.bearer()
    kid = await house.app.state.access_tokens.rotate(house.tenant)
    after = await house.bearer()
    keys = (await house.http.get("/.well-known/jwks.json")).json()["keys"]
    assert keys[0]["kid"] == kid
    assert len(keys) == 2
    for headers in (before, after):
        assert (await get_users(house, headers["Authorization"])).status_code == 200


async def test_a_new_public_url_ends_the_old_tokens_and_keeps_the_grants(house: House) -> None:
    before = await house.bearer()
    async with house.database.transaction() as transaction:
        moved = await tenants.set_address(
            transaction, house.tenant, domain="new.localhost", public_url="https://new.localhost:8443/"
        )
    house.app.state.tenants._read_at = float("-inf")
    assert (await get_users(house, before["Authorization"])).json()["message"] == "Invalid token"
    after = await house.bearer(audience=moved.management_audience)
    assert moved.management_audience == "https://new.localhost:8443/api/v2/"
    assert (await get_users(house, after["Authorization"])).status_code == 200
