"""From what happened to our instances to what quotes and predictions say: a real store, bus and model process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from services.pricing.adapters.model_store import ChildModelStore
from services.pricing.adapters.unit_of_work import PostgresUnitOfWork, factory
from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.offerings import PricePoint
from services.pricing.entrypoints import subscribers
from services.pricing.handlers.refresh_pool_risks import refresh_pool_risks
from services.pricing.handlers.refresh_prices import SOURCE as SPOT_SOURCE
from services.pricing.ports import UnitOfWorkFactory
from shared.contracts.v1.executor import InstanceLaunched, InstanceTerminated, NodeInterrupted
from shared.contracts.v1.pricing import (
    InterruptionPrediction,
    OfferingQuotes,
    PredictInterruption,
    Quote,
    QuoteOfferings,
    RecommendedAction,
)
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime import outbox
from shared.runtime.clock import SystemClock
from shared.runtime.flag_board import FlagBoard
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from tests.builders import make_instance_type, make_pool
from tests.fakes.pricing_regions import region_rules
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.nats, pytest.mark.slow]

CLOCK, IDS = SystemClock(), UuidSeven()
HOUR = timedelta(hours=1)
RESTLESS = make_pool(capacity_type=CapacityType.SPOT)
QUIET = make_pool(zone_id="use1-az2", capacity_type=CapacityType.SPOT)
REGION = RESTLESS.region
ZONES = {"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"}
HOURLY_OF_THE_ADVISOR = 0.0004


@dataclass(frozen=True)
class Pricing:
    """Pricing at work."""

    unit_of_work: UnitOfWorkFactory
    executor: Database
    asker: Bus
    model: ChildModelStore

    async def tell(self, *messages: InstanceLaunched | InstanceTerminated | NodeInterrupted) -> None:
        async with self.executor.transaction() as transaction:
            for message in messages:
                await transaction.add(message)

    async def observed(self) -> int:
        async with self.unit_of_work() as uow:
            return len(await uow.observations.since(REGION, since=CLOCK.now() - 24 * HOUR))

    async def refresh(self) -> None:
        await refresh_pool_risks(region=REGION, model=self.model, unit_of_work=self.unit_of_work, clock=CLOCK)

    async def quotes(self) -> dict[PoolKey, Quote]:
        request = QuoteOfferings.make(scope=REGION, clock=CLOCK, ids=IDS)
        return {q.pool: q for q in (await self.asker.ask(request, OfferingQuotes)).quotes}


@pytest.fixture
async def pricing(
    make_database: Callable[[str], Awaitable[Database]],
    bus_for: Callable[[str, Database | None], Awaitable[Bus]],
) -> AsyncIterator[Pricing]:
    database, executor = await make_database("pricing"), await make_database("executor")
    bus, executor_bus = await bus_for("pricing", database), await bus_for("executor", executor)
    unit_of_work, model = factory(database), ChildModelStore(clock=CLOCK)
    subscribers.subscribe(
        bus,
        within=PostgresUnitOfWork,
        unit_of_work=unit_of_work,
        rules=region_rules(REGION),
        board=FlagBoard(bus, clock=CLOCK),
        clock=CLOCK,
        ids=IDS,
        spot_fresh_for=HOUR,
        on_demand_fresh_for=HOUR,
        model=model,
    )
    async with unit_of_work() as uow:
        now = CLOCK.now()
        offered = frozenset((RESTLESS.instance_type, zone) for zone in ZONES)
        types = [make_instance_type(RESTLESS.instance_type)]
        await uow.offerings.replace_catalogue(REGION, zone_ids=ZONES, instance_types=types, offered=offered)
        await uow.offerings.put_in_force([PricePoint(p, Decimal("0.1"), now) for p in (RESTLESS, QUIET)])
        await uow.offerings.note_source(REGION, SPOT_SOURCE, as_of=now)
        await uow.offerings.note_source(REGION, "spot_advisor", as_of=now)
        await uow.risk.put_ratings(REGION, {RESTLESS.instance_type: AdvisorBand.OVER_20_PERCENT})
    await bus.broker.start()
    relay = asyncio.create_task(outbox.relay(executor, executor_bus))
    try:
        yield Pricing(unit_of_work, executor, await bus_for("gateway", None), model)
    finally:
        relay.cancel()
        await asyncio.gather(relay, return_exceptions=True)
        await model.close()


def lived(
    pool: PoolKey, number: int, *, hours_ago: float, is_lost: bool
) -> list[InstanceLaunched | NodeInterrupted]:
    """An instance that lived for 50 minutes, or lives still."""
    began = CLOCK.now() - hours_ago * HOUR
    told: list[InstanceLaunched | NodeInterrupted] = [
        InstanceLaunched.make(
            scope="c1",
            clock=CLOCK,
            ids=IDS,
            organization_id="o1",
            execution_id=IDS.new(),
            instance_id=f"i-{pool.zone_id}-{number}",
            pool=pool,
            usd_per_hour=None,
        ).model_copy(update={"occurred_at": began})
    ]
    if is_lost:
        told.append(
            NodeInterrupted.make(
                scope="c1",
                clock=CLOCK,
                ids=IDS,
                organization_id="o1",
                node_name="n",
                instance_id=f"i-{pool.zone_id}-{number}",
                kind=InterruptionKind.SPOT_INTERRUPTION,
                pool=pool,
            ).model_copy(update={"occurred_at": began + timedelta(minutes=50)})
        )
    return told


async def test_what_is_seen_of_a_pool_is_in_its_next_quote_and_prediction(pricing: Pricing) -> None:
    restless = [
        message
        for number in range(8)
        for message in lived(RESTLESS, number, hours_ago=9 - number, is_lost=number < 7)
    ]
    quiet = lived(QUIET, 0, hours_ago=20, is_lost=False)
    await pricing.tell(*restless, *quiet)

    async def all_observed() -> bool:
        return await pricing.observed() == len(restless) + len(quiet)

    await until(all_observed)
    before = await pricing.quotes()
    await pricing.refresh()
    after = await pricing.quotes()
    request = PredictInterruption.make(
        scope=REGION,
        clock=CLOCK,
        ids=IDS,
        instance_type=RESTLESS.instance_type,
        availability_zone="us-east-1a",
        hour_of_day=1,
        day_of_week=1,
    )
    said = await pricing.asker.ask(request, InterruptionPrediction, timeout_seconds=30)

    assert {quote.risk_source for quote in before.values()} == {"spot_advisor"}
    source = f"spot_advisor+observed+model:{pricing.model.name}"
    assert after[RESTLESS].risk_source == after[QUIET].risk_source == source
    assert (after[RESTLESS].interruption_probability or 0) > 0.2
    assert after[QUIET].interruption_probability == pytest.approx(HOURLY_OF_THE_ADVISOR, rel=0.5)
    assert said.source == source
    assert said.recommended_action is RecommendedAction.AVOID


async def test_an_instance_that_we_ended_is_told_to_pricing(pricing: Pricing) -> None:
    await pricing.tell(*lived(QUIET, 0, hours_ago=2, is_lost=False))

    async def is_known() -> bool:
        return await pricing.observed() == 1

    await until(is_known)
    ended = InstanceTerminated.make(
        scope="c1",
        clock=CLOCK,
        ids=IDS,
        organization_id="o1",
        execution_id=IDS.new(),
        instance_id=f"i-{QUIET.zone_id}-0",
        node_name=None,
    )
    await pricing.tell(ended)

    async def is_ended() -> bool:
        return await pricing.observed() == 2

    await until(is_ended)
