"""Pricing on the sandbox's AWS, a real Postgres and a real bus: what it says is what the market says."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import aioboto3
import pytest

from deploy.sandbox.aws.world import AwsConfig
from services.pricing import app
from services.pricing.adapters.aws_requests import AwsRequests
from services.pricing.adapters.ec2 import Ec2Catalogue, Ec2SpotPriceSource
from services.pricing.adapters.postgres_budgets import PostgresBudgets
from services.pricing.adapters.price_list import PriceListSource
from services.pricing.adapters.spot_advisor import SpotAdvisorFile
from services.pricing.adapters.unit_of_work import factory
from services.pricing.domain.offerings import PricePoint
from services.pricing.entrypoints.ticker import Refreshers
from services.pricing.errors import SourceUnavailableError
from services.pricing.settings import PricingSettings
from shared.contracts.v1.pricing import OfferingQuotes, QuoteOfferings
from shared.kernel.pools import CapacityType
from shared.runtime import outbox
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from tests.integration.pricing.aws import World, running
from tests.runtimes import make_runtime
from tests.waiting import until

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres, pytest.mark.slow]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[[str, Database | None], Awaitable[Bus]]
REGION = "us-east-1"
SPOT_POINTS = "price_points where capacity_type = 'spot'"
HEAD = "Timestamp,AvailabilityZone,InstanceType,ProductDescription,SpotPrice"
PRICES = f"""{HEAD}
2021-03-01T00:00:00+00:00,us-east-1a,m5.large,Linux/UNIX,0.030000
2021-03-02T12:00:00+00:00,us-east-1a,m5.large,Linux/UNIX,0.031000
2021-03-02T18:00:00+00:00,us-east-1a,m5.large,Linux/UNIX,0.032000
2021-03-01T01:00:00+00:00,us-east-1b,m5.large,Linux/UNIX,0.020000
2021-03-01T01:00:00+00:00,us-east-1b,c5.large,Linux/UNIX,0.025000
2021-03-09T00:00:00+00:00,us-east-1b,c5.large,Linux/UNIX,0.026000
"""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("aws")
    prices = folder / "prices.csv"
    prices.write_text(PRICES)
    with running(AwsConfig(state_dir=folder, prices_file=prices, clock_factor=1.0)) as world:
        yield world


@pytest.fixture(autouse=True)
def as_a_customer_of_aws(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.world.fault("clear")
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def settings(aws: World) -> PricingSettings:
    return PricingSettings(
        regions=frozenset({REGION}),
        notice_queue_url=aws.world.seed.queue_url,
        spot_advisor_url=aws.world.seed.advisor_url,
    )


class RecordingSource:
    """The real source, and what it was asked for and gave."""

    def __init__(self, real: Ec2SpotPriceSource) -> None:
        self._real = real
        self.since: list[datetime] = []
        self.rows: list[int] = []

    async def price_points(
        self, *, region: str, since: datetime, until: datetime, zone_ids: Mapping[str, str]
    ) -> AsyncIterator[Sequence[PricePoint]]:
        self.since.append(since)
        self.rows.append(0)
        async for page in self._real.price_points(region=region, since=since, until=until, zone_ids=zone_ids):
            self.rows[-1] += len(page)
            yield page


def started(settings: PricingSettings, database: Database) -> tuple[Refreshers, RecordingSource]:
    """A process of the service, as far as it polls."""
    session = aioboto3.Session()
    requests = AwsRequests(
        budgets=PostgresBudgets(database), clock=SystemClock(), requests_per_second=50, burst=100
    )
    source = RecordingSource(Ec2SpotPriceSource(session, requests))
    refreshers = Refreshers(
        settings=settings,
        catalogue=Ec2Catalogue(session, requests),
        on_demand=[PriceListSource(session, requests, api_region=REGION)],
        spot_prices=source,
        advisor=SpotAdvisorFile(settings.spot_advisor_url),
        unit_of_work=factory(database),
        clock=SystemClock(),
        ids=UuidSeven(),
    )
    return refreshers, source


async def count(database: Database, table: str) -> int:
    async with database.transaction() as transaction:
        return int(await transaction.connection.fetchval(f"select count(*) from {table}"))


@pytest.mark.nats
async def test_what_it_quotes_is_what_the_market_asks(
    aws: World, settings: PricingSettings, make_database: MakeDatabase, bus_for: BusFor
) -> None:
    database = await make_database("pricing")
    bus = await bus_for("pricing", database)
    runtime = make_runtime("pricing", database, bus)
    await app.wiring(settings)(runtime)
    await bus.broker.start()
    asker = await bus_for("optimizer", None)
    loops = [asyncio.create_task(body(), name=name) for name, body in runtime._loops]
    try:
        await until(lambda: count(database, "source_states"), is_=5)
        await until(runtime.health.reasons, is_={})
        request = QuoteOfferings.make(scope=REGION, clock=runtime.clock, ids=runtime.ids)
        answer = await asker.ask(request, OfferingQuotes)
        zones = {zone_id: zone for _, zone, zone_id in aws.world.seed.subnets}
        quoted = {
            (q.pool.instance_type, zones[q.pool.zone_id], str(q.pool.capacity_type)): q for q in answer.quotes
        }
        assert sorted(quoted) == [
            ("c5.large", "us-east-1b", "on-demand"),
            ("c5.large", "us-east-1b", "spot"),
            ("m5.large", "us-east-1a", "on-demand"),
            ("m5.large", "us-east-1a", "spot"),
            ("m5.large", "us-east-1b", "on-demand"),
            ("m5.large", "us-east-1b", "spot"),
        ]
        for (name, zone, capacity_type), quote in quoted.items():
            assert float(quote.usd_per_hour) == aws.world.price(name, zone, capacity_type)
            assert not quote.is_stale
            assert (quote.interruption_probability is not None) is (capacity_type == "spot")
        assert [t.name for t in answer.instance_types] == ["c5.large", "m5.large"]

        body = json.dumps(
            {
                "version": "0",
                "id": "the-same-event",
                "detail-type": "EC2 Spot Instance Interruption Warning",
                "source": "aws.ec2",
                "account": "123456789012",
                "time": "2026-01-01T00:00:00Z",
                "region": REGION,
                "detail": {"instance-id": "i-00000000000000001"},
            }
        )
        async with aioboto3.Session().client("sqs") as sqs:
            for text in (body, "no event at all", body, body):
                await sqs.send_message(QueueUrl=aws.world.seed.queue_url, MessageBody=text)

            async def left() -> int:
                found = await sqs.get_queue_attributes(
                    QueueUrl=aws.world.seed.queue_url, AttributeNames=["All"]
                )
                kept = found["Attributes"]
                return int(kept["ApproximateNumberOfMessages"]) + int(
                    kept["ApproximateNumberOfMessagesNotVisible"]
                )

            await until(left, is_=0)
        assert await count(database, "instance_notices") == 1
        async with database.transaction() as transaction:
            told = await transaction.connection.fetch("select subject from outbox order by position")
        assert [r["subject"] for r in told if "notice" in r["subject"]] == [
            f"pricing.evt.v1.instance_notice_received.{REGION}"
        ]
        assert await outbox.relay_once(database, bus) == len(told)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def test_a_restart_reads_on_where_the_last_process_ended_and_an_outage_keeps_what_is_known(
    aws: World, settings: PricingSettings, make_database: MakeDatabase
) -> None:
    database = await make_database("pricing")
    first, source = started(settings, database)
    await first.start_up()
    kept, told = await count(database, SPOT_POINTS), await count(database, "outbox")
    assert kept == 5, "the point in force at the start of the window, and those since"
    assert source.rows == [5]
    async with factory(database)() as uow:
        known = await uow.offerings.known(REGION)
        assert await uow.offerings.zone_ids(REGION) == {zone: z for _, zone, z in aws.world.seed.subnets}
    assert {pool.zone_id for pool in known} == {"use1-az1", "use1-az2"}
    assert {pool.capacity_type for pool in known} == {CapacityType.SPOT, CapacityType.ON_DEMAND}

    second, again = started(settings, database)
    await second.refresh_prices()
    assert again.since[0] > source.since[0] + settings.spot_history_start - timedelta(minutes=11)
    assert again.rows == [3], "each pool's price in force, and no history"
    assert await count(database, SPOT_POINTS) == kept
    assert await count(database, "outbox") == told, "nothing moved, so nobody is told anything"

    aws.world.fault("unavailable", action="DescribeSpotPriceHistory", count=100)
    with pytest.raises(SourceUnavailableError, match="Unavailable"):
        await second.refresh_prices()
    async with factory(database)() as uow:
        assert await uow.offerings.known(REGION) == known
