"""Time in: slices that are over, agents to ask again, prices to learn."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.reporting.handlers.close_slices import close_slices
from services.reporting.handlers.keep_prices import Heard, read_prices
from services.reporting.ports import PriceSource, UnitOfWorkFactory
from services.reporting.settings import ReportingSettings
from shared.contracts.v1.agent import RequestResync
from shared.runtime.service import Runtime

LEASE = "close_slices"
LEASE_LIFETIME = timedelta(seconds=60)
GAPS_PERIOD = timedelta(seconds=2)
FORGET_PERIOD = timedelta(hours=6)
PRICES_FORGOTTEN_AFTER = timedelta(days=35)

PRICES_PERIOD = timedelta(seconds=5)
"""How soon a new region's table of prices is read, and one that could not be read is tried again."""


def start(
    runtime: Runtime,
    *,
    settings: ReportingSettings,
    unit_of_work: UnitOfWorkFactory,
    price_source: PriceSource,
    heard: Heard,
    find_gaps: Callable[[], Awaitable[list[str]]],
) -> None:
    """Register every loop."""

    async def close() -> None:
        # The row lock keeps two replicas from closing one slice; the lease keeps them from trying.
        if await runtime.leases.acquire(LEASE, lifetime=LEASE_LIFETIME) is None:
            return
        await close_slices(
            unit_of_work=unit_of_work,
            clock=runtime.clock,
            ids=runtime.ids,
            length=settings.slice,
            settle_for=settings.settle_for,
            stale_after=settings.stale_after,
        )

    async def ask_for_snapshots() -> None:
        for cluster_id in await find_gaps():
            request = RequestResync.make(
                scope=cluster_id, clock=runtime.clock, ids=runtime.ids, reason="reporting missed a delta"
            )
            await runtime.bus.tell(request)

    async def learn_prices() -> None:
        await read_prices(
            unit_of_work=unit_of_work,
            source=price_source,
            clock=runtime.clock,
            heard=heard,
            read_again_after=settings.price_refresh_period,
        )

    async def forget_prices() -> None:
        async with unit_of_work() as uow:
            await uow.prices.forget(before=runtime.clock.now() - PRICES_FORGOTTEN_AFTER)

    runtime.every("slices", settings.tick_period, close)
    runtime.every("gaps", GAPS_PERIOD, ask_for_snapshots)
    runtime.every("prices", PRICES_PERIOD, learn_prices)
    runtime.every("forget_prices", FORGET_PERIOD, forget_prices, first=False)
