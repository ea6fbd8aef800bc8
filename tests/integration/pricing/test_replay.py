"""Recorded history of hundreds of types, replayed: what is stored is what was in force, poll after poll."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aioboto3
import pytest

from deploy.sandbox.aws.world import AwsConfig
from services.pricing.adapters.aws_requests import AwsRequests, Operation
from services.pricing.adapters.ec2 import Ec2Catalogue, Ec2PlacementScoreSource, Ec2SpotPriceSource
from services.pricing.adapters.postgres_budgets import PostgresBudgets
from services.pricing.adapters.price_list import PriceListSource
from services.pricing.adapters.spot_advisor import SpotAdvisorFile
from services.pricing.adapters.unit_of_work import factory
from services.pricing.entrypoints.ticker import Refreshers
from services.pricing.settings import PricingSettings
from shared.kernel.pools import CapacityType
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from shared.runtime.postgres import Database
from tests.fakes.pricing_budgets import InMemoryBudgets
from tests.integration.pricing.aws import World, running

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres, pytest.mark.slow]

MakeDatabase = Callable[[str], Awaitable[Database]]
REGION = "us-east-1"
RECORDED = "spot-prices/us-east-1_2021-03_2021-04.csv.gz"
CLOCK_FACTOR = 600.0
"""Rows are dated to the second: a faster market would put two changes of a pool into one."""
Pool = tuple[str, str]
"""Instance type and zone id."""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory, data_folder: Path) -> Iterator[World]:
    config = AwsConfig(
        state_dir=tmp_path_factory.mktemp("aws"),
        prices_file=data_folder / RECORDED,
        clock_factor=CLOCK_FACTOR,
    )
    with running(config) as world:
        yield world


@pytest.fixture(autouse=True)
def as_a_customer_of_aws(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.world.fault("clear")
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)


class CountedRequests(AwsRequests):
    """The real thing; notes every request for spot prices and how many rows it brought."""

    asked: list[Mapping[str, Any]]
    rows: int

    def forget(self) -> None:
        self.asked, self.rows = [], 0

    async def call(
        self, operation: Operation, *, region: str, doing: str, **parameters: Any
    ) -> Mapping[str, Any]:
        answer = await super().call(operation, region=region, doing=doing, **parameters)
        if "SpotPriceHistory" in answer:
            self.asked.append(parameters)
            self.rows += len(answer["SpotPriceHistory"])
        return answer


class Process:
    """A process of the service, as far as it polls."""

    def __init__(self, aws: World, database: Database) -> None:
        self._database, self._market = database, aws.world.market
        self._zones = {zone: zone_id for _, zone, zone_id in aws.world.seed.subnets}
        session, clock = aioboto3.Session(), SystemClock()
        self.settings = PricingSettings(
            regions=frozenset({REGION}), spot_advisor_url=aws.world.seed.advisor_url
        )
        self.requests = CountedRequests(
            budgets=PostgresBudgets(database), clock=clock, requests_per_second=50, burst=100
        )
        self.requests.forget()
        self.refreshers = Refreshers(
            settings=self.settings,
            catalogue=Ec2Catalogue(session, self.requests),
            on_demand=[PriceListSource(session, self.requests, api_region=REGION)],
            spot_prices=Ec2SpotPriceSource(session, self.requests),
            advisor=SpotAdvisorFile(self.settings.spot_advisor_url),
            unit_of_work=factory(database),
            clock=clock,
            ids=UuidSeven(),
        )

    async def cursor(self) -> datetime:
        async with factory(self._database)() as uow:
            found = await uow.offerings.source_as_of(REGION, "spot_price_history")
        assert found is not None
        return found

    async def in_force(self) -> dict[Pool, Decimal]:
        async with factory(self._database)() as uow:
            known = await uow.offerings.known(REGION)
        return {
            (pool.instance_type, pool.zone_id): point.usd_per_hour
            for pool, point in known.items()
            if pool.capacity_type is CapacityType.SPOT
        }

    def truth(self, at: datetime) -> dict[Pool, Decimal]:
        prices = {
            (name, self._zones[zone]): self._market.spot_price(name, zone, at=at.timestamp())
            for name, zone in self._market.offered
        }
        return {pool: Decimal(f"{usd:.6f}") for pool, usd in prices.items() if usd is not None}

    def rows_there_are(self, since: datetime, until: datetime) -> int:
        return len(self._market.points(start=since.timestamp(), end=until.timestamp()))

    def changes(self, since: datetime, until: datetime) -> dict[Pool, list[Decimal]]:
        """Prices of each pool in the order in which they came, each said once."""
        found: dict[Pool, list[Decimal]] = defaultdict(list)
        points = self._market.points(start=since.timestamp(), end=until.timestamp())
        for point in sorted(points, key=lambda p: p.at):
            own, usd = (
                found[point.instance_type, self._zones[point.zone]],
                Decimal(f"{point.usd_per_hour:.6f}"),
            )
            if not own or own[-1] != usd:
                own.append(usd)
        return found


@pytest.fixture
async def make_process(aws: World, make_database: MakeDatabase) -> Callable[[], Process]:
    database = await make_database("pricing")
    return lambda: Process(aws, database)


async def test_the_table_is_the_replays_truth_after_every_poll_and_across_restarts(
    make_process: Callable[[], Process], make_database: MakeDatabase
) -> None:
    first = make_process()
    await first.refreshers.start_up()
    cursor = await first.cursor()
    truth = first.truth(cursor)
    assert len(truth) > 1100
    assert await first.in_force() == truth
    since = cursor - first.settings.spot_history_start
    assert first.requests.rows == first.rows_there_are(since, cursor)

    for _ in range(3):
        await asyncio.sleep(0.2)
        process = make_process()
        await process.refreshers.refresh_prices()
        before, cursor = cursor, await process.cursor()
        assert await process.in_force() == process.truth(cursor)
        window = before - process.settings.spot_history_overlap
        assert {asked["StartTime"] for asked in process.requests.asked} == {window}
        assert process.requests.rows == process.rows_there_are(window, cursor), "each row of it once"
        assert len(process.requests.asked) == -(-process.requests.rows // 1000), "and no request more"

    assert await _history(await make_database("pricing")) == first.changes(since, cursor)


async def _history(database: Database) -> dict[Pool, list[Decimal]]:
    found: dict[Pool, list[Decimal]] = defaultdict(list)
    async with database.transaction() as transaction:
        rows = await transaction.connection.fetch(
            "select instance_type, zone_id, usd_per_hour from price_points where capacity_type = 'spot'"
            " order by effective_at"
        )
    for row in rows:
        found[row["instance_type"], row["zone_id"]].append(row["usd_per_hour"])
    return found


async def test_placement_scores_are_of_zone_ids(aws: World) -> None:
    clock = SystemClock()
    requests = AwsRequests(budgets=InMemoryBudgets(clock), clock=clock, requests_per_second=50, burst=100)
    source = Ec2PlacementScoreSource(aioboto3.Session(), requests)
    scores = await source.scores(
        REGION, instance_types=["m5.large", "m5.xlarge", "m5.2xlarge"], target_vcpus=64
    )
    assert scores.keys() == {zone_id for _, _, zone_id in aws.world.seed.subnets}
    assert all(1 <= score <= 10 for score in scores.values())
