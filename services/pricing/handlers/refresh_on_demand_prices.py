"""Read the region's on-demand prices from whatever may be asked."""

from collections.abc import Sequence

import structlog

from services.pricing import metrics
from services.pricing.errors import NoPriceSourceError, PriceFileError
from services.pricing.handlers.store_on_demand_prices import SOURCE, store_on_demand_prices
from services.pricing.ports import OnDemandPriceSource, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.errors import SpotError
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)


async def refresh_on_demand_prices(
    *,
    region: str,
    sources: Sequence[OnDemandPriceSource],
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
) -> int:
    """Take the first source that answers with a price to believe; return how many offerings' prices changed.

    Where none does, what is known stays, and grows old: quotes say so.

    Raises:
        NoPriceSourceError: none answers, and no on-demand price of the region is known at all.
    """
    troubles: list[str] = []
    for source in sources:
        try:
            found = await source.on_demand_prices(region)
            async with unit_of_work() as uow:
                changed = await store_on_demand_prices(found, region=region, uow=uow, clock=clock, ids=ids)
            if changed is not None:
                return changed
            raise PriceFileError(f"no believable price of {region} among {len(found.refused)} refused rows")
        except SpotError as error:
            metrics.source_failures.labels(region, SOURCE).inc()
            troubles.append(str(error) or type(error).__name__)
    async with unit_of_work() as uow:
        as_of = await uow.offerings.source_as_of(region, SOURCE)
    if as_of is None:
        raise NoPriceSourceError(
            f"no on-demand price of {region} is known ({'; '.join(troubles) or 'no source may be asked'});"
            " `spotopt prices upload` takes AWS's offer file"
        )
    log.warning("on_demand_prices_kept", region=region, as_of=as_of.isoformat(), troubles=troubles)
    return 0
