"""Say which pools are flagged now, and what that does."""

from datetime import datetime

from services.pricing.domain import placement
from services.pricing.domain.placement import PlacementScore
from services.pricing.handlers.quote_offerings import live_flag
from services.pricing.ports import UnitOfWorkFactory
from shared.contracts.v1.pricing import Flags, ListFlags, RaisedFlag
from shared.contracts.v1.pricing import PlacementScore as ShownScore
from shared.kernel.clock import Clock
from shared.kernel.pool_flags import AVOID_LEVEL


async def list_flags(request: ListFlags, *, unit_of_work: UnitOfWorkFactory, clock: Clock) -> Flags:
    """Give the live flags of a region by pool, and EC2's placement scores; who saw what is not known here."""
    now = clock.now()
    async with unit_of_work() as uow:
        flags = await uow.risk.live_flags(request.scope, now=now)
        scores = await uow.sources.placement_scores(request.scope, since=now - placement.SHOWN_FOR)
    levels = [(flags[pool], flags[pool].level(now)) for pool in sorted(flags)]
    return Flags(
        flags=tuple(
            RaisedFlag(flag=live_flag(flag), level=round(level, 4), is_avoided=level > AVOID_LEVEL)
            for flag, level in levels
        ),
        placement_scores=tuple(shown_score(scores[key], now=now) for key in sorted(scores)),
    )


def shown_score(score: PlacementScore, *, now: datetime) -> ShownScore:
    """Write a score down as the contract has it."""
    return ShownScore(
        family=score.family,
        zone_id=score.zone_id,
        score=score.score,
        target_vcpus=score.target_vcpus,
        as_of=score.as_of,
        age_seconds=max(int((now - score.as_of).total_seconds()), 0),
    )
