"""Which incidents raise a flag on a pool, and when a flag is raised anew."""

from datetime import datetime, timedelta

from shared.kernel.pool_flags import FLAG_LIFETIME, PoolFlag
from shared.kernel.pools import CapacityType, PoolKey

RENEWED_AFTER = timedelta(seconds=30)
"""A flag younger than that is not raised again: EC2 takes hundreds of instances of a pool within seconds, and
each would tell everybody what they know."""


def flag_for(
    pool: PoolKey, *, reason: str, at: datetime, now: datetime, held: PoolFlag | None = None
) -> PoolFlag | None:
    """Give the flag that an incident raises, or None where the one held says as much already.

    Only spot pools are flagged for interruptions; a lack of capacity flags any pool. The flag falls from when the
    incident was, not from when we heard of it: one that waited in a queue is older news, or none any more.
    """
    at = min(at, now)  # a clock that runs ahead of ours makes no flag last longer
    if at + FLAG_LIFETIME <= now:
        return None
    if reason == "interruption" and pool.capacity_type is not CapacityType.SPOT:
        return None
    if held is not None and held.raised_at > at - RENEWED_AFTER:
        return None
    return PoolFlag(pool, reason, at, at + FLAG_LIFETIME)
