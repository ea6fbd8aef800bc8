"""What pricing does by itself: polls, and the queue of notices."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.pricing import metrics
from services.pricing.domain.pool_observations import LOOK_BACK
from services.pricing.domain.regions import Choice, RegionRules
from services.pricing.handlers.forget_instances import forget_instances
from services.pricing.handlers.keep_price_history import keep_price_history
from services.pricing.handlers.keep_regions import choose_regions
from services.pricing.handlers.refresh_catalogue import SOURCE as CATALOGUE
from services.pricing.handlers.refresh_catalogue import refresh_catalogue
from services.pricing.handlers.refresh_on_demand_prices import refresh_on_demand_prices
from services.pricing.handlers.refresh_prices import SOURCE as SPOT_PRICES
from services.pricing.handlers.refresh_prices import refresh_prices
from services.pricing.handlers.refresh_ratings import SOURCE as RATINGS
from services.pricing.handlers.refresh_ratings import refresh_ratings
from services.pricing.handlers.store_on_demand_prices import READ as PRICE_LIST_READ
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

OVERDUE_PERIODS = 1.5
"""A region whose sources were asked so many periods ago was not priced meanwhile, or nobody answered."""


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

    @property
    def rules(self) -> RegionRules:
        """What the operator allows of regions."""
        return RegionRules(
            always=self.settings.regions,
            allowed=self.settings.allowed_regions,
            most=self.settings.most_regions,
            unused_after=self.settings.region_unused_after,
        )

    async def choice(self) -> Choice:
        """Say which regions are priced now: the operator's, and those in which clusters run."""
        return await choose_regions(rules=self.rules, unit_of_work=self.unit_of_work, clock=self.clock)

    async def regions(self) -> Sequence[str]:
        """Give the regions that are priced now, by name."""
        return sorted((await self.choice()).priced)

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
        await self._ratings(*await self.regions())

    async def _ratings(self, *regions: str) -> None:
        await refresh_ratings(
            regions=frozenset(regions),
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

    async def forget_instances(self) -> None:
        """Forget instances and notices that are over."""
        await forget_instances(
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            ended_kept=self.settings.ended_instances_kept,
            longest_kept=self.settings.instances_kept,
            notices_kept=self.settings.notices_kept,
        )
        choice = await self.choice()
        for region in sorted(choice.resting | choice.left_out):
            # Nobody predicts risks there, which is what forgets observations elsewhere.
            async with self.unit_of_work() as uow:
                await uow.observations.forget(region, before=self.clock.now() - LOOK_BACK)

    async def start_up(self) -> None:
        """Read what every plan needs of the operator's regions, zones before prices.

        On-demand prices are last: where nobody tells them, and an operator has to, spot prices are known all the same.
        """
        for source, refresh in (
            (CATALOGUE, self._catalogue),
            (SPOT_PRICES, self._prices),
            (PRICE_LIST, self._on_demand),
        ):
            await self._each_region(source, refresh, regions=sorted(self.settings.regions))

    async def start_region(self, region: str) -> None:
        """Read what is missing or long overdue of a region in which clusters run, but not its on-demand prices."""
        if await self._is_overdue(region, CATALOGUE, self.settings.catalogue_period * OVERDUE_PERIODS):
            await self._catalogue(region)
        if await self._is_overdue(region, SPOT_PRICES, self.settings.refresh_period * OVERDUE_PERIODS):
            await self._prices(region)
        if await self._is_overdue(region, RATINGS, None):
            await self._ratings(region)

    async def first_on_demand(self, region: str) -> None:
        """Read a region's on-demand prices, if none are known."""
        if await self._is_overdue(region, PRICE_LIST, None):
            await self._on_demand(region)

    async def _is_overdue(self, region: str, source: str, period: timedelta | None) -> bool:
        """Say whether a source never answered, or not for longer than `period`."""
        async with self.unit_of_work() as uow:
            as_of = await uow.offerings.source_as_of(region, source)
        return as_of is None or (period is not None and as_of < self.clock.now() - period)

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
        if await self._is_overdue(region, PRICE_LIST_READ, self.settings.catalogue_period):
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
            unconfirmed_kept=self.settings.spot_unconfirmed_kept,
        )

    async def _each_region(
        self,
        source: str,
        refresh: Callable[[str], Awaitable[None]],
        *,
        regions: Sequence[str] | None = None,
    ) -> None:
        """Refresh all; one region's trouble does not keep the others from being fresh.

        What one of the operator's regions raised is raised in the end. A customer's trouble is only counted, and
        waits for its next turn.
        """
        failure: Exception | None = None
        for region in await self.regions() if regions is None else regions:
            try:
                await refresh(region)
            except Exception as error:
                metrics.source_failures.labels(region, source).inc()
                log.warning(
                    "refresh_failed",
                    region=region,
                    source=source,
                    error=str(error),
                    exc_info=not isinstance(error, SpotError),
                )
                if region in self.settings.regions:
                    failure = error
        if failure is not None:
            raise failure
