"""Read Spot Advisor and tell the others where the risk changed."""

import structlog

from services.pricing.domain import interruption_risk
from services.pricing.ports import AdvisorSource, UnitOfWorkFactory
from shared.contracts.v1.pricing import InterruptionRiskChanged, PoolRisk
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pools import CapacityType, PoolKey

log = structlog.get_logger(__name__)

SOURCE = "spot_advisor"


async def refresh_ratings(
    *,
    regions: frozenset[str],
    advisor: AdvisorSource,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
) -> int:
    """Store the bands of the regions we price; return how many types changed band.

    They are as old as the file, not as our reading of it.
    """
    reading = await advisor.ratings()
    now = clock.now()
    as_of = min(reading.published_at or now, now)
    moved = 0
    for region in sorted(regions):
        ratings = reading.bands.get(region)
        if ratings is None:
            log.warning("region_not_rated", region=region)
            await _note_silence(region, unit_of_work=unit_of_work, clock=clock)
            continue
        async with unit_of_work() as uow:
            await uow.sources.hold(region, SOURCE)
            known = await uow.risk.ratings(region)
            zones = await uow.offerings.offered_zone_ids(region)
            await uow.risk.put_ratings(region, ratings)
            await uow.offerings.note_source(region, SOURCE, as_of=as_of)
            changed = sorted(name for name, band in ratings.items() if known.get(name) != band)
            risks = [
                PoolRisk(
                    pool=PoolKey(region, name, zone_id, CapacityType.SPOT),
                    interruption_probability=estimate.interruption_probability,
                    source=estimate.source,
                )
                for name in changed
                if (estimate := interruption_risk.estimate(name, ratings=ratings)) is not None
                for zone_id in sorted(zones.get(name, ()))
            ]
            if risks:
                event = InterruptionRiskChanged.make(scope=region, clock=clock, ids=ids, risks=tuple(risks))
                await uow.outbox.add(event)
        moved += len(changed)
        log.info("ratings_refreshed", region=region, types=len(ratings), changed=len(changed))
    return moved


async def _note_silence(region: str, *, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
    """The file has nothing on a region: that is an answer where nothing was known, and else what is known ages."""
    async with unit_of_work() as uow:
        if not await uow.risk.ratings(region):
            await uow.offerings.note_source(region, SOURCE, as_of=clock.now())
