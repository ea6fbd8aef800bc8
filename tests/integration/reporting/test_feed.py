"""Activity and audit on a real Postgres: once a message, in one chain, for good."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.reporting.adapters.unit_of_work import factory
from services.reporting.domain.audit_chain import Deed
from services.reporting.handlers.show_activity import show_activity
from services.reporting.handlers.show_audit import show_audit
from services.reporting.ports import Happening
from shared.contracts.v1.reporting import GetActivity, GetAudit
from shared.runtime.postgres import Database
from tests.fakes.reporting import SetClock, SteadyIds

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLOCK = SetClock(NOON)
IDS = SteadyIds()

MakeDatabase = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def database(make_database: MakeDatabase) -> Database:
    return await make_database("reporting")


async def append(database: Database, organization_id: str, target: str) -> None:
    async with factory(database)() as uow:
        await uow.act_for(organization_id)
        await uow.audit.append(Deed(NOON, "user-1", "approve_plan", target, {"é": '"quoted"'}))


async def execute(database: Database, sql: str) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute("select set_config('app.organization_id', 'acme', true)")
        await transaction.connection.execute(sql)


async def test_concurrent_writers_make_one_chain_an_organization(database: Database) -> None:
    await asyncio.gather(
        *(append(database, organization, str(n)) for n in range(6) for organization in ("acme", "other"))
    )
    for organization in ("acme", "other"):
        request = GetAudit.make(scope=organization, clock=CLOCK, ids=IDS, after=2, limit=10)
        page = await show_audit(request, unit_of_work=factory(database))
        assert [entry.position for entry in page.entries] == [3, 4, 5, 6]
        assert page.is_chain_intact


@pytest.mark.parametrize(
    "change", ["update audit_log set actor = 'x'", "delete from audit_log", "truncate audit_log"]
)
async def test_the_audit_log_is_append_only(database: Database, change: str) -> None:
    await append(database, "acme", "1")
    with pytest.raises((asyncpg.RaiseError, asyncpg.InsufficientPrivilegeError)):
        await execute(database, change)


async def test_even_an_administrator_trips_over_the_trigger(database: Database, postgres_url: str) -> None:
    await append(database, "acme", "1")
    admin = await asyncpg.connect(postgres_url)
    try:
        for change in ("update reporting.audit_log set actor = 'x'", "truncate reporting.audit_log"):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await admin.execute(change)
    finally:
        await admin.close()


async def test_the_feed_is_newest_first_once_a_message_and_one_organization_only(database: Database) -> None:
    unit_of_work = factory(database)
    for number, (organization, minute) in enumerate([("acme", 1), ("acme", 3), ("acme", 2), ("other", 4)]):
        for _ in range(2):
            async with unit_of_work() as uow:
                await uow.act_for(organization)
                cluster_id = "c1" if minute < 3 else None
                at = NOON.replace(minute=minute)
                await uow.activity.add(UUID(int=number), Happening(at, cluster_id, "x", str(minute)))

    async def told(**fields: Any) -> list[str]:
        request = GetActivity.make(scope="acme", clock=CLOCK, ids=IDS, **fields)
        return [e.text for e in (await show_activity(request, unit_of_work=unit_of_work)).entries]

    assert await told() == ["3", "2", "1"]
    assert await told(cluster_id="c1") == ["2", "1"]
    assert await told(limit=1) == ["3"]
    assert await told(limit=-1) == []
