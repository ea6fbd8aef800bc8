"""Months of prices in a real Postgres: room ahead, days in place of events, and an end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local import schemas
from services.pricing.adapters.unit_of_work import factory
from services.pricing.domain.notices import Notice
from services.pricing.domain.offerings import PricePoint
from services.pricing.errors import HistoryBusyError
from services.pricing.handlers.keep_price_history import keep_price_history
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime.clock import SystemClock
from shared.runtime.migrations import migrate
from shared.runtime.postgres import Database
from tests.builders import make_pool

pytestmark = pytest.mark.postgres

MakeDatabase = Callable[[str], Awaitable[Database]]
SPOT = make_pool(capacity_type=CapacityType.SPOT)
DAY = timedelta(days=1)
BEFORE_MONTHS = "01.00.00_01_pre_baseline.sql"
MONTHS = "01.01.00_01_pre_price_months.sql"


class At:
    """A clock that stands still."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody waits {seconds} s here")


def point(usd: str, at: datetime, *, pool: PoolKey = SPOT) -> PricePoint:
    return PricePoint(pool, Decimal(usd), at)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def add(database: Database, *points: PricePoint) -> int:
    async with factory(database)() as uow:
        return await uow.offerings.add_points(points)


async def keep(database: Database, now: datetime) -> int:
    return await keep_price_history(
        unit_of_work=factory(database),
        clock=At(now),
        events_kept=90 * DAY,
        days_kept=396 * DAY,
        quarantined_rows=10,
    )


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.transaction() as transaction:
        return [tuple(row) for row in await transaction.connection.fetch(query)]


DAYS = (
    "select day, last_usd_per_hour, lowest_usd_per_hour, highest_usd_per_hour from price_days"
    " where instance_type = 'm5.xlarge' order by day"
)


async def test_old_months_become_days_and_new_ones_have_room(make_database: MakeDatabase) -> None:
    database = await make_database("pricing")
    await add(
        database,
        point("0.30", instant("2030-01-31T23:00:00")),
        point("0.10", instant("2030-02-01T01:00:00")),
        point("0.20", instant("2030-02-01T23:59:59")),
        point("0.15", instant("2030-02-20T12:00:00")),
        point("0.16", instant("2030-05-02T00:00:00")),
    )
    assert await keep(database, instant("2030-06-15T00:00:00")) == 4
    assert await rows(database, DAYS) == [
        (date(2030, 1, 31), Decimal("0.30"), Decimal("0.30"), Decimal("0.30")),
        (date(2030, 2, 1), Decimal("0.20"), Decimal("0.10"), Decimal("0.30")),
        (date(2030, 2, 20), Decimal("0.15"), Decimal("0.15"), Decimal("0.20")),
    ], "a day's range includes the price in force when it began"
    assert await rows(database, "select usd_per_hour from price_points") == [(Decimal("0.16"),)]
    async with factory(database)() as uow:
        months = await uow.history.event_months()
    assert {date(2030, 6, 1), date(2030, 7, 1), date(2030, 8, 1), date(2030, 9, 1)} <= set(months)
    assert await keep(database, instant("2030-06-15T00:00:00")) == 0, "a second run finds nothing to do"


async def test_an_event_of_a_folded_month_that_comes_late_joins_its_day(make_database: MakeDatabase) -> None:
    database = await make_database("pricing")
    june = instant("2030-06-15T00:00:00")
    await add(database, point("0.10", instant("2030-02-01T06:00:00")))
    await keep(database, june)
    late = point("0.05", instant("2030-02-01T03:00:00"))
    last = point("0.40", instant("2030-02-01T09:00:00"))
    for _ in range(2):
        assert await add(database, late, last) == 2, "its month is made again"
        assert await keep(database, june) == 2
        assert await rows(database, DAYS) == [
            (date(2030, 2, 1), Decimal("0.40"), Decimal("0.05"), Decimal("0.40"))
        ], "and the same rows twice change nothing"


async def test_what_is_too_old_goes_for_good(make_database: MakeDatabase) -> None:
    database = await make_database("pricing")
    await add(
        database,
        point("0.10", instant("2028-12-31T23:59:59")),
        point("0.11", instant("2029-05-01T00:00:00")),
    )
    assert await keep(database, instant("2030-06-15T00:00:00")) == 2
    assert [row[0] for row in await rows(database, DAYS)] == [date(2029, 5, 1)]


@pytest.mark.slow
async def test_a_month_in_use_is_left_for_later(make_database: MakeDatabase) -> None:
    database = await make_database("pricing")
    await add(database, point("0.10", instant("2030-02-01T06:00:00")))
    async with database.transaction() as reader:
        await reader.connection.fetch("select * from price_points")
        with pytest.raises(HistoryBusyError, match="folding the prices of"):
            await keep(database, instant("2030-06-15T00:00:00"))
    assert await keep(database, instant("2030-06-15T00:00:00")) == 1


async def test_the_running_role_makes_months_but_no_tables(make_database: MakeDatabase) -> None:
    database = await make_database("pricing")
    for forbidden in (
        "create table pricing.mine (id int)",
        "drop table pricing.price_points",
        "alter table pricing.price_points add column more int",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction() as transaction:
                await transaction.connection.execute(forbidden)
    async with factory(database)() as uow:
        assert await uow.history.ensure_months([date(2040, 1, 1)]) == 2


async def test_two_who_make_the_same_month_at_once_make_it_once(make_database: MakeDatabase) -> None:
    database = await make_database("pricing")

    async def make() -> int:
        async with factory(database)() as uow:
            return await uow.history.ensure_months([date(2041, 1, 1)])

    assert sorted(await asyncio.gather(make(), make(), make())) == [0, 0, 2]


async def test_the_migration_keeps_every_row(postgres_url: str, tmp_path: Path) -> None:
    own = schemas.schema_of("pricing").folder
    (tmp_path / BEFORE_MONTHS).write_text((own / BEFORE_MONTHS).read_text())
    admin = await asyncpg.connect(postgres_url)
    try:
        schema = schemas.schema_of("pricing")
        old = type(schema)(name="pricing_old", folder=tmp_path, shared=schema.shared)
        await migrate(admin, old)
        await admin.execute(
            """
            insert into pricing_old.price_points
            select 'us-east-1', 'm5.large', 'use1-az' || zone, 'spot', at, 0.1 + zone * 0.01
            from generate_series(1, 3) zone,
                generate_series('2024-12-31 22:00+00'::timestamptz, '2026-02-01 00:00+00', '7 hours') at
            """
        )
        query = "select * from pricing_old.price_points order by 1, 2, 3, 4, 5"
        before = await admin.fetch(query)
        (tmp_path / MONTHS).write_text((own / MONTHS).read_text())
        assert await migrate(admin, old) == [MONTHS]
        assert await admin.fetch(query) == before
        assert len(before) > 1000
    finally:
        await admin.execute("drop schema pricing_old cascade")
        await admin.close()


@pytest.mark.slow
async def test_prices_that_come_while_a_month_is_folded_wait_for_it(
    make_database: MakeDatabase, postgres_url: str
) -> None:
    database = await make_database("pricing")
    await add(database, point("0.1", instant("2026-05-03")), point("0.2", instant("2026-05-04")))

    async def fold() -> int:
        async with factory(database)() as uow:
            return await uow.history.fold_month(date(2026, 5, 1))

    holder = await asyncpg.connect(postgres_url)
    async with holder.transaction():
        await holder.execute("lock table pricing.price_days_2026_05 in share mode")
        folding = asyncio.create_task(fold())
        await asyncio.sleep(0.2)  # now it waits for the days, and has its other locks
        adding = asyncio.create_task(add(database, point("0.3", instant("2026-11-10"))))
        await asyncio.sleep(0.2)
    await holder.close()
    assert tuple(await asyncio.gather(folding, adding)) == (2, 1)


async def test_a_month_whose_days_are_gone_is_folded_all_the_same(make_database: MakeDatabase) -> None:
    database = await make_database("pricing")
    await add(database, point("0.1", instant("2024-05-03")))
    async with factory(database)() as uow:
        await uow.history.drop_month(date(2024, 5, 1))
    async with factory(database)() as uow:
        assert await uow.history.fold_month(date(2024, 5, 1)) == 1
    assert await keep(database, instant("2026-11-10")) == 0


async def test_instances_and_notices_go_by_when_they_came(make_database: MakeDatabase) -> None:
    database, now = await make_database("pricing"), SystemClock().now()
    async with factory(database)() as uow:
        for name in ("i-1", "i-2"):
            await uow.risk.put_instance_pool(name, SPOT)
        notices = [
            Notice(f"e:{name}", name, "1", "us-east-1", InterruptionKind.SPOT_INTERRUPTION, now + 900 * DAY)
            for name in ("i-1", "i-2")
        ]
        assert len(await uow.risk.add_notices(notices)) == 2
    async with database.transaction() as transaction:
        for table, column in (("instance_pools", "seen_at"), ("instance_notices", "received_at")):
            await transaction.connection.execute(
                f"update {table} set {column} = $1 where instance_id = 'i-1'", now - 30 * DAY
            )
    async with factory(database)() as uow:
        before = now - 29 * DAY
        assert await uow.instances.forget_instances(ended_before=before, seen_before=before, most=9) == 1
        assert await uow.instances.forget_notices(before=before, most=9) == 1
        assert set(await uow.risk.instance_pools(["i-1", "i-2"])) == {"i-2"}
        assert await uow.risk.add_notices(notices) == {"e:i-1"}, "the other is known still"


async def test_forgetting_waits_for_nobody_who_has_a_row_in_hand(make_database: MakeDatabase) -> None:
    database, now = await make_database("pricing"), SystemClock().now()
    ids = ("i-1", "i-2")
    notices = [
        Notice(f"e:{name}", name, "1", "us-east-1", InterruptionKind.SPOT_INTERRUPTION, now) for name in ids
    ]
    async with factory(database)() as uow:
        for name in ids:
            await uow.risk.put_instance_pool(name, SPOT)
        await uow.risk.add_notices(notices)

    async def forget() -> tuple[int, int]:
        later = now + 900 * DAY
        async with factory(database)() as uow:
            return (
                await uow.instances.forget_instances(ended_before=later, seen_before=later, most=9),
                await uow.instances.forget_notices(before=later, most=9),
            )

    async with database.transaction() as other:
        for table in ("instance_pools", "instance_notices"):
            await other.connection.execute(f"select from {table} where instance_id = 'i-1' for update")
        assert await asyncio.wait_for(forget(), 10) == (1, 1)
    assert await forget() == (1, 1)
