"""Prices of offerings: which rows to believe, what changed, and what to say when they are old.

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

FUTURE_TOLERANCE = timedelta(minutes=5)
"""How far ahead of our clock a price may be dated before we refuse it."""

HIGHEST_USD_PER_HOUR = Decimal(10_000)
"""No EC2 instance costs more; a larger number is a broken row."""


@dataclass(frozen=True, slots=True)
class PricePoint:
    """From `effective_at` on, the pool costs this."""

    pool: PoolKey
    usd_per_hour: Decimal
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row we do not believe, and why."""

    point: PricePoint
    reason: str


def refusal_of(point: PricePoint, *, now: datetime) -> str | None:
    """Say why a point must not be believed, or None."""
    if not point.usd_per_hour.is_finite():
        return "the price is not a number"
    if point.usd_per_hour <= 0:
        return "the price is not positive"
    if point.usd_per_hour > HIGHEST_USD_PER_HOUR:
        return "the price is absurdly high"
    if point.effective_at > now + FUTURE_TOLERANCE:
        return "the price is dated in the future"
    return None


def sift(points: Iterable[PricePoint], *, now: datetime) -> tuple[list[PricePoint], list[Refusal]]:
    """Part the believable points from the others; one bad row spoils no good one."""
    good: list[PricePoint] = []
    bad: list[Refusal] = []
    for point in points:
        reason = refusal_of(point, now=now)
        if reason is None:
            good.append(point)
        else:
            bad.append(Refusal(point, reason))
    return good, bad


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
class QuotedPrice:
    """What we dare to say about a price."""

    usd_per_hour: Decimal
    age: timedelta
    is_stale: bool


def quote(usd_per_hour: Decimal, *, as_of: datetime, now: datetime, fresh_for: timedelta) -> QuotedPrice:
    """Quote a price whose source last answered at `as_of`: past `fresh_for` it is stale, and dearer."""
    age = max(now - as_of, timedelta(0))
    is_stale = age > fresh_for
    return QuotedPrice(usd_per_hour * STALE_MARGIN if is_stale else usd_per_hour, age, is_stale)
