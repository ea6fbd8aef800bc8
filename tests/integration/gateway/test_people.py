"""Sign up, log in, refresh, log out."""

import asyncio
import gzip
from datetime import timedelta

import jwt
import pytest

from services.gateway.domain.people import Organization, User
from services.gateway.handlers.start_session import LoggedIn
from tests.fakes.gateway import START
from tests.integration.gateway.stage import PASSWORD, SETTINGS, Stage

pytestmark = pytest.mark.postgres


async def test_a_founder_is_logged_in_and_owns_the_organization(stage: Stage) -> None:
    granted = await stage.sign_up("Ada@Example.com")
    status, me = await stage.call("GET", "/me", token=granted["access_token"])
    assert status == 200
    assert me["user"]["email"] == "ada@example.com"
    assert me["organization"] == granted["organization"]
    assert me["role"] == "owner"
    assert granted["expires_in"] == 900


async def test_one_address_has_one_account(stage: Stage) -> None:
    await stage.sign_up()
    body = {"email": "ada@example.com", "password": PASSWORD, "organization": "another"}
    status, problem = await stage.call("POST", "/auth/sign-up", body)
    assert (status, problem["status"]) == (409, 409)
    async with stage.database.transaction() as transaction:
        assert await transaction.connection.fetchval("select count(*) from outbox") == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"email": "nobody"}, "email", id="no address"),
        pytest.param({"password": "short"}, "password", id="short password"),
        pytest.param({"password": "aaaaaaaaaaaa"}, "password", id="easy password"),
        pytest.param({"organization": ""}, "organization", id="no name"),
        pytest.param({"colour": "red"}, "colour", id="unknown field"),
    ],
)
async def test_a_wrong_field_is_named(stage: Stage, change: dict[str, str], field: str) -> None:
    body = {"email": "ada@example.com", "password": PASSWORD, "organization": "ours", **change}
    status, problem = await stage.call("POST", "/auth/sign-up", body)
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == [field]
    assert PASSWORD not in str(problem)


@pytest.mark.parametrize("raw", [b"{", b"[]", b"3", b'{"email": "\xff"}', b"[" * 100_000, b""])
async def test_a_body_that_is_no_json_object_is_refused(stage: Stage, raw: bytes) -> None:
    async with stage.client.post("/api/v1/auth/log-in", data=raw) as answer:
        assert answer.status == 400
        assert answer.content_type == "application/problem+json"


async def test_a_body_that_is_not_compressed_as_it_says_is_refused(stage: Stage) -> None:
    sent = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with stage.client.post("/api/v1/auth/log-in", data=b"{}" * 99, headers=sent) as answer:
        assert answer.status == 400
        assert (await answer.json(content_type=None))["detail"] == (
            "The body is not what its Content-Encoding says."
        )


async def test_a_small_body_that_unfolds_to_a_large_one_is_refused(stage: Stage) -> None:
    sent = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    bomb = gzip.compress(b" " * 50_000_000)
    async with stage.client.post("/api/v1/auth/log-in", data=bomb, headers=sent) as answer:
        assert answer.status == 413


async def test_a_body_that_is_too_large_is_refused(stage: Stage) -> None:
    async with stage.client.post("/api/v1/auth/log-in", data=b"x" * 300_000) as answer:
        assert answer.status == 413
        assert answer.content_type == "application/problem+json"


async def test_a_wrong_password_and_an_unknown_address_look_the_same(stage: Stage) -> None:
    await stage.sign_up()
    wrong = await stage.call("POST", "/auth/log-in", {"email": "ada@example.com", "password": "no" * 8})
    unknown = await stage.call("POST", "/auth/log-in", {"email": "eve@example.com", "password": PASSWORD})
    assert wrong == unknown
    assert wrong[0] == 401


async def test_guessing_is_stopped_even_for_the_right_password_and_at_once(stage: Stage) -> None:
    await stage.sign_up()
    wrong = {"email": "ada@example.com", "password": "wrong password"}
    tries = await asyncio.gather(*(stage.call("POST", "/auth/log-in", wrong) for _ in range(6)))
    assert sorted(status for status, _ in tries) == [401, 401, 401, 429, 429, 429]
    right = {"email": "ada@example.com", "password": PASSWORD}
    async with stage.client.post("/api/v1/auth/log-in", json=right) as answer:
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "900"
    stage.clock.move(SETTINGS.log_in_window)
    assert (await stage.call("POST", "/auth/log-in", right))[0] == 200


async def test_a_log_in_forgets_failed_attempts(stage: Stage) -> None:
    await stage.sign_up()
    right = {"email": "ada@example.com", "password": PASSWORD}
    for _ in range(3):
        for _ in range(2):
            await stage.call("POST", "/auth/log-in", {**right, "password": "wrong password"})
        assert (await stage.call("POST", "/auth/log-in", right))[0] == 200


async def test_refresh_tokens_rotate_and_reuse_ends_the_family(stage: Stage) -> None:
    granted = await stage.sign_up()
    first = {"refresh_token": granted["refresh_token"]}
    status, second = await stage.call("POST", "/auth/refresh", first)
    assert status == 200
    assert (await stage.call("GET", "/me", token=second["access_token"]))[0] == 200
    assert (await stage.call("POST", "/auth/refresh", first))[0] == 401
    assert (await stage.call("POST", "/auth/refresh", {"refresh_token": second["refresh_token"]}))[0] == 401


async def test_a_guessed_refresh_token_ends_nothing(stage: Stage) -> None:
    granted = await stage.sign_up()
    family = granted["refresh_token"].rsplit(".", 1)[0]
    assert (await stage.call("POST", "/auth/refresh", {"refresh_token": f"{family}.guess"}))[0] == 401
    own = {"refresh_token": granted["refresh_token"]}
    assert (await stage.call("POST", "/auth/refresh", own))[0] == 200


async def test_a_session_ends_with_its_lifetime_and_with_log_out(stage: Stage) -> None:
    granted = await stage.sign_up()
    assert (await stage.call("POST", "/auth/log-out", token=granted["access_token"]))[0] == 204
    body = {"refresh_token": granted["refresh_token"]}
    assert (await stage.call("POST", "/auth/refresh", body))[0] == 401
    log_in = {"email": "ada@example.com", "password": PASSWORD}
    _, again = await stage.call("POST", "/auth/log-in", log_in)
    stage.clock.move(timedelta(days=30))
    assert (await stage.call("POST", "/auth/refresh", {"refresh_token": again["refresh_token"]}))[0] == 401


async def test_an_access_token_expires(stage: Stage) -> None:
    granted = await stage.sign_up()
    stage.clock.move(timedelta(minutes=15))
    status, problem = await stage.call("GET", "/me", token=granted["access_token"])
    assert status == 401
    assert "expired" in problem["detail"]


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."])
async def test_a_strange_token_is_refused(stage: Stage, token: str) -> None:
    assert (await stage.call("GET", "/me", token=token))[0] == 401


async def test_a_token_that_somebody_else_made_is_refused(stage: Stage) -> None:
    granted = await stage.sign_up()
    claims = jwt.decode(granted["access_token"], options={"verify_signature": False})
    own = jwt.encode(claims, "x" * 32, algorithm="HS256")
    assert (await stage.call("GET", "/me", token=own))[0] == 200  # else the ones below prove nothing
    forged = [
        jwt.encode(claims, "y" * 32, algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, "x" * 64, algorithm="HS512"),
        jwt.encode({**claims, "iss": "somebody"}, "x" * 32, algorithm="HS256"),
        jwt.encode({**claims, "role": "super_admin"}, "x" * 32, algorithm="HS256"),
        jwt.encode({k: v for k, v in claims.items() if k != "exp"}, "x" * 32, algorithm="HS256"),
    ]
    for token in forged:
        assert (await stage.call("GET", "/me", token=token))[0] == 401


async def test_a_log_in_does_not_show_its_tokens_by_accident() -> None:
    founded = Organization(id="o1", name="acme", created_at=START)
    granted = LoggedIn(access_token="hush1", refresh_token="hush2", expires_in=1, organization=founded)
    user = User(id="u1", email="ada@example.com", password_hash="hush3", created_at=START)
    assert "hush" not in repr((granted, user))


async def test_no_secret_is_stored_in_the_clear(stage: Stage) -> None:
    granted = await stage.sign_up()
    connected = await stage.connect_cluster(granted["access_token"])
    secrets = [
        PASSWORD,
        granted["refresh_token"].rsplit(".", 1)[1],
        connected["install_token"].rsplit(".", 1)[1],
    ]
    async with stage.database.transaction() as transaction:
        await transaction.connection.execute(
            "select set_config('app.organization_id', $1, true)", granted["organization"]["id"]
        )
        tables = await transaction.connection.fetch(
            "select table_name from information_schema.tables where table_schema = 'gateway'"
        )
        for table in tables:
            rows = await transaction.connection.fetch(f'select t::text from "{table["table_name"]}" t')
            for row in rows:
                for secret in secrets:
                    assert secret not in row[0]
                    assert secret.encode().hex() not in row[0]
