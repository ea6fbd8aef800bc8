"""Flags reach plans and replacements although prices are asked for only now and then."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from services.executor.adapters import pricing_client
from services.optimizer.adapters.bus import BusQuotes
from services.optimizer.handlers.mapping import market_from
from shared.contracts.v1.pricing import (
    FlagReason,
    LiveFlag,
    OfferingQuotes,
    Quote,
    QuoteOfferings,
    QuoteSource,
)
from shared.kernel.pool_flags import FLAG_LIFETIME
from shared.kernel.pools import CapacityType
from shared.runtime.clock import SystemClock
from shared.runtime.flag_board import FlagBoard
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from tests.builders import make_instance_type, make_pool
from tests.quotes import make_quotes
from tests.waiting import until

pytestmark = pytest.mark.nats

CLOCK, IDS = SystemClock(), UuidSeven()
SPOT = make_pool("m5.large", capacity_type=CapacityType.SPOT)
SIBLING = make_pool("m5.xlarge", capacity_type=CapacityType.SPOT)
OTHER = make_pool("c5.large", capacity_type=CapacityType.SPOT)


async def test_a_flag_is_in_force_before_prices_are_asked_again(
    bus_for: Callable[..., Awaitable[Bus]],
) -> None:
    pricing, optimizer, executor = [await bus_for(name) for name in ("pricing", "optimizer", "executor")]
    answers = 0
    told: list[LiveFlag] = []

    async def answer(request: QuoteOfferings) -> OfferingQuotes:
        nonlocal answers
        answers += 1
        source = QuoteSource(name="spot_price_history", as_of=CLOCK.now(), age_seconds=0, confidence=1)
        return make_quotes(
            region=request.scope,
            as_of=CLOCK.now(),
            instance_types=[make_instance_type(p.instance_type) for p in (SPOT, SIBLING, OTHER)],
            quotes=[Quote(pool, Decimal("0.1"), source, 0.001, "test") for pool in (SPOT, SIBLING, OTHER)],
            flags=told,
        )

    pricing.serve(QuoteOfferings, answer)
    await pricing.broker.start()
    board = FlagBoard(optimizer, clock=CLOCK)
    following = asyncio.create_task(board.follow())
    quotes = BusQuotes(
        optimizer, flags=board, clock=CLOCK, ids=IDS, timeout_seconds=5, fresh_for=timedelta(hours=1)
    )

    async def flagged() -> dict[str, bool]:
        market = market_from(await quotes.quotes(SPOT.region), now=CLOCK.now())
        return {offer.pool.instance_type: offer.flagged for offer in market.offers}

    async def risks() -> dict[str, float]:
        market = market_from(await quotes.quotes(SPOT.region), now=CLOCK.now())
        return {o.pool.instance_type: o.interruption_probability or 0.0 for o in market.offers}

    try:
        assert await flagged() == {"m5.large": False, "m5.xlarge": False, "c5.large": False}
        now = CLOCK.now()
        flag = LiveFlag(
            pool=SPOT, reason=FlagReason.INTERRUPTION, raised_at=now, expires_at=now + FLAG_LIFETIME
        )
        await FlagBoard(pricing, clock=CLOCK).put(flag)
        await until(flagged, is_={"m5.large": True, "m5.xlarge": False, "c5.large": False})
        found = await risks()
        assert found["m5.large"] > found["m5.xlarge"] > found["c5.large"] == 0.001
        assert answers == 1, "nobody asked for prices again"
        told.append(flag)
        seen, _ = await pricing_client.BusQuotes(executor, clock=CLOCK, ids=IDS).quotes(SPOT.region)
        assert [q.is_flagged for q in seen] == [True, False, False]
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
