"""sql/schema.sql is what all migrations of a service amount to, and making it anew gives the same."""

import asyncpg
import pytest

from deploy.local import schemas
from deploy.tools import database_schemas

pytestmark = pytest.mark.postgres

COMMAND = "run `python -m deploy.tools.database_schemas`"


@pytest.mark.parametrize("service", schemas.SERVICES)
async def test_the_committed_schema_is_the_migrated_one(postgres_url: str, service: str) -> None:
    admin = await asyncpg.connect(postgres_url)
    try:
        migrated = await database_schemas.rendered(admin, service)
        committed = database_schemas.path_of(service).read_text()
        assert committed == migrated, COMMAND
        await admin.execute(f'drop schema "{service}" cascade; create schema "{service}"')
        await admin.execute(f'set search_path to "{service}"')
        await admin.execute(committed)
        assert await database_schemas.rendered(admin, service) == migrated
    finally:
        await admin.close()


@pytest.mark.parametrize(
    "change",
    [
        "alter table outbox add column note text",
        "alter table outbox alter column subject drop not null",
        "alter table inbox alter column received_at drop default",
        "drop index inbox_received_at",
        "alter table pool_flags add check (reason <> '')",
        "create index more on outbox (subject)",
        "create table more (id int)",
        "alter table outbox enable row level security",
        "create policy all_rows on outbox using (true)",
        "create function nothing() returns int language sql as 'select 1'",
    ],
)
async def test_every_change_shows(postgres_url: str, change: str) -> None:
    admin = await asyncpg.connect(postgres_url)
    try:
        before = await database_schemas.rendered(admin, "pricing")
        await admin.execute(f"set search_path to pricing; {change}")
        assert await database_schemas.rendered(admin, "pricing") != before
    finally:
        await admin.close()
