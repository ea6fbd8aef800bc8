"""Poll the spot price history and keep what is new."""

from datetime import timedelta

import structlog

from services.pricing import metrics
from services.pricing.domain import offerings, price_history, sifting
from services.pricing.handlers.announce_prices import announce_prices
from services.pricing.handlers.refuse_rows import refuse_rows
from services.pricing.ports import SpotPriceSource, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)

SOURCE = "spot_price_history"

EC2_KEEPS = timedelta(days=90)
"""EC2 answers no further back."""


async def refresh_prices(
    *,
    region: str,
    source: SpotPriceSource,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
    first_look_back: timedelta,
    overlap: timedelta,
    history_kept: timedelta,
) -> int:
    """Store spot price points since the last poll; return how many prices moved.

    The cursor is when the source last answered, so nothing between two polls is missed: EC2 also returns the
    point in force at the start of the window. It moves in the transaction that stores the points, so a process
    that ends in between leaves the whole window to the next one.
    """
    async with unit_of_work() as uow:
        zone_ids = await uow.offerings.zone_ids(region)
        types = await uow.offerings.type_names(region)
        last = await uow.offerings.source_as_of(region, SOURCE)
    if not zone_ids:
        # Every row would be of an unknown zone: asking now would only move the cursor past what it had to say.
        log.warning("zones_unknown", region=region)
        return 0
    now = clock.now()
    since = max(last - overlap, now - EC2_KEEPS) if last is not None else now - first_look_back
    points: list[offerings.PricePoint] = []
    async for page in source.price_points(region=region, since=since, until=now, zone_ids=zone_ids):
        points.extend(page)
    good, bad = sifting.sift(
        points,
        sifting.Known(
            now=now,
            kept_since=now - history_kept,
            instance_types=types,
            zone_ids=frozenset(zone_ids.values()),
        ),
    )
    async with unit_of_work() as uow:
        known = await uow.offerings.known(region)
        moved = offerings.changed(good, known=known)
        added = await uow.offerings.add_points(price_history.with_anchors(good, known=known))
        await uow.offerings.put_in_force(list(offerings.latest(good).values()))
        await uow.offerings.note_source(region, SOURCE, as_of=now)
        await refuse_rows(bad, region=region, source=SOURCE, uow=uow, now=now)
        await announce_prices(moved, region=region, as_of=now, uow=uow, clock=clock, ids=ids)
    metrics.price_points_stored.labels(region).inc(added)
    log.info(
        "prices_refreshed",
        region=region,
        points=len(points),
        added=added,
        changed=len(moved),
        refused=len(bad),
    )
    return len(moved)
