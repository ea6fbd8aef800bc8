"""Use the on-demand prices of an operator's file."""

from services.pricing.domain.price_list import CURRENCY, Collection, OnDemandPrices, Origin, PriceRow
from services.pricing.domain.refusals import RefusalReason, RefusedRow
from services.pricing.errors import PriceFileError
from services.pricing.handlers.store_on_demand_prices import store_on_demand_prices
from services.pricing.ports import UnitOfWorkFactory
from shared.contracts.v1.pricing import OnDemandPricesUploaded, UploadOnDemandPrices
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def upload_on_demand_prices(
    request: UploadOnDemandPrices,
    *,
    regions: frozenset[str],
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
) -> OnDemandPricesUploaded:
    """Judge every row again, and store what is believed; the same file twice changes nothing.

    Raises:
        PriceFileError: a region that is not priced here, a date in the future, nothing believable, prices older
            than those known, or too few of them.
    """
    region = request.scope
    if region not in regions:
        raise PriceFileError(
            f"{region} is not priced here; PRICING_REGIONS and clusters have {', '.join(sorted(regions))}"
        )
    collected = Collection(region)
    for price in request.prices:
        collected.add(PriceRow(price.instance_type, region, "Hrs", CURRENCY, str(price.usd_per_hour)))
    refused = [RefusedRow.of(_reason(row.reason), row.row) for row in request.refused]
    found = OnDemandPrices(
        usd_per_hour=collected.usd_per_hour,
        refused=(*refused, *collected.refused),
        origin=Origin.UPLOAD,
        published_at=request.published_at,
    )
    async with unit_of_work() as uow:
        types = await uow.offerings.type_names(region)
        if not (found.usd_per_hour.keys() & types if types else found.usd_per_hour):
            raise PriceFileError(f"no believable price of an instance type that {region} has")
        changed = await store_on_demand_prices(found, region=region, uow=uow, clock=clock, ids=ids)
        kept = await uow.offerings.on_demand_prices(region)
    return OnDemandPricesUploaded(
        region=region,
        as_of=request.published_at,
        types=len(kept),
        changed=changed or 0,
        refused=len(found.refused) + len(found.usd_per_hour.keys() - kept.keys()),
    )


def _reason(text: str) -> RefusalReason:
    return RefusalReason(text) if text in RefusalReason.__members__.values() else RefusalReason.MALFORMED
