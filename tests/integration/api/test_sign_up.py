"""POST /dbconnections/signup: the answers of SPEC 5.1, and that a refusal writes nothing but its log."""

from __future__ import annotations

import asyncio
import io
import logging
import re

import pytest
import structlog

from .conftest import PASSWORD, House

SECRET = "S3cret-marker-of-this-test"


async def users_count(house: House) -> int:
    return (await house.rows("SELECT count(*) FROM users"))[0][0]


async def test_a_json_sign_up_answers_200_with_a_bare_id(house: House) -> None:
    answer = await house.sign_up(email="Ada@Example.com")
    assert answer.status_code == 200
    body = answer.json()
    assert re.fullmatch(r"[0-9a-f]{24}", body.pop("_id"))
    assert body == {"email": "ada@example.com", "email_verified": False}
    assert answer.headers["X-Request-Id"]


async def test_a_form_sign_up_answers_200(house: House) -> None:
    form = {**house.sign_up_body(), "user_metadata[plan]": "free"}
    answer = await house.http.post("/dbconnections/signup", data=form)
    assert answer.status_code == 200
    assert answer.json()["user_metadata"] == {"plan": "free"}


async def test_what_was_given_comes_back_and_nulls_count_as_absent(house: House) -> None:
    answer = await house.sign_up(
        username="ada",
        given_name="Ada",
        nickname=None,
        user_metadata={"plan": "free"},
        picture=None,
        unknown=1,
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"_id", "email", "email_verified", "username", "given_name", "user_metadata"}


async def test_json_is_read_whatever_its_content_type_says(house: House) -> None:
    for number, content_type in enumerate(
        ("text/plain", "application/octet-stream", "application/json; charset=utf-8")
    ):
        answer = await house.http.post(
            "/dbconnections/signup",
            content=house.http.build_request(
                "POST", "/", json=house.sign_up_body(email=f"u{number}@example.com")
            ).content,
            headers={"Content-Type": content_type},
        )
        assert answer.status_code == 200, (content_type, answer.text)


async def test_user_and_log_are_written_and_the_hash_only_in_its_own_table(house: House) -> None:
    user_id = (await house.sign_up()).json()["_id"]
    (password,) = await house.rows("SELECT user_id, hash FROM user_passwords")
    assert password["user_id"] == user_id
    assert password["hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    (log,) = await house.rows("SELECT * FROM tenant_logs WHERE type = 'ss'")
    assert log["user_id"] == f"auth0|{user_id}"
    assert log["details"]["body"]["password"] == "*****"


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"email": ...}, "invalid_body", "Missing required property: email"),
        ({"password": ...}, "invalid_body", "Missing required property: password"),
        ({"client_id": ...}, "invalid_body", "Missing required property: client_id"),
        ({"connection": ...}, "invalid_body", "Missing required property: connection"),
        ({"email": 7}, "invalid_body", "Expected type string but found type integer' on property email"),
        ({"email": None}, "invalid_body", "found type null"),
        ({"password": ["x"]}, "invalid_body", "password"),
        ({"user_metadata": "x"}, "invalid_body", "Expected type object"),
        ({"user_metadata": {"a": 1}}, "invalid_metadata", "must be a string"),
        ({"user_metadata": {"a": "x" * 501}}, "invalid_metadata", "500"),
        ({"user_metadata": {"a" * 101: "x"}}, "invalid_metadata", "100"),
        ({"user_metadata": {str(n): "x" for n in range(11)}}, "invalid_metadata", "10"),
        ({"email": "no-at-sign"}, "invalid_email", "not valid"),
        ({"email": "a@b"}, "invalid_email", "not valid"),
        ({"email": ""}, "invalid_email", "not valid"),
        ({"email": "a@exa mple.com"}, "invalid_email", "not valid"),
        ({"email": "x" * 250 + "@example.com"}, "invalid_email", "not valid"),
        ({"username": "sixteen-letters-"}, "invalid_username", "1 to 15"),
        ({"username": ""}, "invalid_username", "1 to 15"),
        ({"username": "with blank"}, "invalid_username", "may only contain"),
        ({"username": "a@b.example"}, "invalid_username", "e-mail"),
        ({"client_id": "nobody"}, "inexistent_client", "client"),
        ({"connection": "nothing"}, "inexistent_connection", "connection"),
        ({"password": "Aa1-" * 1025}, "invalid_password", "4096"),
        ({"phone_number": "12"}, "invalid_body", "phone_number"),
        ({"email": "nul\x00@example.com"}, "invalid_body", "U+0000"),
        ({"user_metadata": {"a": "\x00"}}, "invalid_body", "U+0000"),
        ({"password": "Nul\x00-password-1"}, "invalid_body", "U+0000"),
    ],
)  # fmt: skip
async def test_bad_input_is_400_and_writes_no_user(house: House, changes, code, says) -> None:
    answer = await house.sign_up(**changes)
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert set(body) == {"name", "code", "description", "statusCode"}
    assert (body["name"], body["code"], body["statusCode"]) == ("BadRequestError", code, 400)
    assert says in body["description"]
    assert await users_count(house) == 0


@pytest.mark.parametrize(
    ("changes"),
    [
        {"email": "x" * 242 + "@example.com", "skip": "local part too long"},
        {"username": "exactly-15-char"},
        {"username": "a"},
        {"user_metadata": {"a" * 100: "x" * 500}},
        {"user_metadata": {str(n): "x" for n in range(10)}},
        {"password": "Aa1-" * 1024},
        {"email": "a@host.test"},
        {"email": "a@corp.local"},
        {"email": "a@sub.example"},
        {"email": "a+tag@example.com"},
    ],
)
async def test_the_neighbours_inside_the_limits_are_accepted(house: House, changes) -> None:
    if "skip" in changes:
        changes = {"email": "x" * 64 + "@" + "y" * 50 + ".example.com"}
    assert (await house.sign_up(**changes)).status_code == 200


@pytest.mark.parametrize(
    "content", [b"{", b"[1]", b'"x"', b'{"a": NaN}', b'{"a": "\\ud800"}', b"\xff\xfe", b"[" * 5000]
)
async def test_wrong_json_is_400(house: House, content) -> None:
    answer = await house.http.post("/dbconnections/signup", content=content)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_body"


async def test_wrong_form_is_400(house: House) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for content in (b"email=%00", b"email=%ff", b"a=1&a[b]=2", b"x=1&" * 1001):
        answer = await house.http.post("/dbconnections/signup", content=content, headers=headers)
        assert answer.status_code == 400, content


async def test_a_body_over_the_limit_is_413_declared_or_not(house: House) -> None:
    large = b'{"email": "' + b"x" * 1_048_576 + b'"}'

    async def chunks():
        yield large

    for content in (large, chunks()):
        answer = await house.http.post("/dbconnections/signup", content=content)
        assert answer.status_code == 413
        assert answer.json()["code"] == "payload_too_large"


async def test_a_weak_password_is_explained_in_auth0s_shape(house: House) -> None:
    answer = await house.sign_up(password="short")
    assert answer.status_code == 400
    body = answer.json()
    assert body["name"] == "PasswordStrengthError"
    assert (body["code"], body["statusCode"], body["message"]) == (
        "invalid_password",
        400,
        "Password is too weak",
    )
    assert body["description"]["verified"] is False
    assert [rule["code"] for rule in body["description"]["rules"]] == ["lengthAtLeast", "containsAtLeast"]
    assert body["policy"].startswith(
        "* At least 8 characters in length\n* Contain at least 3 of the following 4"
    )


async def test_a_duplicate_is_not_told_apart_by_default_and_is_logged(house: House) -> None:
    await house.sign_up()
    answer = await house.sign_up(email="ADA@example.COM")
    assert answer.status_code == 400
    assert answer.json() == {
        "name": "BadRequestError",
        "code": "invalid_signup",
        "description": "Invalid sign up",
        "statusCode": 400,
    }
    assert await users_count(house) == 1
    (log,) = await house.rows("SELECT * FROM tenant_logs WHERE type = 'fs'")
    assert log["description"] == "The user already exists."


async def test_a_duplicate_is_told_where_the_connection_discloses_it(house: House) -> None:
    await house.set_options(disclose_existing_users=True)
    await house.sign_up(username="ada")
    answer = await house.sign_up()
    assert (answer.status_code, answer.json()["code"]) == (400, "user_exists")
    answer = await house.sign_up(email="other@example.com", username="ADA")
    assert (answer.status_code, answer.json()["code"]) == (400, "username_exists")


async def test_a_duplicate_is_hashed_before_it_is_refused(house: House) -> None:
    await house.sign_up()
    hasher, hashed = house.app.state.hasher, []
    original = hasher.hash

    async def counting(plain: str) -> str:
        hashed.append(plain)
        return await original(plain)

    hasher.hash = counting
    await house.sign_up()
    assert hashed == [PASSWORD]


async def test_of_fifty_sign_ups_at_once_exactly_one_succeeds(house: House) -> None:
    answers = await asyncio.gather(*(house.sign_up(email=f"{'aA'[n % 2]}da@example.com") for n in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 49]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 400} == {"invalid_signup"}
    assert await users_count(house) == 1


async def test_a_full_hashing_line_is_503_with_retry_after_and_writes_nothing(house: House) -> None:
    hasher = house.app.state.hasher
    hasher.line_length = 0
    answers = await asyncio.gather(*(house.sign_up(email=f"u{n}@example.com") for n in range(10)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    for answer in refused:
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["code"] == "hashing_line_full"
    assert await users_count(house) == 10 - len(refused)
    assert await house.rows("SELECT 1 FROM tenant_logs WHERE type = 'fs'") == []


async def test_sign_up_can_be_closed(house: House) -> None:
    await house.set_options(disable_signup=True)
    answer = await house.sign_up()
    assert (answer.status_code, answer.json()["code"]) == (400, "public_signup_disabled")


async def test_a_client_that_is_not_enabled_for_the_connection_is_refused(house: House) -> None:
    answer = await house.sign_up(client_id=house.made.management_client_id)
    assert (answer.status_code, answer.json()["code"]) == (400, "inexistent_client")
    assert "not enabled" in answer.json()["description"]


async def test_an_unknown_error_is_a_plain_500_and_says_nothing(house: House) -> None:
    async def explode(plain: str) -> str:
        raise RuntimeError(f"cannot hash {plain}")

    house.app.state.hasher.hash = explode
    with structlog.testing.capture_logs() as logs:
        answer = await house.sign_up(password=SECRET)
    assert answer.status_code == 500
    assert answer.json() == {
        "name": "InternalServerError",
        "code": "internal_error",
        "description": "Internal Server Error",
        "statusCode": 500,
    }
    (log,) = (entry for entry in logs if entry["event"] == "request_failed")
    assert log["error_type"] == "RuntimeError"
    assert log["request_id"] == answer.headers["X-Request-Id"]
    assert SECRET not in repr(logs)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"email": "no-address"},
        {"client_id": "nobody"},
        {"connection": "nothing"},
        {"username": "x" * 99},
        {"user_metadata": {"a": 1}},
        {"password": SECRET * 400},
        {"password": [SECRET]},
        {"email": "a\x00@example.com"},
    ],
)
async def test_no_failure_leaves_the_password_anywhere(house: House, changes, capsys) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        with structlog.testing.capture_logs() as logs:
            answers = [await house.sign_up(**{"password": SECRET, **changes}) for _ in range(2)]
    finally:
        logging.getLogger().removeHandler(handler)
    written = capsys.readouterr()
    stored = await house.rows("SELECT details::text, description FROM tenant_logs")
    everywhere = [
        *(answer.text for answer in answers),
        repr(logs),
        stream.getvalue(),
        written.out,
        written.err,
    ]
    everywhere += [repr(dict(row)) for row in stored]
    for text in everywhere:
        assert SECRET not in text
        assert "$argon2id$" not in text
