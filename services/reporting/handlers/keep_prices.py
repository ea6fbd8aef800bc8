"""Keep what pools cost by when it took effect."""

from collections.abc import MutableMapping
from datetime import datetime, timedelta

import structlog

from services.reporting.domain.ledger import PricePoint, price_at
from services.reporting.ports import QuoteSource, UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.pricing import OfferingPricesChanged
from shared.kernel.clock import Clock
from shared.kernel.errors import SpotError

log = structlog.get_logger(__name__)


async def keep_prices(message: OfferingPricesChanged, *, uow: UnitOfWork) -> None:
    """Keep the prices of an event."""
    points = [(p.pool, PricePoint(p.effective_at, p.usd_per_hour)) for p in message.prices]
    await uow.prices.add(points)


async def ask_prices(
    *,
    unit_of_work: UnitOfWorkFactory,
    quotes: QuoteSource,
    clock: Clock,
    asked_at: MutableMapping[str, datetime],
    ask_again_after: timedelta,
) -> int:
    """Ask pricing what our clusters' regions cost now; return how many prices were new to us.

    Events older than their stream are gone, so a service that starts late learns the prices in force this way.
    A region that answered is asked again after a while; one that is new, or did not answer, at the next turn.
    """
    async with unit_of_work() as uow:
        regions = sorted({cluster.region for cluster in await uow.clusters.clusters()})
    added = 0
    for region in regions:
        if region in asked_at and clock.now() - asked_at[region] < ask_again_after:
            continue
        try:
            points = await quotes.quotes(region)
        except SpotError as error:
            # Away, or it does not know this region: either way the other regions are asked.
            log.warning("prices_not_learned", region=region, error=str(error))
            continue
        asked_at[region] = clock.now()
        async with unit_of_work() as uow:
            now = clock.now()
            known = await uow.prices.between({pool for pool, _ in points}, now, now)
            new = await uow.prices.add(
                [
                    (pool, point)
                    for pool, point in points
                    if price_at(known.get(pool, ()), now) != point.usd_per_hour
                ]
            )
        added += new
        log.info("prices_asked", region=region, added=new)
    return added
