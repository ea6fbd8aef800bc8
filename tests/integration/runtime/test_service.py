"""The life of a service on real servers: it starts when it can, says why when it cannot, and ends in order."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import structlog
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from deploy.local import nats_server, postgres
from deploy.local.ports import free_port
from shared.contracts.v1.executor import NodeInterrupted
from shared.kernel.errors import PermanentError, RetryableError
from shared.runtime import service, streams
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database, Transaction
from shared.runtime.service import BusRefusedError, NotMigratedError, Runtime
from shared.runtime.settings import ServiceSettings
from tests.waiting import until

pytestmark = [pytest.mark.nats, pytest.mark.postgres]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[..., Awaitable[Bus]]


class TrialSettings(ServiceSettings):
    __test__ = False
    model_config = SettingsConfigDict(env_prefix="TRIAL_", frozen=True)


@pytest.fixture
async def settings(
    make_database: MakeDatabase, postgres_server: postgres.Server, postgres_url: str, nats_url: str
) -> TrialSettings:
    """As the pricing service, whose schema and consumers are there."""
    await make_database("pricing")
    url = postgres_server.url("pricing", "test", postgres_url.rsplit("/", 1)[1])
    return TrialSettings(database_url=SecretStr(url), nats_url=nats_url, health_port=free_port())


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


async def ready(settings: ServiceSettings) -> tuple[int, dict[str, str]]:
    url = f"http://127.0.0.1:{settings.health_port}/readyz"
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status, (await answer.json())["reasons"]
    except aiohttp.ClientError:
        return 0, {}


async def test_it_starts_works_and_ends_in_order(settings: TrialSettings, bus_for: BusFor) -> None:
    happened: list[str] = []

    async def wire(runtime: Runtime) -> None:
        async def handle(message: NodeInterrupted, _transaction: Transaction) -> None:
            happened.append(message.node_name)

        def closes(name: str) -> Callable[[], Awaitable[None]]:
            async def close() -> None:
                await runtime.bus.ping()
                await runtime.database.ping()
                happened.append(name)

            return close

        async def fail() -> None:
            raise ZeroDivisionError

        runtime.bus.consume(NodeInterrupted, handle)
        runtime.on_close(closes("opened first"))
        runtime.on_close(fail)
        runtime.on_close(closes("opened last"))
        message = NodeInterrupted.make(
            scope="c1",
            clock=runtime.clock,
            ids=runtime.ids,
            organization_id="o1",
            node_name="n1",
            instance_id="i-1",
            kind="spot_interruption",
            pool=None,
        )
        await runtime.bus.js.publish(
            "executor.evt.v1.node_interrupted.c1", message.model_dump_json().encode()
        )

    running = asyncio.create_task(service.run("pricing", settings, wire))
    await until(lambda: happened == ["n1"])
    await until(lambda: ready(settings), is_=(200, {}))
    stop()
    await running
    assert happened == ["n1", "opened last", "opened first"]
    assert await ready(settings) == (0, {})


async def test_a_loop_that_dies_takes_the_service_with_it(settings: TrialSettings) -> None:
    closed: list[bool] = []

    async def wire(runtime: Runtime) -> None:
        async def die() -> None:
            raise ZeroDivisionError("in a loop")

        async def close() -> None:
            closed.append(True)

        runtime.loop("dying", die)
        runtime.on_close(close)

    with pytest.raises(ZeroDivisionError, match="in a loop"):
        await service.run("pricing", settings, wire)
    assert closed == [True]


async def test_work_that_fails_is_told_and_tried_again(
    settings: TrialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FAILED_TICK_PAUSE", timedelta(milliseconds=5))
    turns: list[str] = []
    may_work = asyncio.Event()

    async def work() -> None:
        turns.append("work")
        if not may_work.is_set():
            raise RetryableError("AWS is slow") if len(turns) % 2 else ValueError("odd")

    async def first() -> None:
        if not may_work.is_set():
            raise RetryableError("no prices yet")

    async def wire(runtime: Runtime) -> None:
        runtime.every("work", timedelta(milliseconds=5), work)
        runtime.once("first", timedelta(milliseconds=5), first)

    running = asyncio.create_task(service.run("pricing", settings, wire))

    async def troubles() -> list[str]:
        return sorted((await ready(settings))[1])

    await until(troubles, is_=["first", "work"])
    await until(lambda: len(turns) > 2)
    may_work.set()
    await until(lambda: ready(settings), is_=(200, {}))
    stop()
    await running


async def test_without_consumers_it_says_what_to_do(settings: TrialSettings, bus_for: BusFor) -> None:
    await (await bus_for("pricing")).js.delete_consumer("EXECUTOR_EVT", "pricing-node_interrupted")
    with pytest.raises(NotMigratedError, match=r"pricing-node_interrupted missing .* run `spotopt migrate`"):
        await service.run("pricing", settings, _wires_nothing)


async def test_a_failing_start_closes_what_was_open(settings: TrialSettings) -> None:
    async def wire(_runtime: Runtime) -> None:
        raise PermanentError("the key is missing")

    with pytest.raises(PermanentError, match="the key is missing"):
        await service.run("pricing", settings, wire)
    assert await ready(settings) == (0, {})


@pytest.mark.parametrize("away", ["database_url", "nats_url"])
async def test_a_signal_ends_a_start_that_waits_for_a_server(settings: TrialSettings, away: str) -> None:
    port = free_port()
    absent = {
        "database_url": SecretStr(f"postgresql://pricing:x@127.0.0.1:{port}/spot"),
        "nats_url": f"nats://127.0.0.1:{port}",
    }
    running = asyncio.create_task(
        service.run("pricing", settings.model_copy(update={away: absent[away]}), _wires_nothing)
    )
    await until(lambda: ready(settings), is_=(503, {"start": "starting"}))
    stop()
    await asyncio.wait_for(running, 5)


async def test_a_start_that_loses_the_first_cancellation_is_cancelled_again(
    settings: TrialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CANCEL_PAUSE_SECONDS", 0.01)
    wiring = asyncio.Event()

    async def wire(_runtime: Runtime) -> None:
        wiring.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    running = asyncio.create_task(service.run("pricing", settings, wire))
    await wiring.wait()
    stop()
    await asyncio.wait_for(running, 5)


async def test_a_loop_that_loses_the_first_cancellation_is_cancelled_again(
    settings: TrialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOP_PAUSE_SECONDS", 0.01)
    working = asyncio.Event()

    async def wire(runtime: Runtime) -> None:
        async def work() -> None:
            working.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

        runtime.loop("deaf once", work)

    running = asyncio.create_task(service.run("pricing", settings, wire))
    await working.wait()
    stop()
    await asyncio.wait_for(running, 5)


async def test_a_loop_that_never_ends_is_named_and_left_behind(
    settings: TrialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOP_PAUSE_SECONDS", 0.01)
    left: list[int] = []
    working, over = asyncio.Event(), asyncio.Event()
    closed: list[bool] = []

    async def wire(runtime: Runtime) -> None:
        async def work() -> None:
            working.set()
            while not over.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await over.wait()

        async def close() -> None:
            closed.append(True)

        runtime.loop("deaf", work)
        runtime.on_close(close)

    running = asyncio.create_task(service.run("pricing", settings, wire, leave=left.append))
    await working.wait()
    with structlog.testing.capture_logs() as logs:
        stop()
        await asyncio.wait_for(running, 5)
    over.set()
    assert [log["loops"] for log in logs if log["event"] == "loops_not_ended"] == [["deaf"]]
    assert closed == [True]
    assert left == [service.STUCK_EXIT_CODE]


async def _returns() -> None:
    await asyncio.sleep(0)


async def _is_cancelled() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _fails() -> None:
    raise ZeroDivisionError("in a loop")


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        (_returns, "it returned"),
        (_is_cancelled, "it was cancelled"),
        (_fails, "ZeroDivisionError('in a loop')"),
    ],
)
async def test_however_a_loop_ends_a_stuck_one_does_not_keep_the_process_up(
    settings: TrialSettings,
    monkeypatch: pytest.MonkeyPatch,
    body: Callable[[], Coroutine[Any, Any, None]],
    ending: str,
) -> None:
    monkeypatch.setattr(service, "LOOP_PAUSE_SECONDS", 0.01)
    left: list[int] = []
    over = asyncio.Event()

    async def wire(runtime: Runtime) -> None:
        async def work() -> None:
            while not over.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await over.wait()

        runtime.loop("deaf", work)
        runtime.loop("ending", body)

    with (
        structlog.testing.capture_logs() as logs,
        contextlib.suppress(ZeroDivisionError, asyncio.CancelledError),
    ):
        await asyncio.wait_for(service.run("pricing", settings, wire, leave=left.append), 5)
    over.set()
    assert left == [service.STUCK_EXIT_CODE]
    told = [(log["loop"], log["error"]) for log in logs if log["event"] == "service_failed"]
    assert told == [("ending", ending)]


async def test_where_there_is_no_loop_none_is_left() -> None:
    assert await service._cancelled([]) == []


async def test_a_bus_that_starts_late_is_waited_for(
    settings: TrialSettings, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "START_PAUSE_SECONDS", 0.01)
    folder, port = tmp_path_factory.mktemp("late"), free_port()
    late = settings.model_copy(update={"nats_url": f"nats://127.0.0.1:{port}"})
    running = asyncio.create_task(service.run("pricing", late, _wires_nothing))
    await until(lambda: ready(late), is_=(503, {"start": "starting"}))
    config = folder / "nats.json"
    config.write_text(nats_server.bare_config_text(port=port, store=folder / "store"))
    server = await nats_server.start(config, port=port, log=folder / "log")
    try:
        # Streams are not there yet: that, too, is one sentence.
        with pytest.raises(NotMigratedError):
            await running
        client = await streams.connect(server.url, user="", password="", name="test")
        await streams.ensure(client.jetstream())
        await client.close()
        running = asyncio.create_task(service.run("pricing", late, _wires_nothing))
        await until(lambda: ready(late), is_=(200, {}))
        stop()
        await running
    finally:
        server.stop()


async def test_a_wrong_password_of_the_bus_is_refused_at_once(
    settings: TrialSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, port = tmp_path_factory.mktemp("guarded"), free_port()
    config = folder / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nauthorization {{ users: [ {{ user: pricing, password: right }} ] }}\n'
    )
    server = await nats_server.start(config, port=port, log=folder / "log")
    try:
        wrong = settings.model_copy(
            update={"nats_url": f"nats://127.0.0.1:{port}", "nats_password": SecretStr("wrong")}
        )
        with pytest.raises(BusRefusedError, match="refuses the user pricing"):
            await service.run("pricing", wrong, _wires_nothing)
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PRICING_DATABASE_URL", "postgresql://pricing:wrong@{place}", "refuses the role pricing"),
        ("PRICING_HEALTH_PORT", "{taken}", "address already in use"),
    ],
)
async def test_a_process_that_cannot_start_says_why_in_one_line(
    settings: TrialSettings, nats_url: str, variable: str, value: str, sentence: str
) -> None:
    url = settings.database_url.get_secret_value()
    place, taken = url.rsplit("@", 1)[1], nats_url.rsplit(":", 1)[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PRICING_DATABASE_URL": url,
        "PRICING_NATS_URL": nats_url,
        variable: value.format(place=place, taken=taken),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.pricing", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, written = await process.communicate()
    assert process.returncode == 1
    [line] = [line for line in written.decode().splitlines() if "health_served" not in line]
    assert "service_failed" in line
    assert sentence in line


async def _wires_nothing(_runtime: Runtime) -> None:
    pass
