"""Store on-demand prices, whoever brought them: the API, the bulk file or an operator."""

from collections.abc import Collection, Set
from datetime import datetime

import structlog

from services.pricing.domain import offerings, price_list
from services.pricing.domain.price_list import OnDemandPrices, Origin
from services.pricing.domain.sifting import FUTURE_TOLERANCE
from services.pricing.errors import PriceFileError
from services.pricing.handlers.announce_prices import announce_prices
from services.pricing.handlers.refuse_rows import refuse_rows
from services.pricing.ports import UnitOfWork
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pools import CapacityType, PoolKey

log = structlog.get_logger(__name__)

SOURCE = "price_list"
READ = "price_list_read"
"""When a source last gave prices to store, however old they were: asking it again soon would bring the same."""

LEAST_SHARE = 0.5
"""A reading that prices fewer of the types priced before is broken, not a new truth."""


async def store_on_demand_prices(
    found: OnDemandPrices, *, region: str, uow: UnitOfWork, clock: Clock, ids: Ids
) -> int | None:
    """Make these the region's on-demand prices; return how many offerings' prices changed.

    A type that is priced no longer loses its price: what no source says is not quoted. Where no row is believed
    nothing was learned: None.

    Raises:
        PriceFileError: too few of the types priced so far, older than what is known, or of the future; nothing is
            stored.
    """
    await uow.sources.hold(region, SOURCE)
    now = clock.now()
    as_of = min(found.published_at, now) if found.published_at is not None else now
    held = await uow.offerings.on_demand_prices(region)
    found = price_list.of_types(found, await uow.offerings.type_names(region))
    await refuse_rows(found.refused, region=region, source=SOURCE, uow=uow, now=now)
    if not found.usd_per_hour:
        return None
    await _check(found, region=region, as_of=as_of, known=held.keys(), now=now, uow=uow)
    gone = sorted(held.keys() - found.usd_per_hour.keys())
    gone_pools = [
        pool
        for pool in (await uow.offerings.known(region) if gone else ())
        if pool.capacity_type is CapacityType.ON_DEMAND and pool.instance_type in gone
    ]
    await uow.offerings.replace_on_demand_prices(region, found.usd_per_hour)
    await uow.offerings.forget_prices(region, CapacityType.ON_DEMAND, gone)
    await uow.offerings.note_source(region, SOURCE, as_of=as_of, origin=found.origin)
    if found.origin is not Origin.UPLOAD:
        await uow.offerings.note_source(region, READ, as_of=now)
    changed = await offer_on_demand_prices(region=region, uow=uow, clock=clock, ids=ids, gone=gone_pools)
    log.info(
        "on_demand_prices_stored",
        region=region,
        origin=found.origin.value,
        as_of=as_of.isoformat(),
        types=len(found.usd_per_hour),
        changed=changed,
        gone=len(gone),
        refused=len(found.refused),
    )
    return changed


async def offer_on_demand_prices(
    *, region: str, uow: UnitOfWork, clock: Clock, ids: Ids, gone: Collection[PoolKey] = ()
) -> int:
    """Give every zone in which a priced type is offered its price; return how many changed, and tell of them.

    `gone` are pools whose price was forgotten: they are told of with the others.
    """
    as_of = await uow.offerings.source_as_of(region, SOURCE)
    if as_of is None:
        return 0
    zones = await uow.offerings.offered_zone_ids(region)
    points = [
        offerings.PricePoint(PoolKey(region, name, zone_id, CapacityType.ON_DEMAND), usd, as_of)
        for name, usd in sorted((await uow.offerings.on_demand_prices(region)).items())
        for zone_id in sorted(zones.get(name, ()))
    ]
    moved = offerings.changed(points, known=await uow.offerings.known(region))
    await uow.offerings.add_points(moved)
    await uow.offerings.put_in_force(moved)
    await announce_prices(moved, gone=gone, region=region, as_of=as_of, uow=uow, clock=clock, ids=ids)
    return len(moved)


async def _check(
    found: OnDemandPrices, *, region: str, as_of: datetime, known: Set[str], now: datetime, uow: UnitOfWork
) -> None:
    if found.published_at is not None and found.published_at > now + FUTURE_TOLERANCE:
        raise PriceFileError(f"the file is dated in the future: {found.published_at:%Y-%m-%d %H:%M} UTC")
    held_as_of = await uow.offerings.source_as_of(region, SOURCE)
    if found.origin is not Origin.API and held_as_of is not None and as_of < held_as_of:
        raise PriceFileError(
            f"the file is of {as_of:%Y-%m-%d %H:%M} UTC; prices of {held_as_of:%Y-%m-%d %H:%M} UTC are known"
        )
    still = len(known & found.usd_per_hour.keys())
    if known and still < LEAST_SHARE * len(known):
        raise PriceFileError(
            f"only {still} of the {len(known)} types priced in {region} so far have a price in it"
        )
