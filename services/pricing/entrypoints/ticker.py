"""What pricing does by itself: polls, and the queue of notices."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from services.pricing import metrics
from services.pricing.handlers.receive_notice import receive_notice
from services.pricing.handlers.refresh_catalogue import refresh_catalogue
from services.pricing.handlers.refresh_prices import refresh_prices
from services.pricing.handlers.refresh_ratings import refresh_ratings
from services.pricing.ports import (
    AdvisorSource,
    Catalogue,
    NoticeQueue,
    OnDemandPriceSource,
    SpotPriceSource,
    UnitOfWorkFactory,
)
from services.pricing.settings import PricingSettings
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, SpotError
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)

QUEUE_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Refreshers:
    """The polls of every region, each a call of one handler."""

    settings: PricingSettings
    catalogue: Catalogue
    price_list: OnDemandPriceSource
    spot_prices: SpotPriceSource
    advisor: AdvisorSource
    unit_of_work: UnitOfWorkFactory
    clock: Clock
    ids: Ids

    async def refresh_catalogues(self) -> None:
        """Read types, zones and on-demand prices of every region."""
        await self._each_region("price_list", self._catalogue)

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

    async def start_up(self) -> None:
        """Read what every plan needs, in the order in which one needs the other: zones before prices."""
        await self.refresh_catalogues()
        await self.refresh_prices()

    async def _catalogue(self, region: str) -> None:
        await refresh_catalogue(
            region=region,
            catalogue=self.catalogue,
            price_list=self.price_list,
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )

    async def _prices(self, region: str) -> None:
        await refresh_prices(
            region=region,
            source=self.spot_prices,
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            ids=self.ids,
            first_look_back=self.settings.spot_history_start,
            overlap=self.settings.spot_history_overlap,
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


async def watch_queue(queue: NoticeQueue, *, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids) -> None:
    """Take notices from the queue for ever; a message is deleted after it is stored, or known to be none.

    One that fails otherwise stays: the queue shows it again later, and its own redrive policy ends that.
    """
    while True:
        try:
            for notice in await queue.receive():
                try:
                    await receive_notice(notice.body, unit_of_work=unit_of_work, clock=clock, ids=ids)
                except PermanentError as error:
                    log.warning("notice_refused", error=str(error), body=notice.body[:256])
                except SpotError:
                    raise
                except Exception:
                    log.exception("notice_kept", body=notice.body[:256])
                    continue
                await queue.delete(notice.handle)
        except SpotError as error:
            log.warning("queue_awaited", error=str(error))
            await clock.sleep(QUEUE_PAUSE_SECONDS)
