"""Regions that came into use: read as soon as a cluster is there, not at the next turn of the polls."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.pricing import metrics
from services.pricing.entrypoints.ticker import Refreshers
from shared.kernel.errors import RetryableError, SpotError

log = structlog.get_logger(__name__)

FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(minutes=15)

LOOKED_AGAIN_AFTER = timedelta(minutes=1)
"""How soon a region that lacked nothing is looked at again; one that came into use is looked at at once."""

AT_ONCE = 4
"""Regions read side by side: one that does not answer must not hold up the others."""


@dataclass(kw_only=True)
class NewRegions:
    """Looks every few seconds for regions whose prices are missing or long overdue.

    What is overdue is read from the database, so a restart reads nothing again. A region that fails is asked
    again after a pause that grows: it is a customer's, and none of its troubles are ours or another region's.
    """

    refreshers: Refreshers
    _left_out: frozenset[str] = frozenset()
    _pauses: dict[tuple[str, str], timedelta] = field(default_factory=dict)
    _not_before: dict[tuple[str, str], datetime] = field(default_factory=dict)

    async def read(self) -> None:
        """Read what they offer, spot prices and risk."""
        choice = await self.refreshers.choice()
        for region in sorted(choice.left_out - self._left_out):
            metrics.regions_refused.labels("limit").inc()
            log.warning(
                "region_left_out",
                region=region,
                reason=f"clusters run in {region}, and no prices are read for it:"
                f" PRICING_MOST_REGIONS allows {self.refreshers.settings.most_regions} regions",
            )
        self._left_out = choice.left_out
        await self._each("start", self.refreshers.start_region)

    async def read_on_demand(self) -> None:
        """Read on-demand prices where none are known; that may be a file of hundreds of MB, so it is apart."""
        await self._each("on_demand", self.refreshers.first_on_demand)

    async def _each(self, what: str, start: Callable[[str], Awaitable[None]]) -> None:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(region: str) -> None:
            async with at_once:
                await self._one(what, region, start)

        used = (await self.refreshers.choice()).priced - self.refreshers.settings.regions
        await asyncio.gather(*(one(region) for region in sorted(used)))

    async def _one(self, what: str, region: str, start: Callable[[str], Awaitable[None]]) -> None:
        key, now = (what, region), self.refreshers.clock.now()
        if now < self._not_before.get(key, now):
            return
        try:
            await start(region)
        except Exception as error:
            asked = error.retry_after_seconds if isinstance(error, RetryableError) else None
            pause = max(self._pauses.get(key, FIRST_PAUSE), timedelta(seconds=asked or 0))
            self._pauses[key] = min(2 * pause, LONGEST_PAUSE)
            self._not_before[key] = self.refreshers.clock.now() + pause
            metrics.source_failures.labels(region, what).inc()
            log.warning(
                "new_region_waits",
                region=region,
                error=str(error),
                pause_seconds=pause.total_seconds(),
                exc_info=not isinstance(error, SpotError),
            )
        else:
            self._pauses.pop(key, None)
            self._not_before[key] = self.refreshers.clock.now() + LOOKED_AGAIN_AFTER
