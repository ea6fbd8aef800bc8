"""The health endpoint over real HTTP: readiness is an empty list of reasons."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from shared.kernel.errors import UnavailableError
from shared.runtime.health import Health


@pytest.fixture
async def served() -> AsyncIterator[tuple[Health, str]]:
    health = Health()
    port = await health.serve(host="127.0.0.1", port=0)
    yield health, f"http://127.0.0.1:{port}"
    await health.close()


async def ask(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.json()


async def test_troubles_and_failing_checks_are_reasons(served: tuple[Health, str]) -> None:
    health, url = served
    assert await ask(f"{url}/readyz") == (200, {"status": "ready", "reasons": {}})

    async def fails() -> None:
        raise UnavailableError("no route to the database")

    async def fails_without_a_word() -> None:
        raise KeyError

    health.check("database", fails)
    health.check("odd", fails_without_a_word)
    health.trouble("start", "starting")
    status, told = await ask(f"{url}/readyz")
    assert status == 503
    assert told == {
        "status": "not ready",
        "reasons": {"database": "no route to the database", "odd": "KeyError", "start": "starting"},
    }
    assert (await ask(f"{url}/healthz"))[0] == 200, "a process that waits is alive"


async def test_a_trouble_ends(served: tuple[Health, str]) -> None:
    health, url = served
    health.trouble("queue", "away")
    health.trouble("queue", None)
    health.trouble("never", None)
    assert (await ask(f"{url}/readyz"))[0] == 200


async def test_metrics_are_in_the_format_that_prometheus_reads(served: tuple[Health, str]) -> None:
    _, url = served
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "spot_messages_handled_total" in await answer.text()
