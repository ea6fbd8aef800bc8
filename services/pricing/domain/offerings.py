"""Prices of offerings: what changed, and what to say when they are old.

Spot prices are change events: a price is in force from `effective_at` until the pool's next point. An
unchanged price is published again about once a day, so the age of a price is the time since its *source*
was last asked with success, not the time since the price last moved.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from shared.kernel.pools import PoolKey

STALE_MARGIN = Decimal("1.10")
"""What a stale price is multiplied by before anyone relies on it (DESIGN.md, When something fails)."""


@dataclass(frozen=True, slots=True)
class PricePoint:
    """From `effective_at` on, the pool costs this."""

    pool: PoolKey
    usd_per_hour: Decimal
    effective_at: datetime


def latest(points: Iterable[PricePoint]) -> dict[PoolKey, PricePoint]:
    """Give each pool's newest point; of two at one instant the dearer, whatever their order."""
    newest: dict[PoolKey, PricePoint] = {}
    for point in points:
        held = newest.get(point.pool)
        if held is None or (point.effective_at, point.usd_per_hour) > (held.effective_at, held.usd_per_hour):
            newest[point.pool] = point
    return newest


def changed(points: Iterable[PricePoint], *, known: Mapping[PoolKey, PricePoint]) -> list[PricePoint]:
    """Give the newest points that move a price, sorted by pool; a repeated or older price moves nothing."""
    moved = [
        point
        for pool, point in latest(points).items()
        if (held := known.get(pool)) is None
        or (point.effective_at > held.effective_at and point.usd_per_hour != held.usd_per_hour)
    ]
    return sorted(moved, key=lambda point: point.pool)


def age_of(as_of: datetime, *, now: datetime) -> timedelta:
    """Give the time since a source last answered; a clock that ran ahead makes nothing younger than now."""
    return max(now - as_of, timedelta(0))


def confidence(age: timedelta, *, fresh_for: timedelta) -> float:
    """Give how far to believe a price of this age: 1 at once, one half when it becomes stale, then less and less."""
    return float(2.0 ** -(age / fresh_for))
