"""Pricing's reading and storing, on a real Postgres and a real bus: `python -m tests.benchmarks.pricing_ingest`.

The full refresh is what a new region costs: 1,000 types in 6 zones from HTTP answers to tables and messages. The
day is one of recorded changes of us-east-1, as one poll, on tables that hold the days before. Seconds are of this
process's work from the first request to the last message published; Postgres, nats-server and the server of
answers share the machine's cores with it.
"""

import asyncio
import csv
import gzip
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aioboto3

from deploy.local import nats_server, postgres, schemas
from deploy.local.ports import free_port
from deploy.sandbox.aws import moto_host
from services.pricing.adapters.aws_requests import AwsRequests
from services.pricing.adapters.ec2 import Ec2Catalogue, Ec2SpotPriceSource
from services.pricing.adapters.postgres_budgets import PostgresBudgets
from services.pricing.adapters.price_list import PriceListSource
from services.pricing.adapters.spot_advisor import SpotAdvisorFile
from services.pricing.adapters.unit_of_work import factory
from services.pricing.domain.offerings import PricePoint
from services.pricing.entrypoints.ticker import Refreshers
from services.pricing.settings import PricingSettings
from shared.kernel.clock import Clock
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime import outbox, streams
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from tests.benchmarks.market import DATA
from tests.benchmarks.pricing_answers import REGION, Answers, served, spot_row

ZONES = {f"us-east-1{letter}": f"use1-az{number}" for number, letter in enumerate("abcdef", start=1)}
TYPES = 1_000
RECORDED = DATA / "spot-prices" / "us-east-1_2021-03_2021-04.csv.gz"
DAYS_BEFORE = 4
REPEATS = 3
HEADER = "| what | rows | target s | seconds (CPU of this process) | messages | peak MB |"


@dataclass(frozen=True)
class Servers:
    """What everything runs on."""

    database: Database
    bus: Bus


class Then:
    """A clock that says when the recorded day ended."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        """See Clock."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """See Clock; nothing is throttled here."""
        raise AssertionError(f"asked to wait {seconds} s")


async def main() -> int:
    """Print one row a measurement."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    print(HEADER)  # noqa: T201
    print("|---|---|---|---|---|---|", flush=True)  # noqa: T201
    measures = [_full_refresh]
    if RECORDED.exists():
        measures.append(_day_of_changes)
    else:
        print(f"The day is not measured: {RECORDED.name} is absent.", file=sys.stderr)  # noqa: T201
    for measure in measures:
        best: tuple[float, str] | None = None
        for _ in range(REPEATS):
            async with AsyncExitStack() as stack:
                found = await measure(await _servers(stack), stack)
            best = min(best, found) if best is not None else found
        if best is not None:
            print(best[1], flush=True)  # noqa: T201
    return 0


async def _full_refresh(servers: Servers, stack: AsyncExitStack) -> tuple[float, str]:
    described = [
        d for d in moto_host.described_types().values() if not str(d["InstanceType"]).startswith("mac")
    ]
    described = sorted(described, key=lambda d: str(d["InstanceType"]))[:TYPES]
    names = [str(d["InstanceType"]) for d in described]
    now = datetime.now(UTC).replace(microsecond=0)
    answers = Answers()
    answers.ec2(
        "DescribeAvailabilityZones",
        "AvailabilityZones",
        [{"ZoneName": zone, "ZoneId": zone_id} for zone, zone_id in ZONES.items()],
    )
    answers.ec2("DescribeInstanceTypes", "InstanceTypes", described)
    answers.ec2(
        "DescribeInstanceTypeOfferings",
        "InstanceTypeOfferings",
        [{"InstanceType": name, "Location": zone} for name in names for zone in ZONES],
    )
    answers.ec2(
        "DescribeSpotPriceHistory",
        "SpotPriceHistory",
        [
            spot_row(name, zone, f"{0.01 * (1 + n % 97) + 0.0001 * z:.6f}", now - timedelta(minutes=n % 600))
            for n, name in enumerate(names)
            for z, zone in enumerate(ZONES)
        ],
    )
    answers.products({name: f"{0.03 * (1 + n % 97):.10f}" for n, name in enumerate(names)})
    refreshers = _refreshers(servers, SystemClock(), stack, answers)
    return await _measured(
        f"full refresh, {TYPES} types x {len(ZONES)} zones", refreshers.start_up, servers, target=5.0
    )


async def _day_of_changes(servers: Servers, stack: AsyncExitStack) -> tuple[float, str]:
    rows = _recorded()
    first = rows[0][3].replace(hour=0, minute=0, second=0)
    began = first + timedelta(days=DAYS_BEFORE)
    ended = began + timedelta(days=1)
    names = sorted({name for name, *_ in rows})
    before = [
        PricePoint(PoolKey(REGION, name, ZONES[zone], CapacityType.SPOT), Decimal(usd), at)
        for name, zone, usd, at in rows
        if at < began
    ]
    described = {name: d for name, d in moto_host.described_types().items() if name in names}
    answers = Answers()
    answers.ec2(
        "DescribeSpotPriceHistory",
        "SpotPriceHistory",
        [spot_row(name, zone, usd, at) for name, zone, usd, at in reversed(rows) if began <= at <= ended],
    )
    async with factory(servers.database)() as uow:
        from services.pricing.domain import offerings
        from services.pricing.domain.instance_types import instance_type_from

        types = [t for d in described.values() if (t := instance_type_from(d)) is not None]
        await uow.offerings.replace_catalogue(
            REGION,
            zone_ids=ZONES,
            instance_types=types,
            offered=frozenset((t.name, zone) for t in types for zone in ZONES),
        )
        await uow.offerings.add_points(before)
        await uow.offerings.put_in_force(list(offerings.latest(before).values()))
        await uow.offerings.note_source(REGION, "spot_price_history", as_of=began)
    refreshers = _refreshers(servers, Then(ended), stack, answers)
    return await _measured(
        f"a day's changes, us-east-1 on {began:%Y-%m-%d}", refreshers.refresh_prices, servers, target=1.0
    )


async def _measured(
    name: str, work: Callable[[], Awaitable[None]], servers: Servers, *, target: float
) -> tuple[float, str]:
    began, cpu_began = time.perf_counter(), time.process_time()
    await work()
    messages = 0
    while sent := await outbox.relay_once(servers.database, servers.bus):
        messages += sent
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    async with servers.database.transaction() as transaction:
        offered = await transaction.connection.fetchval("select count(*) from offerings")
        points = await transaction.connection.fetchval("select count(*) from price_points")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rows = f"{offered} offerings, {points} points"
    return seconds, f"| {name} | {rows} | {target:g} | {seconds:.2f} ({cpu:.2f}) | {messages} | {peak} |"


def _refreshers(servers: Servers, clock: Clock, stack: AsyncExitStack, answers: Answers) -> Refreshers:
    os.environ["AWS_ENDPOINT_URL"] = stack.enter_context(served(answers))
    session = aioboto3.Session(region_name=REGION)
    requests = AwsRequests(
        budgets=PostgresBudgets(servers.database), clock=clock, requests_per_second=10, burst=50
    )
    settings = PricingSettings(regions=frozenset({REGION}))
    return Refreshers(
        settings=settings,
        catalogue=Ec2Catalogue(session, requests),
        on_demand=[PriceListSource(session, requests, api_region=REGION)],
        spot_prices=Ec2SpotPriceSource(session, requests),
        advisor=SpotAdvisorFile(settings.spot_advisor_url),
        unit_of_work=factory(servers.database),
        clock=clock,
        ids=UuidSeven(),
    )


def _recorded() -> list[tuple[str, str, str, datetime]]:
    with gzip.open(RECORDED, "rt", newline="") as file:
        rows = [
            (r["InstanceType"], r["AvailabilityZone"], r["SpotPrice"], _utc(r["Timestamp"]))
            for r in csv.DictReader(file)
            if r["ProductDescription"] == "Linux/UNIX" and r["AvailabilityZone"] in ZONES
        ]
    return sorted(rows, key=lambda row: row[3])


def _utc(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


async def _servers(stack: AsyncExitStack) -> Servers:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    os.chmod(folder, 0o755)  # the user that Postgres runs as must get in
    data = folder / "postgres"
    os.mkdir(data, 0o755)
    server: Any = await postgres.start(data, log=folder / "postgres.log", throwaway=True)
    stack.callback(server.stop)
    await schemas.migrate_database(server.admin_url, dict.fromkeys(schemas.SERVICES, "bench"))
    database = await Database.open(
        server.url("pricing", "bench", postgres.DATABASE), schema="pricing", size=4
    )
    stack.push_async_callback(database.close)
    port = free_port()
    config = folder / "nats.json"
    config.write_text(nats_server.bare_config_text(port=port, store=folder / "store"))
    nats = await nats_server.start(config, port=port, log=folder / "nats.log")
    stack.callback(nats.stop)
    client = await streams.connect(nats.url, user="", password="", name="bench")
    await streams.ensure(client.jetstream())
    await client.close()
    bus = Bus(
        service="pricing",
        url=nats.url,
        user="",
        password="",
        clock=SystemClock(),
        health=Health(),
        database=database,
    )
    await bus.broker.connect()
    stack.push_async_callback(bus.stop)
    return Servers(database, bus)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
