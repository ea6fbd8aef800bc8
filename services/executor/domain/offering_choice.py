"""Which offering of a launch to try next."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.executor.domain.steps import Offering
from shared.kernel.pools import PoolKey


@dataclass(frozen=True, slots=True)
class Flag:
    """A pool to keep away from until it expires."""

    pool: PoolKey
    expires_at: datetime


def next_offering(
    offerings: Sequence[Offering],
    *,
    tried: Collection[PoolKey],
    flagged: Collection[PoolKey],
    zone_ids: Collection[str],
) -> Offering | None:
    """Give the first offering that was not tried, in a zone we have a subnet in.

    A flagged pool waits until no other is left: a flag is a probability, an exhausted list is a certainty.
    """
    left = [o for o in offerings if o.pool not in tried and o.pool.zone_id in zone_ids]
    for offering in left:
        if offering.pool not in flagged:
            return offering
    return left[0] if left else None


def affordable(offerings: Sequence[Offering], *, extra_usd_per_hour: Decimal) -> tuple[Offering, ...]:
    """Leave out what costs more above the planned one, the first, than its move can spare.

    A move that saves is not worth its disruption whatever it ends up with: where only dearer offerings are left,
    its nodes stay, and the next plan looks at the market anew.
    """
    if not offerings or offerings[0].usd_per_hour is None:
        return tuple(offerings)
    most = offerings[0].usd_per_hour + max(extra_usd_per_hour, Decimal(0))
    return tuple(o for o in offerings if o.usd_per_hour is not None and o.usd_per_hour <= most)
