"""Two replicas of pricing: one polls for both, and whoever of them asks AWS keeps within one budget."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.pricing.adapters.aws_requests import AwsRequests
from services.pricing.adapters.postgres_budgets import PostgresBudgets
from services.pricing.adapters.unit_of_work import factory
from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.offerings import PricePoint
from services.pricing.entrypoints.sole_polls import SolePolls
from services.pricing.errors import SourceUnavailableError
from services.pricing.handlers.refresh_catalogue import refresh_catalogue
from services.pricing.handlers.refresh_on_demand_prices import refresh_on_demand_prices
from services.pricing.handlers.refresh_prices import refresh_prices
from services.pricing.handlers.refresh_ratings import refresh_ratings
from services.pricing.ports import UnitOfWorkFactory
from shared.kernel.pools import CapacityType
from shared.runtime.leases import Leases
from shared.runtime.postgres import Database
from tests.builders import make_instance_type, make_pool
from tests.fakes.clock import FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.pricing_outside import FakeAdvisor, FakeCatalogue, FakePriceList, FakeSpotPriceSource
from tests.waiting import until

pytestmark = [pytest.mark.postgres]

REGION = "us-east-1"
BURST = 4
RATE = 0.1
"""Requests a second: that slow, the time that the test itself takes gives nobody anything back."""


class NotedClock(FakeClock):
    """Notes who waits how long, and lets nobody wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


async def answer(**_parameters: Any) -> Mapping[str, Any]:
    return {}


async def test_replicas_ask_no_more_than_one_of_them_alone(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    clocks = [NotedClock() for _ in range(2)]
    replicas = [
        AwsRequests(
            budgets=PostgresBudgets(await make_database("pricing")),
            clock=clock,
            requests_per_second=RATE,
            burst=BURST,
        )
        for clock in clocks
    ]
    began = time.monotonic()
    calls = [replicas[n % 2].call(answer, region=REGION, doing="asking") for n in range(12)]
    await asyncio.gather(*calls, replicas[0].call(answer, region="eu-west-1", doing="asking"))
    took = time.monotonic() - began
    waits = sorted(clocks[0].waits + clocks[1].waits)
    assert clocks[0].waits
    assert clocks[1].waits
    assert len(waits) == 12 - BURST, "the other region has a burst of its own"
    for turn, wait in enumerate(waits, start=1):
        assert turn / RATE - took <= wait <= turn / RATE


async def test_a_replica_that_starts_knows_what_the_others_were_told(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    clock = NotedClock()

    async def replica() -> AwsRequests:
        budgets = PostgresBudgets(await make_database("pricing"))
        return AwsRequests(budgets=budgets, clock=clock, requests_per_second=RATE, burst=BURST)

    one = await replica()
    for _ in range(BURST):
        await one.call(answer, region=REGION, doing="asking")
    assert clock.waits == []
    await (await replica()).call(answer, region=REGION, doing="asking")
    assert clock.waits == [pytest.approx(1 / RATE, rel=0.2)]


class Replica:
    """Polls when its turn comes; notes each poll."""

    def __init__(self, name: str, database: Database, polls: list[str], *, period: timedelta) -> None:
        self._name, self._polls = name, polls
        self.next_error: Exception | None = None
        self.sole = SolePolls(Leases(database, holder=name))
        self.poll = self.sole.poll("prices", period, self._work)

    async def _work(self) -> None:
        self._polls.append(self._name)
        if self.next_error is not None:
            error, self.next_error = self.next_error, None
            raise error


@pytest.fixture
async def replicas(make_database: Callable[[str], Awaitable[Database]]) -> tuple[Replica, Replica, list[str]]:
    polls: list[str] = []
    one, two = [
        Replica(name, await make_database("pricing"), polls, period=timedelta(hours=1))
        for name in ("one", "two")
    ]
    return one, two, polls


async def test_one_replica_polls_for_all_until_it_ends(
    replicas: tuple[Replica, Replica, list[str]],
) -> None:
    one, two, polls = replicas
    for replica in (one, two, two, one, two):
        await replica.poll()
    assert polls == ["one", "one"]
    await one.sole.close()
    for replica in (two, one):
        await replica.poll()
    assert polls == ["one", "one", "two"]


async def test_a_replica_that_cannot_poll_lets_another_try(
    replicas: tuple[Replica, Replica, list[str]],
) -> None:
    one, two, polls = replicas
    one.next_error = SourceUnavailableError("no network")
    with pytest.raises(SourceUnavailableError):
        await one.poll()
    for replica in (two, one):
        await replica.poll()
    assert polls == ["one", "two"]


async def test_what_ailed_the_poll_is_told_though_the_turn_cannot_be_given_away(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    database = await make_database("pricing")

    async def poll_while_the_database_goes() -> None:
        await database.close()
        raise SourceUnavailableError("no network")

    sole = SolePolls(Leases(database, holder="one"))
    with pytest.raises(SourceUnavailableError, match="no network"):
        await sole.poll("prices", timedelta(hours=1), poll_while_the_database_goes)()


async def test_the_turn_of_a_replica_that_died_passes_on(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    polls: list[str] = []
    dead, alive = [
        Replica(name, await make_database("pricing"), polls, period=timedelta(seconds=0.1))
        for name in ("dead", "alive")
    ]
    await dead.poll()

    async def has_its_turn() -> bool:
        await alive.poll()
        return "alive" in polls

    await until(has_its_turn)
    assert polls == ["dead", "alive"]


async def test_replicas_that_start_together_store_what_each_of_them_read(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    clock, ids = FakeClock(), CountedIds()
    units = [factory(await make_database("pricing")) for _ in range(3)]
    types = [make_instance_type(f"m5.{n}xlarge") for n in range(1, 20)]
    zones = {f"{REGION}{letter}": f"use1-az{n}" for n, letter in enumerate("abc", start=1)}
    pools = [
        make_pool(t.name, zone_id=zone, capacity_type=CapacityType.SPOT)
        for t in types
        for zone in zones.values()
    ]
    points = [PricePoint(pool, Decimal("0.05"), clock.now() - timedelta(hours=1)) for pool in pools]
    prices = {t.name: Decimal("0.2") for t in types}
    bands = {REGION: {t.name: AdvisorBand.UNDER_5_PERCENT for t in types}}

    async def start(unit_of_work: UnitOfWorkFactory, *, spot: FakeSpotPriceSource) -> None:
        pricing: dict[str, Any] = {"unit_of_work": unit_of_work, "clock": clock, "ids": ids}
        await refresh_catalogue(region=REGION, catalogue=FakeCatalogue(zones, types), **pricing)
        await refresh_on_demand_prices(region=REGION, sources=[FakePriceList(prices)], **pricing)
        await refresh_ratings(regions=frozenset({REGION}), advisor=FakeAdvisor(bands), **pricing)
        await refresh_prices(
            region=REGION,
            source=spot,
            first_look_back=timedelta(hours=48),
            overlap=timedelta(minutes=10),
            history_kept=timedelta(days=400),
            unconfirmed_kept=timedelta(days=1),
            **pricing,
        )

    for turn in range(2):
        orders = points, points[::-1], points
        await asyncio.gather(
            *(
                start(unit, spot=FakeSpotPriceSource(list(order)))
                for unit, order in zip(units, orders, strict=True)
            )
        )
        async with units[0]() as uow:
            known = await uow.offerings.known(REGION)
            told = await uow.announcements.current(REGION)
        assert len(known) == 2 * len(pools)
        assert told == 2, (
            f"turn {turn}: one event of on-demand prices and one of spot prices, whoever was first"
        )
