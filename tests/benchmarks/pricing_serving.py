"""What pricing serves, measured: `python -m tests.benchmarks.pricing_serving`.

Quotes of a whole region: 1,000 types that EC2 describes, in 6 zones, spot and on-demand, each with a price of its own
(real prices repeat, and compress better). And how soon everybody knows of an interruption: 1,000 messages on a queue,
each about a pool of its own, until the other clusters' optimizer and executor see the flag. The queue is in another
process, so that the seconds are of those who read it, which share this one.
"""

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from statistics import median

import structlog
import zstandard

from deploy.sandbox.aws import moto_host
from services.optimizer.handlers.mapping import market_from
from services.pricing.adapters.unit_of_work import factory
from services.pricing.domain.instance_types import instance_type_from
from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.offerings import PricePoint
from services.pricing.handlers.quote_offerings import Shelf, quote_offerings
from services.pricing.settings import PricingSettings
from shared.contracts.v1.pricing import OfferingQuotes, QuoteOfferings
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime import payloads
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from shared.runtime.postgres import Database
from tests import hive
from tests.benchmarks import event_queue, servers

REGION = hive.REGION
ZONES = {f"us-east-1{letter}": f"use1-az{number}" for number, letter in enumerate("abcdef", start=1)}
TYPES = 1_000
REPEATS = 7
EVENTS = 1_000
EVENTS_PER_SECOND = (20, 50, 100)
HEADER = "| what | size | target | median (CPU of this process) or p50 | p99 |"
CLOCK, IDS = SystemClock(), UuidSeven()


async def main() -> int:
    """Print one row a measurement."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(HEADER + "\n|---|---|---|---|---|", flush=True)  # noqa: T201
    async with servers.running() as stage:
        for row in await _quotes(stage):
            print(row, flush=True)  # noqa: T201
    for per_second in EVENTS_PER_SECOND:
        async with servers.running() as stage:
            print(await _hive(stage, per_second=per_second), flush=True)  # noqa: T201
    return 0


async def _quotes(stage: servers.Servers) -> list[str]:
    database = await stage.make_database("pricing")
    await _fill(database)
    settings = PricingSettings()
    shelf: Shelf = {}

    async def answer(request: QuoteOfferings) -> OfferingQuotes:
        return await quote_offerings(
            request,
            unit_of_work=factory(database),
            clock=CLOCK,
            spot_fresh_for=settings.spot_fresh_for,
            on_demand_fresh_for=settings.on_demand_fresh_for,
            shelf=shelf,
        )

    request = QuoteOfferings.make(scope=REGION, clock=CLOCK, ids=IDS)
    quoted = await answer(request)
    packed = _encoded(quoted)
    name = f"{len(quoted.quotes)} offerings, {len(quoted.instance_types)} types"

    async def encode() -> None:
        _encoded(quoted)

    async def decode() -> None:
        assert len(_decoded(packed).quotes) == len(quoted.quotes)

    async def plan_from() -> None:
        assert len(market_from(_decoded(packed), now=CLOCK.now()).offers) == len(quoted.quotes)

    server, asker = await stage.bus_for("pricing", database), await stage.bus_for("optimizer", None)
    server.serve(QuoteOfferings, answer)
    await server.broker.start()

    async def ask() -> None:
        assert len((await asker.ask(request, OfferingQuotes)).quotes) == len(quoted.quotes)

    async def change_and_answer() -> None:
        shelf.clear()  # as a change of one price does: all rows are read again
        _encoded(await answer(request))

    async def answer_again() -> None:
        _encoded(await answer(request))

    rows = [
        ("make the answer and encode it, after a price changed", "100 ms", change_and_answer),
        ("make the answer and encode it, no price changed", "100 ms", answer_again),
        ("of that: encode", "", encode),
        ("asker: decode into rows", "100 ms", decode),
        ("optimizer: decode, and make offers of the rows", "", plan_from),
        ("ask over the bus, until the asker has the rows", "", ask),
    ]
    return [
        f"| quote, compressed: {name} | {len(packed) / 1024:.0f} KiB | 512 KiB | | |",
        *[f"| {what} | | {target} | {await _milliseconds(work)} | |" for what, target, work in rows],
    ]


async def _hive(stage: servers.Servers, *, per_second: float) -> str:
    with event_queue.served() as queue:
        os.environ |= queue.environment()
        async with hive.hive(
            make_database=stage.make_database, bus_for=stage.bus_for, queue_url=queue.url
        ) as mind:
            await mind.know_instances(range(EVENTS))
            queue.fill([hive.warning(event) for event in range(EVENTS)], per_second=per_second)
            cpu_began = time.process_time()
            seen = await hive.seen_at(mind, events=range(EVENTS))
            cpu = (time.process_time() - cpu_began) / EVENTS
            came = await queue.sent_at()
    found = sorted(at - began for at, began in zip(seen, came, strict=True))
    return (
        f"| SQS to flag at optimizer and executor | {EVENTS} events, {per_second} a second | p99 1 s "
        f"| {hive.percentile(found, 0.5):.3f} s ({cpu * 1000:.1f} ms CPU an event) "
        f"| {hive.percentile(found, 0.99):.3f} s |"
    )


async def _fill(database: Database) -> None:
    chance = random.Random(11)
    at = CLOCK.now() - timedelta(minutes=2)
    types = _types()
    points = [
        PricePoint(
            PoolKey(REGION, t.name, zone, kind), Decimal(chance.randint(10_000, 9_999_999)) / 10**6, at
        )
        for t in types
        for zone in ZONES.values()
        for kind in (CapacityType.SPOT, CapacityType.ON_DEMAND)
    ]
    async with factory(database)() as uow:
        await uow.offerings.replace_catalogue(
            REGION,
            zone_ids=ZONES,
            instance_types=types,
            offered=frozenset((t.name, zone) for t in types for zone in ZONES),
        )
        await uow.offerings.put_in_force(points)
        await uow.offerings.note_source(REGION, "spot_price_history", as_of=at)
        await uow.offerings.note_source(REGION, "price_list", as_of=at)
        await uow.offerings.note_source(REGION, "spot_advisor", as_of=at)
        await uow.offerings.note_source(REGION, "spot_advisor", as_of=at)
        await uow.risk.put_ratings(REGION, {t.name: AdvisorBand(n % 5) for n, t in enumerate(types)})


def _types() -> list[InstanceType]:
    described = moto_host.described_types()
    found = (instance_type_from(described[name]) for name in sorted(described))
    return [t for t in found if t is not None][:TYPES]


def _decoded(packed: bytes) -> OfferingQuotes:
    return OfferingQuotes.model_validate_json(payloads.inflate(packed, at_most=payloads.LARGEST_BODY_BYTES))


def _encoded(answer: OfferingQuotes) -> bytes:
    """Compress as `payloads.pack` does."""
    return zstandard.ZstdCompressor(level=3).compress(answer.model_dump_json().encode())


async def _milliseconds(work: Callable[[], Awaitable[object]]) -> str:
    """Give the median time of a few runs after the first, and of this process's CPU."""
    times, cpu_times = [], []
    for _ in range(REPEATS + 1):
        began, cpu_began = time.perf_counter(), time.process_time()
        await work()
        times.append(time.perf_counter() - began)
        cpu_times.append(time.process_time() - cpu_began)
    return f"{median(times[1:]) * 1000:.0f} ms ({median(cpu_times[1:]) * 1000:.0f})"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
