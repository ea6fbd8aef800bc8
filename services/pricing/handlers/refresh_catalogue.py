"""Read what a region offers, and its on-demand prices."""

import structlog

from services.pricing import metrics
from services.pricing.domain import offerings
from services.pricing.ports import Catalogue, OnDemandPriceSource, UnitOfWorkFactory
from shared.contracts.v1.pricing import OfferingPrice, OfferingPricesChanged
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pools import CapacityType, PoolKey

log = structlog.get_logger(__name__)

SOURCE = "price_list"


async def refresh_catalogue(
    *,
    region: str,
    catalogue: Catalogue,
    price_list: OnDemandPriceSource,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
) -> int:
    """Store the region's types, zones and on-demand prices; return how many prices changed.

    A type without an on-demand price is kept without one: it is then offered on spot at most.
    """
    zone_ids = await catalogue.zone_ids(region)
    types = await catalogue.instance_types(region)
    offered = await catalogue.offered(region)
    prices = await price_list.on_demand_prices(region)
    now = clock.now()
    points = [
        offerings.PricePoint(
            PoolKey(region, instance_type, zone_ids[zone], CapacityType.ON_DEMAND), prices[instance_type], now
        )
        for instance_type, zone in sorted(offered)
        if instance_type in prices and zone in zone_ids
    ]
    good, bad = offerings.sift(points, now=now)
    async with unit_of_work() as uow:
        await uow.offerings.replace_catalogue(
            region, zone_ids=zone_ids, instance_types=types, offered=offered
        )
        moved = offerings.changed(good, known=await uow.offerings.known(region))
        await uow.offerings.put_in_force(moved)
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
    if bad:
        metrics.rows_refused.labels(SOURCE).inc(len(bad))
        log.warning("prices_refused", region=region, source=SOURCE, rows=len(bad), first_reason=bad[0].reason)
    log.info("catalogue_refreshed", region=region, types=len(types), zones=len(zone_ids), changed=len(moved))
    return len(moved)
