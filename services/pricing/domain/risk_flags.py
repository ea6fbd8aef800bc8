"""A pool in which something happened is avoided for a while, by every cluster.

92 % of interruptions of a type in a zone fall within minutes of each other (arXiv 2604.16457), so a flag
that is shared within seconds is worth much, and one that lingers for hours costs capacity for nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kernel.pools import CapacityType, PoolKey

FLAG_LIFETIME = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Flag:
    """Keep away until then."""

    pool: PoolKey
    reason: str
    expires_at: datetime


def flag_for(pool: PoolKey, *, reason: str, at: datetime, held: Flag | None = None) -> Flag | None:
    """Give the flag that an incident raises, or None where the one held already lasts longer.

    Only spot pools are flagged for interruptions; a lack of capacity flags any pool.
    """
    if reason == "interruption" and pool.capacity_type is not CapacityType.SPOT:
        return None
    expires_at = at + FLAG_LIFETIME
    if held is not None and held.expires_at >= expires_at:
        return None
    return Flag(pool, reason, expires_at)
