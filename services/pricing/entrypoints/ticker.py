"""What pricing does by itself: polls, and the queue of notices."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from services.pricing import metrics
from services.pricing.handlers.keep_price_history import keep_price_history
from services.pricing.handlers.refresh_catalogue import refresh_catalogue
from services.pricing.handlers.refresh_on_demand_prices import refresh_on_demand_prices
from services.pricing.handlers.refresh_prices import refresh_prices
from services.pricing.handlers.refresh_ratings import refresh_ratings
from services.pricing.handlers.store_on_demand_prices import SOURCE as PRICE_LIST
from services.pricing.ports import (
    AdvisorSource,
    Catalogue,
    OnDemandPriceSource,
    SpotPriceSource,
    UnitOfWorkFactory,
)
from services.pricing.settings import PricingSettings
from shared.kernel.clock import Clock
from shared.kernel.errors import SpotError
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Refreshers:
    """The polls of every region, each a call of one handler."""

    settings: PricingSettings
    catalogue: Catalogue
    on_demand: Sequence[OnDemandPriceSource]
    """Asked in this order."""
    spot_prices: SpotPriceSource
    advisor: AdvisorSource
    unit_of_work: UnitOfWorkFactory
    clock: Clock
    ids: Ids

    async def refresh_catalogues(self) -> None:
        """Read types and zones of every region."""
        await self._each_region("catalogue", self._catalogue)

    async def refresh_on_demand(self) -> None:
        """Read on-demand prices of every region."""
        await self._each_region("price_list", self._on_demand)

    async def retry_on_demand(self) -> None:
        """Ask again for on-demand prices that nobody gave when it was their time."""
        await self._each_region("price_list", self._overdue_on_demand)

    async def refresh_prices(self) -> None:
        """Read new spot prices of every region."""
        await self._each_region("spot_price_history", self._prices)

    async def refresh_ratings(self) -> None:
        """Read Spot Advisor."""
        await refresh_ratings(
            regions=self.settings.regions,
            advisor=self.advisor,
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )

    async def keep_history(self) -> None:
        """Bring the months of prices into order."""
        await keep_price_history(
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            events_kept=self.settings.price_events_kept,
            days_kept=self.settings.price_days_kept,
            quarantined_rows=self.settings.quarantined_rows,
        )

    async def start_up(self) -> None:
        """Read what every plan needs, in the order in which one needs the other: zones before prices.

        On-demand prices are last: where nobody tells them, and an operator has to, spot prices are known all the same.
        """
        await self.refresh_catalogues()
        await self.refresh_prices()
        await self.refresh_on_demand()

    async def _catalogue(self, region: str) -> None:
        await refresh_catalogue(
            region=region,
            catalogue=self.catalogue,
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )

    async def _on_demand(self, region: str) -> None:
        await refresh_on_demand_prices(
            region=region,
            sources=self.on_demand,
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )

    async def _overdue_on_demand(self, region: str) -> None:
        async with self.unit_of_work() as uow:
            as_of = await uow.offerings.source_as_of(region, PRICE_LIST)
        if as_of is None or as_of < self.clock.now() - self.settings.catalogue_period:
            await self._on_demand(region)

    async def _prices(self, region: str) -> None:
        await refresh_prices(
            region=region,
            source=self.spot_prices,
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            ids=self.ids,
            first_look_back=self.settings.spot_history_start,
            overlap=self.settings.spot_history_overlap,
            history_kept=self.settings.price_days_kept,
        )

    async def _each_region(self, source: str, refresh: Callable[[str], Awaitable[None]]) -> None:
        """Refresh all; one region's trouble does not keep the others from being fresh."""
        failure: SpotError | None = None
        for region in sorted(self.settings.regions):
            try:
                await refresh(region)
            except SpotError as error:
                metrics.source_failures.labels(region, source).inc()
                log.warning("refresh_failed", region=region, source=source, error=str(error))
                failure = error
        if failure is not None:
            raise failure
