"""The hive mind, measured: from a message on SQS to a flag that another cluster's optimizer and executor see.

Pricing's queue reader, handlers and relay, NATS, Postgres and SQS are the real ones; the three services share one
process here, which makes it slower than it would be.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aioboto3

from services.executor.adapters.postgres import PostgresUnitOfWorkFactory
from services.executor.domain.offering_choice import Flag
from services.pricing.adapters.notice_grave import BusNoticeGrave
from services.pricing.adapters.sqs_events import SqsNoticeQueue
from services.pricing.adapters.unit_of_work import PostgresUnitOfWork, factory
from services.pricing.entrypoints import subscribers
from services.pricing.entrypoints.notice_queue import watch_queue
from services.pricing.settings import PricingSettings
from shared.contracts.v1.pricing import PoolFlagged
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime import outbox
from shared.runtime.clock import SystemClock
from shared.runtime.flag_board import FlagBoard
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database, Transaction
from tests.fakes.pricing_regions import region_rules

REGION = "us-east-1"
ACCOUNT = "123456789012"
CLOCK, IDS = SystemClock(), UuidSeven()


def pool_of(number: int) -> PoolKey:
    """Every event is about a pool of its own."""
    return PoolKey(REGION, f"m{number}.large", "use1-az1", CapacityType.SPOT)


def warning(number: int) -> str:
    """What EventBridge sends when EC2 takes instance `number`."""
    return json.dumps(
        {
            "version": "0",
            "id": f"event-{number}",
            "detail-type": "EC2 Spot Instance Interruption Warning",
            "source": "aws.ec2",
            "account": ACCOUNT,
            "time": f"{CLOCK.now():%Y-%m-%dT%H:%M:%SZ}",
            "region": REGION,
            "detail": {"instance-id": f"i-{number:017x}", "instance-action": "terminate"},
        }
    )


@dataclass(frozen=True)
class Hive:
    """Pricing at work, and those who look at flags."""

    pricing: Database
    executor: Database
    optimizer: FlagBoard
    queue_url: str

    async def kept_by_executor(self, pools: Collection[PoolKey]) -> frozenset[PoolKey]:
        """Which of these the executor would find when it reads its flags before a step."""
        async with self.executor.transaction() as transaction:
            rows = await transaction.connection.fetch(
                "select instance_type from pool_flags where instance_type = any($1::text[]) and expires_at > $2",
                [pool.instance_type for pool in pools],
                CLOCK.now(),
            )
        names = {row["instance_type"] for row in rows}
        return frozenset(pool for pool in pools if pool.instance_type in names)

    def seen_by_optimizer(self) -> frozenset[PoolKey]:
        """What the optimizer adds to its quotes."""
        return frozenset(flag.pool for flag in self.optimizer.live(REGION))

    async def know_instances(self, numbers: Iterable[int]) -> None:
        """As if the executor had launched them, one in each pool."""
        async with factory(self.pricing)() as uow:
            for number in numbers:
                await uow.risk.put_instance_pool(f"i-{number:017x}", pool_of(number))


@contextlib.asynccontextmanager
async def hive(
    *,
    make_database: Callable[[str], Awaitable[Database]],
    bus_for: Callable[[str, Database | None], Awaitable[Bus]],
    queue_url: str,
) -> AsyncIterator[Hive]:
    """Start pricing's readers and writers, and both followers."""
    pricing, executor = await make_database("pricing"), await make_database("executor")
    bus, planner = await bus_for("pricing", pricing), await bus_for("optimizer", None)
    keeper = await bus_for("executor", executor)
    settings = PricingSettings()
    unit_of_work = factory(pricing)
    subscribers.subscribe(
        bus,
        within=PostgresUnitOfWork,
        unit_of_work=unit_of_work,
        rules=region_rules(REGION),
        board=FlagBoard(bus, clock=CLOCK),
        clock=CLOCK,
        ids=IDS,
        spot_fresh_for=settings.spot_fresh_for,
        on_demand_fresh_for=settings.on_demand_fresh_for,
    )
    units = PostgresUnitOfWorkFactory(executor)

    async def keep_flag(message: PoolFlagged, transaction: Transaction) -> None:
        await units.within(transaction).flags.put(Flag(message.pool, message.expires_at))

    keeper.consume(PoolFlagged, keep_flag, at_once=4)  # as the executor does
    board = FlagBoard(planner, clock=CLOCK)
    async with AsyncExitStack() as closing:
        await bus.broker.start()
        await keeper.broker.start()
        queue = await closing.enter_async_context(
            SqsNoticeQueue.opened(aioboto3.Session(), url=queue_url, region=REGION)
        )
        loops = [
            asyncio.create_task(
                watch_queue(queue, grave=BusNoticeGrave(bus), unit_of_work=unit_of_work, clock=CLOCK, ids=IDS)
            ),
            asyncio.create_task(outbox.relay(pricing, bus)),
            asyncio.create_task(board.follow()),
        ]
        try:
            yield Hive(pricing, executor, board, queue_url)
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)


async def latencies(hive: Hive, *, events: int, per_second: float) -> list[float]:
    """Send that many interruptions at that rate; give the seconds from each send until both see its flag, sorted."""
    await hive.know_instances(range(events))
    sent: list[float] = []

    async def send() -> None:
        began = time.perf_counter()
        async with aioboto3.Session().client("sqs", region_name=REGION) as sqs:
            for number in range(events):
                wait = began + number / per_second - time.perf_counter()
                await asyncio.sleep(max(wait, 0))
                sent.append(time.perf_counter())
                await sqs.send_message(QueueUrl=hive.queue_url, MessageBody=warning(number))

    async with asyncio.timeout(60 + 3 * events / per_second):
        _, seen = await asyncio.gather(send(), seen_at(hive, events=range(events)))
    return sorted(at - sent[number] for number, at in enumerate(seen))


async def seen_at(hive: Hive, *, events: Iterable[int]) -> list[float]:
    """Wait for the flags of these events; give when both had each, on the clock of `time.perf_counter`."""
    at: dict[PoolKey, float] = {}
    pools = [pool_of(number) for number in events]
    while missing := [pool for pool in pools if pool not in at]:
        both = hive.seen_by_optimizer() & await hive.kept_by_executor(missing)
        now = time.perf_counter()
        at |= dict.fromkeys(both - at.keys(), now)
        await asyncio.sleep(0.02)
    return [at[pool] for pool in pools]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Give the value that this share of them does not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
