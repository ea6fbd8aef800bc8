"""Migrations and roles on a real Postgres: each once, never edited, and no service sees another's tables."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from deploy.local import schemas
from shared.runtime import migrations, postgres
from shared.runtime.migrations import MigrationChangedError, Schema
from shared.runtime.postgres import Database, DatabaseRefusedError, DatabaseUnavailableError

pytestmark = pytest.mark.postgres

MakeDatabase = Callable[[str], Awaitable[Database]]


@pytest.fixture
def schema(tmp_path: Path) -> Schema:
    (tmp_path / "01.00.00_01_pre_baseline.sql").write_text("create table things (id int primary key);")
    return Schema(name="trial", folder=tmp_path, shared=("messaging",))


async def test_each_file_is_applied_once_in_order(postgres_url: str, schema: Schema) -> None:
    admin = await asyncpg.connect(postgres_url)
    try:
        assert await migrations.missing(admin, schema) == ["shared/messaging", "01.00.00_01_pre_baseline.sql"]
        assert await migrations.migrate(admin, schema) == ["shared/messaging", "01.00.00_01_pre_baseline.sql"]
        assert await migrations.migrate(admin, schema) == []
        (schema.folder / "01.00.00_02_pre_more.sql").write_text("alter table things add column name text;")
        assert await migrations.missing(admin, schema) == ["01.00.00_02_pre_more.sql"]
        assert await migrations.migrate(admin, schema) == ["01.00.00_02_pre_more.sql"]
        assert await migrations.missing(admin, schema) == []
    finally:
        await admin.close()


async def test_an_edited_file_is_refused(postgres_url: str, schema: Schema) -> None:
    admin = await asyncpg.connect(postgres_url)
    try:
        await migrations.migrate(admin, schema)
        (schema.folder / "01.00.00_01_pre_baseline.sql").write_text("create table others (id int);")
        with pytest.raises(MigrationChangedError, match="write a new migration instead"):
            await migrations.migrate(admin, schema)
    finally:
        await admin.close()


async def test_a_file_that_fails_leaves_nothing_behind(postgres_url: str, schema: Schema) -> None:
    admin = await asyncpg.connect(postgres_url)
    try:
        (schema.folder / "01.00.00_02_pre_broken.sql").write_text("create table more (id int); select 1/0;")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrations.migrate(admin, schema)
        assert await admin.fetchval("select to_regclass('trial.things')") is None
    finally:
        await admin.close()


@pytest.mark.parametrize("service", schemas.SERVICES)
async def test_a_running_role_sees_its_own_rows_and_changes_no_table(
    make_database: MakeDatabase, service: str
) -> None:
    database = await make_database(service)
    others = [other for other in schemas.SERVICES if other != service]
    forbidden = [
        *(f"select * from {other}.outbox" for other in others),
        *(f"create table {other}.mine (id int)" for other in others),
        *(f'set role "{role}"' for role in (f"{service}_owner", *others, "postgres")),
        f"create table {service}.mine (id int)",
        "create table public.mine (id int)",
        "drop table outbox",
        "alter table outbox add column more int",
        "truncate inbox",
        "delete from schema_migrations",
        "create schema mine",
        "create role mine",
    ]
    for statement in forbidden:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction() as transaction:
                await transaction.connection.execute(statement)
    async with database.transaction() as transaction:
        await transaction.connection.execute("insert into inbox values ('c', gen_random_uuid())")
        assert await transaction.connection.fetchval("select count(*) from inbox") == 1
        assert await transaction.connection.fetchval("select count(*) from schema_migrations") > 0


async def test_a_refused_role_and_an_absent_server_are_told_apart(
    make_database: MakeDatabase, postgres_url: str
) -> None:
    await make_database("pricing")
    place = postgres_url.rsplit("@", 1)[1]
    with pytest.raises(DatabaseRefusedError, match="refuses the role pricing"):
        await Database.open(f"postgresql://pricing:wrong@{place}", schema="pricing", attempts=1)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    with pytest.raises(DatabaseUnavailableError, match="connecting to Postgres"):
        await Database.open(
            "postgresql://pricing:x@127.0.0.1:1/spot", schema="pricing", attempts=3, sleep=sleep
        )
    assert waits == [postgres.CONNECT_RETRY_SECONDS] * 2


async def test_a_connection_that_is_cut_is_nobodys_fault_and_the_next_one_works(
    make_database: MakeDatabase, postgres_url: str
) -> None:
    database = await make_database("pricing")
    admin = await asyncpg.connect(postgres_url)

    async def work() -> None:
        async with database.transaction() as transaction:
            pid = await transaction.connection.fetchval("select pg_backend_pid()")
            await admin.fetchval("select pg_terminate_backend($1, 5000)", pid)
            await transaction.connection.execute("select 1")

    try:
        with pytest.raises(DatabaseUnavailableError):
            await work()
    finally:
        await admin.close()
    await database.ping()
