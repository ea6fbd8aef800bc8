"""What an operator brings by hand."""

from services.pricing.domain.regions import RegionRules
from services.pricing.handlers.keep_regions import choose_regions
from services.pricing.handlers.upload_on_demand_prices import upload_on_demand_prices
from services.pricing.ports import UnitOfWorkFactory
from shared.contracts.v1.pricing import OnDemandPricesUploaded, UploadOnDemandPrices
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.runtime.messaging import Bus


def serve_uploads(
    bus: Bus, *, rules: RegionRules, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids
) -> None:
    """Serve uploads of on-demand prices."""

    async def use_upload(request: UploadOnDemandPrices) -> OnDemandPricesUploaded:
        choice = await choose_regions(rules=rules, unit_of_work=unit_of_work, clock=clock)
        return await upload_on_demand_prices(
            request, regions=choice.priced, unit_of_work=unit_of_work, clock=clock, ids=ids
        )

    bus.serve(UploadOnDemandPrices, use_upload)
