"""`spotopt migrate` and `spotopt dlq` on real servers."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import asyncpg
import nats
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.main import app
from deploy.local import nats_server, postgres
from shared.runtime import streams
from shared.runtime.messaging import ERROR_HEADER

pytestmark = [pytest.mark.postgres, pytest.mark.nats]

SUBJECT = "pricing.evt.v1.pool_flagged.us-east-1"

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command in a thread: it has an event loop of its own."""
    monkeypatch.setenv("SPOTOPT_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: asyncio.to_thread(CliRunner().invoke, app, list(arguments))


@pytest.fixture
async def empty_database(postgres_server: postgres.Server) -> str:
    """An administrator's URL of a database without schemas."""
    admin = await asyncpg.connect(postgres_server.url(postgres.ADMIN, postgres_server.password, "postgres"))
    await admin.execute("drop database if exists to_migrate with (force)")
    await admin.execute("create database to_migrate")
    await admin.close()
    return postgres_server.url(postgres.ADMIN, postgres_server.password, "to_migrate")


async def test_migrate_makes_everything_once(
    run: Run, empty_database: str, nats_process: nats_server.Server
) -> None:
    arguments = ("migrate", "--database-url", empty_database, "--nats-url", nats_process.url)
    first = await run(*arguments)
    assert first.exit_code == 0, first.output
    lines = first.stdout.splitlines()
    assert "gateway: shared/messaging" in lines
    assert any("DLQ" in line for line in lines)
    assert lines[-1] == f"{len(lines) - 1} changes made."
    second = await run(*arguments)
    assert (second.exit_code, second.stdout) == (0, "Everything is up to date.\n")
    client = await nats.connect(nats_process.url)
    for info in await client.jetstream().streams_info():
        await client.jetstream().delete_stream(info.config.name or "")
    await client.close()


async def test_migrate_with_a_refused_password(run: Run, postgres_url: str, nats_url: str) -> None:
    wrong = postgres_url.replace("postgresql://postgres:", "postgresql://postgres:x", 1)
    result = await run("migrate", "--database-url", wrong, "--nats-url", nats_url)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: Postgres at 127.0.0.1:")
    assert line.endswith('refuses: password authentication failed for user "postgres".')


async def bury(url: str, *bodies: bytes) -> None:
    client = await nats.connect(url)
    for body in bodies:
        headers = {"Spot-Consumer": "executor-pools", ERROR_HEADER: "[type=int] no", "Spot-Attempts": "5"}
        await client.jetstream().publish(f"dlq.{SUBJECT}", body, headers=headers)
    await client.close()


async def test_dead_letters_are_listed_replayed_and_dropped(run: Run, nats_url: str) -> None:
    at = ("--nats-url", nats_url)
    assert (await run("dlq", "list", *at)).stdout == "There are no dead letters.\n"
    await bury(nats_url, b"one", b"two")

    shown = (await run("dlq", "list", *at)).stdout
    assert "[type=int] no" in shown
    assert "executor-pools" in shown
    letters = json.loads((await run("dlq", "list", "-o", "json", *at)).stdout)
    assert [(letter["number"], letter["body"]) for letter in letters] == [(1, "one"), (2, "two")]
    assert letters[0] == {
        "number": 1,
        "subject": SUBJECT,
        "consumer": "executor-pools",
        "attempts": 5,
        "error": "[type=int] no",
        "body": "one",
    }

    assert (await run("dlq", "replay", "1", *at)).stdout == "Replayed 1.\n"
    client = await nats.connect(nats_url)
    assert (await client.jetstream().get_last_msg("PRICING_EVT", SUBJECT)).data == b"one"
    again = await run("dlq", "replay", "1", *at)
    assert (again.exit_code, again.stderr) == (
        2,
        "error: there is no dead letter 1; see `spotopt dlq list`. Nothing was done.\n",
    )
    assert (await run("dlq", "drop", "2", "1", "--yes", *at)).exit_code == 2
    assert (await client.jetstream().stream_info(streams.DLQ_STREAM)).state.messages == 1
    assert (await run("dlq", "drop", "2", "--yes", *at)).stdout == "Dropped 1.\n"
    assert (await run("dlq", "list", *at)).stdout == "There are no dead letters.\n"
    assert (await client.jetstream().stream_info(streams.DLQ_STREAM)).state.messages == 0
    await client.close()


async def test_a_bus_without_streams_says_what_to_do(run: Run, nats_process: nats_server.Server) -> None:
    result = await run("dlq", "list", "--nats-url", nats_process.url)
    assert result.exit_code == 1
    assert result.stderr.endswith("has no dead letters' stream; run `spotopt migrate` first.\n")
