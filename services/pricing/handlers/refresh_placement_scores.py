"""Ask EC2 for the chances of the families that clusters run, where it lets us."""

from datetime import timedelta

import structlog

from services.pricing.domain import placement
from services.pricing.domain.placement import PlacementScore
from services.pricing.errors import SourceForbiddenError
from services.pricing.ports import PlacementScoreSource, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.errors import SpotError

log = structlog.get_logger(__name__)

SOURCE = "placement_scores"
FORBIDDEN_FOR = timedelta(days=1)
"""A refusal is remembered so long: asking again every hour would only fill AWS's logs and ours."""


async def refresh_placement_scores(
    *,
    region: str,
    source: PlacementScoreSource,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    most_families: int,
    target_vcpus: int,
) -> int:
    """Store the scores of the region's families in use; return how many there are.

    They are a help, not a need: whatever goes wrong, the scores that are known grow old, and nobody waits.
    """
    now = clock.now()
    async with unit_of_work() as uow:
        until = await uow.sources.forbidden_until(region, SOURCE)
        if until is not None and now < until:
            return 0
        families = list(await uow.sources.families_in_use(region))[:most_families]
        types = await uow.offerings.instance_types(region)
    found: list[PlacementScore] = []
    for family in families:
        names = placement.types_of(family, types)
        if not names:
            continue
        try:
            scores = await source.scores(region, instance_types=names, target_vcpus=target_vcpus)
        except SourceForbiddenError as error:
            async with unit_of_work() as uow:
                await uow.sources.forbid(region, SOURCE, until=now + FORBIDDEN_FOR)
            if until is None:
                log.warning("placement_scores_forbidden", region=region, error=str(error))
            return 0
        except SpotError as error:
            log.info("placement_scores_awaited", region=region, family=family, error=str(error))
            break
        found += [
            PlacementScore(family, zone_id, score, target_vcpus, now)
            for zone_id, score in sorted(scores.items())
        ]
    async with unit_of_work() as uow:
        await uow.sources.put_placement_scores(region, found)
    return len(found)
