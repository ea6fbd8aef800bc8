"""The gateway as a process: it starts, answers, ends in order, and says in one line what is missing."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from deploy.local import postgres
from deploy.local.ports import free_port
from shared.runtime.postgres import Database
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.nats, pytest.mark.slow]


@pytest.fixture
async def environment(
    make_database: Callable[[str], Awaitable[Database]],
    postgres_server: postgres.Server,
    postgres_url: str,
    nats_url: str,
) -> dict[str, str]:
    """What an operator sets."""
    await make_database("gateway")
    return {
        "PATH": os.environ["PATH"],
        "GATEWAY_DATABASE_URL": postgres_server.url("gateway", "test", postgres_url.rsplit("/", 1)[1]),
        "GATEWAY_NATS_URL": nats_url,
        "GATEWAY_HTTP_PORT": str(free_port()),
        "GATEWAY_JWT_SECRET": "x" * 32,
        "GATEWAY_SECRETS_KEY": "ab" * 32,
    }


async def start(environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", env=environment, stderr=asyncio.subprocess.PIPE
    )


async def test_it_answers_and_ends_in_order(environment: dict[str, str]) -> None:
    process = await start(environment)
    url = f"http://127.0.0.1:{environment['GATEWAY_HTTP_PORT']}"

    async def is_up() -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{url}/healthz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    await until(is_up)
    body = {"email": "ada@example.com", "password": "correct horse battery", "organization": "ours"}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/api/v1/auth/sign-up", json=body) as answer:
        assert answer.status == 201
        granted = await answer.json()
    process.terminate()
    _, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    assert b"service_stopped" in log
    assert b"agents_door_closed" in log
    for secret in (body["password"], granted["access_token"], granted["refresh_token"]):
        assert secret.encode() not in log


@pytest.mark.parametrize("name", ["GATEWAY_JWT_SECRET", "GATEWAY_SECRETS_KEY"])
async def test_a_missing_secret_is_one_line(environment: dict[str, str], name: str) -> None:
    process = await start({key: value for key, value in environment.items() if key != name})
    _, log = await process.communicate()
    assert process.returncode == 1
    (line,) = [line for line in log.decode().splitlines() if "service_failed" in line]
    assert f"{name} must be set" in line
    assert "Traceback" not in log.decode()
