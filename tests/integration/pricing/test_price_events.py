"""Prices told in numbered batches, and a listener that was away while events were forgotten: one table in the end."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import pytest

from services.pricing.adapters.unit_of_work import factory
from services.pricing.domain import offerings
from services.pricing.domain.offerings import PricePoint
from services.pricing.handlers.announce_prices import announce_prices, keep_price_table
from services.reporting.adapters import unit_of_work as books
from services.reporting.adapters.prices import TableSource
from services.reporting.handlers.keep_prices import Heard, keep_prices, read_prices
from services.reporting.handlers.register_cluster import register_cluster
from shared.contracts.v1.gateway import CloudAccountRef, ClusterRegistered
from shared.contracts.v1.pricing import LARGEST_BATCH, OfferingPricesChanged
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime import outbox, payloads
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database, Transaction
from shared.runtime.price_tables import ObjectPriceTables
from tests.builders import make_pool
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.nats, pytest.mark.slow]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[[str, Database | None], Awaitable[Bus]]
REGION = "us-east-1"
CLOCK, IDS = SystemClock(), UuidSeven()
POOLS = [make_pool(f"m{number}.large", capacity_type=CapacityType.SPOT) for number in range(2_300)]


class Pricing:
    """What pricing does after each poll of its source."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self.database = database
        self.bus = bus
        self.unit_of_work = factory(database)
        self.written: int | None = None
        self._at = CLOCK.now() - timedelta(hours=5)

    async def hears(self, prices: dict[PoolKey, Decimal]) -> None:
        self._at += timedelta(minutes=5)
        points = [PricePoint(pool, usd, self._at) for pool, usd in prices.items()]
        async with self.unit_of_work() as uow:
            moved = offerings.changed(points, known=await uow.offerings.known(REGION))
            await uow.offerings.put_in_force(moved)
            await announce_prices(moved, region=REGION, as_of=self._at, uow=uow, clock=CLOCK, ids=IDS)
        while await outbox.relay_once(self.database, self.bus):
            pass

    async def write_table(self) -> None:
        tables = ObjectPriceTables(self.bus)
        self.written = await keep_price_table(
            REGION, written=self.written, tables=tables, unit_of_work=self.unit_of_work, clock=CLOCK
        )

    async def table(self) -> dict[PoolKey, Decimal]:
        async with self.unit_of_work() as uow:
            return {pool: p.usd_per_hour for pool, p in (await uow.offerings.known(REGION)).items()}


@asynccontextmanager
async def reporting(database: Database, bus: Bus) -> AsyncIterator[Heard]:
    """A process of the listener, as far as it keeps prices."""
    heard = Heard()
    units = books.factory(database)

    async def on_prices(message: OfferingPricesChanged, transaction: Transaction) -> None:
        await keep_prices(message, uow=books.PostgresUnitOfWork(transaction), heard=heard)

    async def read() -> None:
        while True:
            await read_prices(
                unit_of_work=units,
                source=TableSource(ObjectPriceTables(bus)),
                clock=CLOCK,
                heard=heard,
                read_again_after=timedelta(hours=1),
            )
            await asyncio.sleep(0.05)

    bus.consume(OfferingPricesChanged, on_prices)
    await bus.broker.start()
    reading = asyncio.create_task(read())
    try:
        yield heard
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await bus.stop()


async def kept(database: Database) -> dict[PoolKey, Decimal]:
    now = CLOCK.now()
    async with books.factory(database)() as uow:
        found = await uow.prices.between(POOLS, now, now)
    return {pool: points[-1].usd_per_hour for pool, points in found.items() if points}


async def test_a_listener_that_missed_events_ends_with_the_same_table(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    database, listener = await make_database("pricing"), await make_database("reporting")
    pricing = Pricing(database, await bus_for("pricing", database))
    units = books.factory(listener)
    account = CloudAccountRef(id="a1", account_number="123456789012", region=REGION)
    async with units() as uow:
        message = ClusterRegistered.make(
            scope="c1", clock=CLOCK, ids=IDS, organization_id="o1", name="prod", cloud_account=account
        )
        await register_cluster(message, uow=uow)
    chance = random.Random(4)

    def some(count: int) -> dict[PoolKey, Decimal]:
        return {pool: Decimal(chance.randint(1, 10**6)) / 10**6 for pool in chance.sample(POOLS, count)}

    await pricing.hears({pool: Decimal("0.5") for pool in POOLS})
    async with reporting(listener, await bus_for("reporting", listener)):
        await until(lambda: kept(listener), is_=await pricing.table())

    for _ in range(3):
        await pricing.hears(some(1_500))
    await pricing.write_table()
    js = pricing.bus.js
    subject = f"{OfferingPricesChanged.type}.{REGION}"
    await js.purge_stream("PRICING_EVT", subject=subject)  # as if they were older than the stream keeps
    await pricing.hears(some(300))
    async with reporting(listener, await bus_for("reporting", listener)) as heard:
        await until(lambda: kept(listener), is_=await pricing.table())
        await pricing.hears(some(40))
        await until(lambda: kept(listener), is_=await pricing.table())
        assert heard.sequences == {REGION: 11}

        # Events vanish under its feet: the next one's number shows it, and the table is read anew.
        async with pricing.unit_of_work() as work:
            await work.offerings.put_in_force([PricePoint(POOLS[0], Decimal("0.123"), CLOCK.now())])
            await work.announcements.advance(REGION, by=1)
        await pricing.write_table()
        await pricing.hears({POOLS[1]: Decimal("0.456")})
        await until(lambda: kept(listener), is_=await pricing.table())


async def test_events_carry_what_changed_in_batches_with_numbers_in_a_row(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    database = await make_database("pricing")
    pricing = Pricing(database, await bus_for("pricing", database))
    first = {pool: Decimal("0.5") for pool in POOLS}
    await pricing.hears(first)
    await pricing.hears(first)
    await pricing.hears(first | {POOLS[0]: Decimal("0.6")})
    subscription = await pricing.bus.js.subscribe(f"{OfferingPricesChanged.type}.>", ordered_consumer=True)
    events = []
    for _ in range(4):
        raw = await subscription.next_msg(timeout=5)
        body = await payloads.unpack(raw.data, raw.headers or {}, js=pricing.bus.js)
        assert len(raw.data) < 64 * 1024
        events.append(OfferingPricesChanged.model_validate_json(body))
    assert [e.sequence for e in events] == [1, 2, 3, 4]
    assert [len(e.prices) for e in events] == [LARGEST_BATCH, LARGEST_BATCH, 300, 1]
    await pricing.write_table()
    table = await ObjectPriceTables(pricing.bus).get(REGION)
    assert table is not None
    assert table.sequence == 4
    assert {pool: usd for pool, usd, _ in table.prices} == await pricing.table()
    assert await ObjectPriceTables(pricing.bus).get("eu-west-1") is None
