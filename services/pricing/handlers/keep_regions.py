"""Follow where clusters run, and say which regions are priced."""

from datetime import datetime, timedelta

import structlog

from services.pricing import metrics
from services.pricing.domain import regions
from services.pricing.domain.regions import Choice, RegionRules
from services.pricing.ports import UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.gateway import ClusterRegistered
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)

NOTED_AGAIN_AFTER = timedelta(hours=1)
"""How often a process writes down that a region's prices are asked for."""

UNUSED_AGAIN_AFTER = timedelta(minutes=1)
"""The same of one without a cluster: its registration may be on its way."""


async def keep_region(
    message: ClusterRegistered, *, rules: RegionRules, uow: UnitOfWork, clock: Clock
) -> None:
    """A cluster runs in a region from now on; a name that may not be priced is refused, and counted."""
    region = message.cloud_account.region
    if not rules.allows(region):
        metrics.regions_refused.labels("not_allowed").inc()
        log.warning("region_refused", region=region, allowed=rules.allowed)
        return
    await uow.regions.use(region, at=min(message.occurred_at, clock.now()))


async def note_question(
    region: str, *, next_at: dict[str, datetime], unit_of_work: UnitOfWorkFactory, clock: Clock
) -> None:
    """Somebody needs a region's prices still; `next_at` keeps from one call to the next when to note that again."""
    now = clock.now()
    if now >= next_at.get(region, now):
        async with unit_of_work() as uow:
            is_used = await uow.regions.still_used(region, at=now)
        next_at[region] = now + (NOTED_AGAIN_AFTER if is_used else UNUSED_AGAIN_AFTER)


async def choose_regions(*, rules: RegionRules, unit_of_work: UnitOfWorkFactory, clock: Clock) -> Choice:
    """Choose the regions to price now."""
    async with unit_of_work() as uow:
        used = await uow.regions.used()
    choice = regions.choose(used, rules=rules, now=clock.now())
    metrics.regions.labels("priced").set(len(choice.priced))
    metrics.regions.labels("resting").set(len(choice.resting))
    metrics.regions.labels("left_out").set(len(choice.left_out))
    return choice
