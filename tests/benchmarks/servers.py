"""Postgres, nats-server and the sandbox's AWS for one measurement, thrown away after it."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from deploy.local import nats_server, postgres, schemas
from deploy.local.ports import free_port
from shared.runtime import streams
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from shared.runtime.messaging import Bus
from shared.runtime.migrations import migrate
from shared.runtime.postgres import Database


@dataclass(frozen=True)
class Servers:
    """What the services connect to."""

    make_database: Callable[[str], Awaitable[Database]]
    bus_for: Callable[[str, Database | None], Awaitable[Bus]]


@contextmanager
def _folder() -> Iterator[Path]:
    # Postgres runs as another user, who must be able to enter.
    folder = Path(tempfile.mkdtemp(prefix="spotopt-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def running() -> AsyncIterator[Servers]:
    """Start both servers with every schema and stream."""
    with _folder() as folder:
        database_server = await postgres.start(folder, log=folder / "postgres.log", throwaway=True)
        port = free_port()
        config = folder / "nats.json"
        config.write_text(nats_server.bare_config_text(port=port, store=folder / "store"))
        bus_server = await nats_server.start(config, port=port, log=folder / "nats.log")
        opened: list[Bus | Database] = []

        async def make_database(service: str) -> Database:
            admin = await asyncpg.connect(database_server.admin_url)
            await migrate(admin, schemas.schema_of(service))
            await admin.close()
            url = database_server.url(service, "test", postgres.DATABASE)
            database = await Database.open(url, schema=service, size=8, attempts=1)
            opened.append(database)
            return database

        async def bus_for(service: str, database: Database | None) -> Bus:
            bus = Bus(
                service=service,
                url=bus_server.url,
                user="",
                password="",
                clock=SystemClock(),
                health=Health(),
                database=database,
            )
            await bus.broker.connect()
            opened.append(bus)
            return bus

        try:
            await schemas.migrate_database(database_server.admin_url, dict.fromkeys(schemas.SERVICES, "test"))
            client = await streams.connect(bus_server.url, user="", password="", name="bench")
            await streams.ensure(client.jetstream())
            await client.close()
            yield Servers(make_database, bus_for)
        finally:
            for each in reversed(opened):
                await (each.stop() if isinstance(each, Bus) else each.close())
            bus_server.stop()
            database_server.stop()
