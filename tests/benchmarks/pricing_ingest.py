"""Pricing's reading and storing, on a real Postgres and a real bus: `python -m tests.benchmarks.pricing_ingest`.

The full refresh is what a new region costs: 1,000 types in 6 zones from HTTP answers to tables and messages. The
day is one of recorded changes of us-east-1, as one poll, on tables that hold the days before. Each is measured in a
process of its own that does what the service does, and nothing else: seconds from the first request to the last
message published, and its largest resident memory. Postgres, nats-server and the server of answers share the
machine's cores with it.
"""

import asyncio
import csv
import gzip
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploy.local import nats_server, postgres, schemas
from deploy.local.ports import free_port
from deploy.sandbox.aws import moto_host
from services.pricing.adapters.unit_of_work import factory
from services.pricing.domain.offerings import PricePoint
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime import streams
from shared.runtime.postgres import Database
from tests.benchmarks.market import DATA
from tests.benchmarks.pricing_answers import REGION, Answers, served, spot_row

ZONES = {f"us-east-1{letter}": f"use1-az{number}" for number, letter in enumerate("abcdef", start=1)}
TYPES = 1_000
RECORDED = DATA / "spot-prices" / "us-east-1_2021-03_2021-04.csv.gz"
DAYS_BEFORE = 4
REPEATS = 3
HEADER = (
    "| what | rows | target s | seconds (CPU of the process) | messages | peak MB | of that before it began |"
)


@dataclass(frozen=True)
class Servers:
    """What everything runs on."""

    database: Database
    database_url: str
    bus_url: str


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the process that is measured does."""

    name: str
    target_seconds: float
    poll: str
    """The method of Refreshers that does it."""
    now: datetime | None = None
    """When it is done; None: now."""


async def main() -> int:
    """Print one row a measurement."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    print(HEADER)  # noqa: T201
    print("|---|---|---|---|---|---|---|", flush=True)  # noqa: T201
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
    work = Work(name=f"full refresh, {TYPES} types x {len(ZONES)} zones", target_seconds=5.0, poll="start_up")
    return await _measured(work, servers, stack, answers)


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
    work = Work(
        name=f"a day's changes, us-east-1 on {began:%Y-%m-%d}",
        target_seconds=1.0,
        poll="refresh_prices",
        now=ended,
    )
    return await _measured(work, servers, stack, answers)


async def _measured(
    work: Work, servers: Servers, stack: AsyncExitStack, answers: Answers
) -> tuple[float, str]:
    endpoint = stack.enter_context(served(answers))
    ended = [work.now.isoformat()] if work.now is not None else []
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.pricing_poll",
        servers.database_url,
        servers.bus_url,
        work.poll,
        *ended,
        env=os.environ | {"AWS_ENDPOINT_URL": endpoint},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    found = json.loads(output)
    async with servers.database.transaction() as transaction:
        offered = await transaction.connection.fetchval("select count(*) from offerings")
        points = await transaction.connection.fetchval("select count(*) from price_points")
    rows = f"{offered} offerings, {points} points"
    seconds = float(found["seconds"])
    return seconds, (
        f"| {work.name} | {rows} | {work.target_seconds:g} | {seconds:.2f} ({found['cpu_seconds']:.2f})"
        f" | {found['messages']} | {found['peak_megabytes']} | {found['idle_megabytes']} |"
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
    database_url = server.url("pricing", "bench", postgres.DATABASE)
    database = await Database.open(database_url, schema="pricing", size=4)
    stack.push_async_callback(database.close)
    port = free_port()
    config = folder / "nats.json"
    config.write_text(nats_server.bare_config_text(port=port, store=folder / "store"))
    nats = await nats_server.start(config, port=port, log=folder / "nats.log")
    stack.callback(nats.stop)
    client = await streams.connect(nats.url, user="", password="", name="bench")
    await streams.ensure(client.jetstream())
    await client.close()
    return Servers(database, database_url, nats.url)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
