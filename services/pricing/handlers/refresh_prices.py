"""Poll the spot price history and keep what is new."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from services.pricing import metrics
from services.pricing.domain import offerings, price_history, sifting
from services.pricing.domain.offerings import PricePoint
from services.pricing.handlers.announce_prices import announce_prices
from services.pricing.handlers.refuse_rows import refuse_rows
from services.pricing.ports import SpotPriceSource, UnitOfWork, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pools import CapacityType, PoolKey

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
    unconfirmed_kept: timedelta,
) -> int:
    """Store spot price points since the last poll; return how many prices moved.

    The cursor is when the source last answered, so nothing between two polls is missed: EC2 also returns the
    point in force at the start of the window. It moves in the transaction that stores the points, so a process
    that ends in between leaves the whole window to the next one.

    A pool that the answer does not name is no fresher than the last answer that did; after `unconfirmed_kept` it
    loses its price.
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
        await uow.sources.hold(region, SOURCE)
        # Read again: another replica may have been answered since, and named pools that our answer lacks.
        answered = await uow.offerings.source_as_of(region, SOURCE) or now
        known = await uow.offerings.known(region)
        moved = offerings.changed(good, known=known)
        added = await uow.offerings.add_points(price_history.with_anchors(good, known=known))
        await uow.offerings.put_in_force(list(offerings.latest(good).values()))
        await uow.offerings.note_source(region, SOURCE, as_of=now)
        await refuse_rows(bad, region=region, source=SOURCE, uow=uow, now=now)
        gone = await _confirm(
            region, known=known, good=good, last=answered, now=now, kept=unconfirmed_kept, uow=uow
        )
        await announce_prices(moved, gone=gone, region=region, as_of=now, uow=uow, clock=clock, ids=ids)
    metrics.price_points_stored.labels(region).inc(added)
    log.info(
        "prices_refreshed",
        region=region,
        points=len(points),
        added=added,
        changed=len(moved),
        gone=len(gone),
        refused=len(bad),
    )
    return len(moved)


async def _confirm(
    region: str,
    *,
    known: Mapping[PoolKey, PricePoint],
    good: Sequence[PricePoint],
    last: datetime,
    now: datetime,
    kept: timedelta,
    uow: UnitOfWork,
) -> frozenset[PoolKey]:
    """Note which pools the answer left out, and which are back; return those that lose their price."""
    unnamed = await uow.offerings.unconfirmed(region)
    found = offerings.naming(
        priced=[pool for pool in known if pool.capacity_type is CapacityType.SPOT],
        named=[point.pool for point in good],
        unnamed=unnamed,
        last_answer_at=last,
        now=now,
        kept=kept,
    )
    await uow.offerings.confirm(found.back)
    await uow.offerings.mark_unconfirmed(found.missing, named_at=last)
    await uow.offerings.forget_pools(found.gone)
    still = len(unnamed.keys() - found.back - found.gone) + len(found.missing)
    metrics.unconfirmed_pools.labels(region).set(still)
    if found.missing or found.gone:
        log.warning(
            "pools_not_named", region=region, missing=len(found.missing), gone=len(found.gone), still=still
        )
    return found.gone
