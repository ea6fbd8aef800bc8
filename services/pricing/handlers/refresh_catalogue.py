"""Read what a region offers."""

import structlog

from services.pricing.handlers.store_on_demand_prices import offer_on_demand_prices
from services.pricing.ports import Catalogue, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)

SOURCE = "catalogue"


async def refresh_catalogue(
    *, region: str, catalogue: Catalogue, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids
) -> int:
    """Store the region's types, zones and offerings; return how many on-demand prices that brought.

    A type without an on-demand price is kept without one: it is then offered on spot at most.
    """
    zone_ids = await catalogue.zone_ids(region)
    types = await catalogue.instance_types(region)
    offered = await catalogue.offered(region)
    async with unit_of_work() as uow:
        await uow.sources.hold(region, SOURCE)
        await uow.offerings.replace_catalogue(
            region, zone_ids=zone_ids, instance_types=types, offered=offered
        )
        await uow.offerings.note_source(region, SOURCE, as_of=clock.now())
        changed = await offer_on_demand_prices(region=region, uow=uow, clock=clock, ids=ids)
    log.info("catalogue_refreshed", region=region, types=len(types), zones=len(zone_ids), changed=changed)
    return changed
