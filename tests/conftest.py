"""Markers' servers, Hypothesis profiles. Nothing here is imported by a test."""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import nats
import pytest
from hypothesis import HealthCheck, settings

from deploy.local import nats_server, postgres, schemas
from deploy.local.ports import free_port
from shared.runtime import streams
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from shared.runtime.messaging import Bus
from shared.runtime.migrations import migrate
from shared.runtime.postgres import Database

settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")

PRODUCT_PREFIXES = (
    "GATEWAY_",
    "PRICING_",
    "OPTIMIZER_",
    "EXECUTOR_",
    "REPORTING_",
    "AGENT_",
    "AWS_",
    "SPOTOPT_",
)
for name in [n for n in os.environ if n.startswith(PRODUCT_PREFIXES)]:
    del os.environ[name]

_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Python 3.11 with looptime would otherwise find an unclosed loop in synchronous tests."""
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """One Postgres for the session, with every service's schema in a template database.

    Not below pytest's own folders: every session closes those (0700) to the user that Postgres runs as.
    """
    folder = Path(tempfile.mkdtemp(prefix="spotopt-tests-postgres-"))
    folder.chmod(0o755)

    async def begin() -> postgres.Server:
        server = await postgres.start(folder, log=folder / "postgres.log", throwaway=True)
        await schemas.migrate_database(server.admin_url, dict.fromkeys(schemas.SERVICES, "test"))
        return server

    try:
        server = asyncio.run(begin())
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def postgres_url(postgres_server: postgres.Server) -> AsyncIterator[str]:
    """An administrator's URL of a database of this test's own, cloned from the template."""
    database = f"test_{os.getpid()}_{next(_numbers)}"
    admin = await asyncpg.connect(postgres_server.url(postgres.ADMIN, postgres_server.password, "postgres"))
    await admin.execute(f'create database "{database}" template {postgres.DATABASE}')
    yield postgres_server.url(postgres.ADMIN, postgres_server.password, database)
    await admin.execute(f'drop database "{database}" with (force)')
    await admin.close()


@pytest.fixture
async def make_database(
    postgres_url: str, postgres_server: postgres.Server
) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """A factory of databases bound to one service's schema and running role."""
    opened: list[Database] = []
    name = postgres_url.rsplit("/", 1)[1]

    async def make(service: str) -> Database:
        admin = await asyncpg.connect(postgres_url)
        await migrate(admin, schemas.schema_of(service))
        await admin.execute(f'grant connect on database "{name}" to "{service}"')
        await admin.close()
        url = postgres_server.url(service, "test", name)
        opened.append(await Database.open(url, schema=service, size=4, attempts=1))
        return opened[-1]

    yield make
    for database in opened:
        await database.close()


@pytest.fixture(scope="session")
def nats_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nats_server.Server]:
    """One nats-server for the session, without users."""
    folder = tmp_path_factory.mktemp("nats")
    port = free_port()
    config = folder / "nats.json"
    config.write_text(nats_server.bare_config_text(port=port, store=folder / "store"))
    server = asyncio.run(nats_server.start(config, port=port, log=folder / "nats.log"))
    yield server
    server.stop()


@pytest.fixture
async def nats_url(nats_process: nats_server.Server) -> AsyncIterator[str]:
    """A bus whose streams, consumers and buckets are new."""
    client = await nats.connect(nats_process.url)
    js = client.jetstream()
    await streams.ensure(js)
    yield nats_process.url
    for info in await js.streams_info():
        await js.delete_stream(info.config.name or "")
    await client.close()


@pytest.fixture
async def bus_for(nats_url: str) -> AsyncIterator[Callable[[str, Database | None], Awaitable[Bus]]]:
    """A factory of connected buses; call `await bus.broker.start()` after registering handlers."""
    made: list[Bus] = []

    async def make(service: str, database: Database | None = None) -> Bus:
        bus = Bus(
            service=service,
            url=nats_url,
            user="",
            password="",
            clock=SystemClock(),
            health=Health(),
            database=database,
        )
        await bus.broker.connect()
        made.append(bus)
        return bus

    yield make
    for bus in made:
        await bus.stop()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Recorded data of other projects; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SPOT_DATA_DIR", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("recorded data is absent; set SPOT_DATA_DIR to its folder")
    return folder
