"""Poll the spot price history and keep what is new."""

from datetime import timedelta

import structlog

from services.pricing import metrics
from services.pricing.domain import offerings
from services.pricing.ports import SpotPriceSource, UnitOfWorkFactory
from shared.contracts.v1.pricing import OfferingPrice, OfferingPricesChanged
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)

SOURCE = "spot_price_history"


async def refresh_prices(
    *,
    region: str,
    source: SpotPriceSource,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
    first_look_back: timedelta,
    overlap: timedelta,
) -> int:
    """Store spot price points since the last poll; return how many prices moved.

    The cursor is when the source last answered, so nothing between two polls is missed: EC2 also returns the
    point in force at the start of the window.
    """
    async with unit_of_work() as uow:
        zone_ids = await uow.offerings.zone_ids(region)
        last = await uow.offerings.source_as_of(region, SOURCE)
    if not zone_ids:
        # Every row would be of an unknown zone: asking now would only move the cursor past what it had to say.
        log.warning("zones_unknown", region=region)
        return 0
    now = clock.now()
    since = last - overlap if last is not None else now - first_look_back
    points: list[offerings.PricePoint] = []
    async for page in source.price_points(region=region, since=since, until=now, zone_ids=zone_ids):
        points.extend(page)
    good, bad = offerings.sift(points, now=now)
    async with unit_of_work() as uow:
        added = await uow.offerings.add_points(good)
        moved = offerings.changed(good, known=await uow.offerings.known(region))
        await uow.offerings.put_in_force(list(offerings.latest(good).values()))
        await uow.offerings.note_source(region, SOURCE, as_of=now)
        if moved:
            event = OfferingPricesChanged.make(
                scope=region,
                clock=clock,
                ids=ids,
                as_of=now,
                prices=tuple(
                    OfferingPrice(pool=p.pool, usd_per_hour=p.usd_per_hour, effective_at=p.effective_at)
                    for p in moved
                ),
            )
            await uow.outbox.add(event)
    metrics.price_points_stored.labels(region).inc(added)
    if bad:
        metrics.rows_refused.labels(SOURCE).inc(len(bad))
        log.warning("prices_refused", region=region, source=SOURCE, rows=len(bad), first_reason=bad[0].reason)
    log.info("prices_refreshed", region=region, points=len(points), added=added, changed=len(moved))
    return len(moved)
