"""Prices of offerings: what changed, and what to say when they are old.

Spot prices are change events: a price is in force from `effective_at` until the pool's next point. An
unchanged price is published again about once a day, so the age of a price is the time since its *source*
last named it in an answer, not the time since the price last moved. EC2 names every pool in every answer: of
one that has not changed it gives the price in force at the start of the window.
"""

from collections.abc import Collection, Iterable, Mapping
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


@dataclass(frozen=True, slots=True)
class Naming:
    """What an answer of a source that always names every pool means for the pools with a price."""

    missing: frozenset[PoolKey]
    """Named by the answer before, but not by this one."""
    back: frozenset[PoolKey]
    """Named again."""
    gone: frozenset[PoolKey]
    """Not named for so long that they have no price any more."""


def naming(
    *,
    priced: Collection[PoolKey],
    named: Collection[PoolKey],
    unnamed: Mapping[PoolKey, datetime],
    last_answer_at: datetime,
    now: datetime,
    kept: timedelta,
) -> Naming:
    """Tell the pools of an answer from those it leaves out.

    `unnamed` says when pools that were left out before were named last; for one left out only now that is
    `last_answer_at`. A pool that is left out for `kept` is gone.
    """
    present = frozenset(named)
    absent = frozenset(priced) - present
    gone = frozenset(pool for pool in absent if now - unnamed.get(pool, last_answer_at) >= kept)
    return Naming(
        missing=absent - unnamed.keys() - gone, back=present & unnamed.keys() & frozenset(priced), gone=gone
    )


def age_of(as_of: datetime, *, now: datetime) -> timedelta:
    """Give the time since a source last answered; a clock that ran ahead makes nothing younger than now."""
    return max(now - as_of, timedelta(0))


def confidence(age: timedelta, *, fresh_for: timedelta) -> float:
    """Give how far to believe a price of this age: 1 at once, one half when it becomes stale, then less and less."""
    return float(2.0 ** -(age / fresh_for))
