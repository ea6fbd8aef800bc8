"""Flags (and price tables) in real buckets: seen at once, by whoever starts late too, and only ever younger."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from deploy.local import nats_server
from deploy.local.ports import free_port
from shared.contracts.v1.price_table import PriceTable
from shared.contracts.v1.pricing import FlagReason, LiveFlag
from shared.kernel.pool_flags import FLAG_LIFETIME
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime import flag_board, payloads, streams
from shared.runtime.clock import SystemClock
from shared.runtime.flag_board import BoardUnavailableError, FlagBoard
from shared.runtime.health import Health
from shared.runtime.messaging import Bus
from shared.runtime.price_tables import ObjectPriceTables, TablesUnavailableError
from tests.builders import make_pool
from tests.waiting import until

pytestmark = pytest.mark.nats

BusFor = Callable[..., Awaitable[Bus]]
CLOCK = SystemClock()
SPOT = make_pool("m5.large", capacity_type=CapacityType.SPOT)


def flag(pool: PoolKey = SPOT, *, at: datetime) -> LiveFlag:
    return LiveFlag(pool=pool, reason=FlagReason.INTERRUPTION, raised_at=at, expires_at=at + FLAG_LIFETIME)


@asynccontextmanager
async def following(board: FlagBoard) -> AsyncIterator[FlagBoard]:
    task = asyncio.create_task(board.follow())
    try:
        yield board
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def raised(board: FlagBoard) -> list[datetime]:
    return [f.raised_at for f in board.live(SPOT.region)]


async def test_a_flag_is_seen_by_who_follows_and_by_who_comes_later(bus_for: BusFor) -> None:
    writer = FlagBoard(await bus_for("pricing"), clock=CLOCK)
    now = CLOCK.now()
    async with following(FlagBoard(await bus_for("optimizer"), clock=CLOCK)) as early:
        await writer.put(flag(at=now))
        await until(lambda: raised(early), is_=[now])
        async with following(FlagBoard(await bus_for("executor"), clock=CLOCK)) as late:
            await until(lambda: raised(late), is_=[now])
        assert early.live("eu-west-1") == []


async def test_an_older_flag_does_not_replace_a_younger_one_and_one_that_faded_is_none(
    bus_for: BusFor,
) -> None:
    writer = FlagBoard(await bus_for("pricing"), clock=CLOCK)
    now = CLOCK.now()
    other = make_pool("c5.large", capacity_type=CapacityType.SPOT)
    for each in (
        flag(at=now),
        flag(at=now - timedelta(minutes=5)),
        flag(other, at=now - timedelta(minutes=31)),
    ):
        await writer.put(each)
    async with following(FlagBoard(await bus_for("optimizer"), clock=CLOCK)) as board:
        await until(lambda: raised(board), is_=[now])
        assert board.live(SPOT.region)[0].pool == SPOT
        younger = now + timedelta(seconds=1)
        await writer.put(flag(at=younger))
        await until(lambda: raised(board), is_=[younger])


async def test_a_watch_that_died_unnoticed_is_made_good(
    bus_for: BusFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flag_board, "READ_ANEW_SECONDS", 0.1)
    bus = await bus_for("optimizer")
    now = CLOCK.now()
    async with following(FlagBoard(bus, clock=CLOCK)) as board:
        await asyncio.sleep(0.05)
        for consumer in await bus.js.consumers_info(f"KV_{streams.FLAG_BUCKET}"):
            await bus.js.delete_consumer(f"KV_{streams.FLAG_BUCKET}", consumer.name)
        await FlagBoard(bus, clock=CLOCK).put(flag(at=now))
        await until(lambda: raised(board), is_=[now])


async def test_without_the_bucket_nothing_is_written_and_no_service_starts(bus_for: BusFor) -> None:
    bus = await bus_for("pricing")
    bucket = await bus.js.key_value(streams.FLAG_BUCKET)
    assert (await bucket.status()).ttl == FLAG_LIFETIME.total_seconds(), "it forgets by itself"
    assert "o1" not in flag(at=CLOCK.now()).model_dump_json()
    await bus.js.delete_key_value(streams.FLAG_BUCKET)
    with pytest.raises(BoardUnavailableError):
        await FlagBoard(bus, clock=CLOCK).put(flag(at=CLOCK.now()))
    for service, misses in (("pricing", True), ("optimizer", True), ("gateway", False)):
        assert (f"bucket {streams.FLAG_BUCKET}" in await streams.missing(bus.js, service=service)) is misses
    assert await streams.ensure(bus.js) == [f"bucket {streams.FLAG_BUCKET}"]


async def test_the_permissions_of_the_table_are_enough_and_no_more(tmp_path: Path) -> None:
    names = ("pricing", "optimizer", "reporting")
    port = free_port()
    config = tmp_path / "nats.json"
    passwords = dict.fromkeys((nats_server.ADMIN, *names), "test")
    config.write_text(
        nats_server.config_text(
            port=port, store=tmp_path / "store", passwords=passwords, services=names, callout_issuer=None
        )
    )
    server = await nats_server.start(config, port=port, log=tmp_path / "nats.log")
    try:
        async with AsyncExitStack() as closing:
            admin = await streams.connect(server.url, user=nats_server.ADMIN, password="test", name="admin")
            closing.push_async_callback(admin.close)
            await streams.ensure(admin.jetstream())
            buses = {name: _bus(name, server.url) for name in names}
            for bus in buses.values():
                await bus.broker.connect()
                closing.push_async_callback(bus.stop)
            assert await streams.missing(buses["optimizer"].js, service="optimizer") == []
            assert await streams.missing(buses["pricing"].js, service="pricing") == []
            now = CLOCK.now()
            board = await closing.enter_async_context(following(FlagBoard(buses["optimizer"], clock=CLOCK)))
            await FlagBoard(buses["pricing"], clock=CLOCK).put(flag(at=now))
            await until(lambda: raised(board), is_=[now])
            younger = now + timedelta(seconds=1)
            await FlagBoard(buses["pricing"], clock=CLOCK).put(flag(at=younger))
            await until(lambda: raised(board), is_=[younger])
            with pytest.raises(BoardUnavailableError):
                await FlagBoard(buses["optimizer"], clock=CLOCK).put(flag(at=now + timedelta(seconds=2)))
            large = secrets.token_bytes(payloads.REFER_ABOVE_BYTES + 1)
            body, headers = await payloads.pack(large, name="answer", js=buses["pricing"].js)
            assert body == b""
            assert await payloads.unpack(body, headers, js=buses["optimizer"].js) == large
            table = PriceTable(region=SPOT.region, sequence=0, as_of=now)
            for sequence in (1, 2):
                rows = [(SPOT, Decimal("0.1") * sequence, now)]
                table = PriceTable.of(region=SPOT.region, sequence=sequence, as_of=now, prices=rows)
                await ObjectPriceTables(buses["pricing"]).put(table)
                assert await ObjectPriceTables(buses["reporting"]).get(SPOT.region) == table
            with pytest.raises(TablesUnavailableError):
                await ObjectPriceTables(buses["reporting"]).put(table)
            with pytest.raises(TablesUnavailableError):
                await ObjectPriceTables(buses["optimizer"]).get(SPOT.region)
    finally:
        server.stop()


def _bus(service: str, url: str) -> Bus:
    return Bus(
        service=service, url=url, user=service, password="test", clock=CLOCK, health=Health(), database=None
    )
