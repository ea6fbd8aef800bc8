"""A cluster registered in a region nobody named: its prices are there without a restart, and with no right too many."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from moto.ec2.models.instance_types import InstanceTypeBackend

from deploy.sandbox.aws.world import AwsConfig
from services.pricing import app
from services.pricing.settings import PricingSettings
from shared.contracts.v1.gateway import CloudAccountRef, ClusterRegistered
from shared.contracts.v1.pricing import OfferingQuotes, QuoteOfferings
from shared.kernel.pools import CapacityType
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.outbox import relay_once
from shared.runtime.postgres import Database
from tests.integration.pricing.aws import World, running
from tests.runtimes import make_runtime
from tests.waiting import until

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres, pytest.mark.nats, pytest.mark.slow]

REGION = "eu-west-1"
TYPES = {"m5.large", "c5.large"}
PRICES = """Timestamp,AvailabilityZone,InstanceType,ProductDescription,SpotPrice
2021-03-01T00:00:00+00:00,eu-west-1a,m5.large,Linux/UNIX,0.030000
2021-03-02T12:00:00+00:00,eu-west-1a,m5.large,Linux/UNIX,0.031000
2021-03-01T01:00:00+00:00,eu-west-1b,c5.large,Linux/UNIX,0.025000
2021-03-09T00:00:00+00:00,eu-west-1b,c5.large,Linux/UNIX,0.026000
"""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("aws")
    prices = folder / "prices.csv"
    prices.write_text(PRICES)
    with pytest.MonkeyPatch.context() as patch:
        # It takes the simulation 2.4 s of CPU to describe all 727 types in one answer, 5.2 s where coverage is
        # measured: on a busy machine that is more than anybody waits here.
        few = [t for t in InstanceTypeBackend.instance_types if t.get("InstanceType") in TYPES]
        patch.setattr(InstanceTypeBackend, "instance_types", few)
        with running(
            AwsConfig(state_dir=folder, region=REGION, prices_file=prices, clock_factor=1.0)
        ) as world:
            yield world


async def test_a_cluster_in_a_new_region_gets_its_quotes_without_a_restart(
    aws: World,
    make_database: Callable[[str], Awaitable[Database]],
    bus_for: Callable[[str, Database | None], Awaitable[Bus]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    database, gateway_database = await make_database("pricing"), await make_database("gateway")
    bus, clock, ids = await bus_for("pricing", database), SystemClock(), UuidSeven()
    runtime = make_runtime("pricing", database, bus)
    settings = PricingSettings(
        regions=frozenset(), spot_advisor_url=aws.world.seed.advisor_url, price_list_bulk_url=None
    )
    await app.wiring(settings)(runtime)
    await bus.broker.start()
    gateway, optimizer = await bus_for("gateway", gateway_database), await bus_for("optimizer", None)
    loops = [asyncio.create_task(body(), name=name) for name, body in runtime._loops]

    async def quoted() -> set[tuple[str, CapacityType]]:
        request = QuoteOfferings.make(scope=REGION, clock=clock, ids=ids)
        answer = await optimizer.ask(request, OfferingQuotes)
        return {(quote.pool.instance_type, quote.pool.capacity_type) for quote in answer.quotes}

    try:
        await until(runtime.health.reasons, is_={})
        assert await quoted() == set()
        account = CloudAccountRef(id="a1", account_number="123456789012", region=REGION)
        async with gateway_database.transaction() as transaction:
            for scope, where in (("c1", REGION), ("c2", "eu-west-1.evil.example")):
                await transaction.add(
                    ClusterRegistered.make(
                        scope=scope,
                        clock=clock,
                        ids=ids,
                        organization_id="o1",
                        name="main",
                        cloud_account=account.model_copy(update={"region": where}),
                    )
                )
        assert await relay_once(gateway_database, gateway) == 2
        both = {(name, kind) for name in TYPES for kind in (CapacityType.SPOT, CapacityType.ON_DEMAND)}
        await until(quoted, is_=both)
        async with database.transaction() as transaction:
            rows = await transaction.connection.fetch("select region from used_regions")
            columns = await transaction.connection.fetch(
                "select column_name as name from information_schema.columns where table_name = 'used_regions'"
            )
        assert [row["region"] for row in rows] == [REGION]
        assert {row["name"] for row in columns} == {"region", "first_used_at", "last_used_at"}, "not whose"
        assert await runtime.health.reasons() == {}
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
