"""What reporting knows of prices: events, the table for what it missed, and how long it keeps them."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.reporting.handlers.keep_prices import Heard, read_prices
from tests.fakes.reporting import FakePriceSource
from tests.integration.reporting.world import NOON, SLICE, SPOT, MakeDatabase, World

pytestmark = pytest.mark.postgres


@pytest.fixture
async def world(make_database: MakeDatabase) -> World:
    return await World.opened(make_database)


async def test_the_table_is_read_for_what_events_no_longer_say(world: World) -> None:
    tables = FakePriceSource({"us-east-1": [(SPOT, NOON, Decimal("0.07"))]})
    heard = Heard()

    async def ask() -> int:
        return await read_prices(
            unit_of_work=world.unit_of_work,
            source=tables,
            clock=world.clock,
            heard=heard,
            read_again_after=SLICE,
        )

    tables.is_away = True
    assert await ask() == 0
    tables.is_away = False
    await world.register("c0", "other", region="aa-nowhere-1")
    assert await ask() == 1
    tables.set("us-east-1", [(SPOT, NOON, Decimal("0.08"))])
    assert await ask() == 0
    tables.set("us-east-1", [(SPOT, NOON + SLICE, Decimal("0.07"))])
    world.clock.move(SLICE)
    assert await ask() == 0
    tables.set("us-east-1", [(SPOT, NOON + SLICE, Decimal("0.08"))])
    world.clock.move(SLICE)
    assert await ask() == 1


async def test_a_table_older_than_the_events_that_were_missed_is_read_again(world: World) -> None:
    tables = FakePriceSource({"us-east-1": [(SPOT, NOON - 3 * SLICE, Decimal("0.07"))]})
    heard = Heard()
    heard.note("us-east-1", 1)
    assert heard.note("us-east-1", 4), "2 and 3 never came"

    async def ask(sequence: int) -> int:
        tables.sequence = sequence
        return await read_prices(
            unit_of_work=world.unit_of_work,
            source=tables,
            clock=world.clock,
            heard=heard,
            read_again_after=SLICE,
        )

    assert await ask(2) == 1, "pricing writes its tables some seconds after its events"
    tables.set("us-east-1", [(SPOT, NOON - 2 * SLICE, Decimal("0.09"))])
    assert await ask(3) == 1
    tables.set("us-east-1", [(SPOT, NOON - SLICE, Decimal("0.11"))])
    assert await ask(5) == 0, "what was missed is known now"


async def test_old_prices_go_and_the_one_in_force_stays(world: World) -> None:
    for hours in (3, 2, 1):
        await world.price(f"0.0{hours}", at=NOON - timedelta(hours=hours))
    async with world.unit_of_work() as uow:
        assert await uow.prices.forget(before=NOON - timedelta(minutes=90)) == 1
        found = await uow.prices.between({SPOT}, NOON - timedelta(minutes=80), NOON)
    assert [p.usd_per_hour for p in found[SPOT]] == [Decimal("0.02"), Decimal("0.01")]
