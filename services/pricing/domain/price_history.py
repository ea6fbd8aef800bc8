"""How long price events are kept: single for some months, then one row a day, then not at all.

Whole months (UTC) are folded and dropped, so an event is kept single for at least as long as asked, and for at
most a month longer.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from services.pricing.domain.offerings import PricePoint
from shared.kernel.pools import PoolKey


def month_of(at: datetime) -> date:
    """Give the first day of the month (UTC) that an instant is in."""
    return at.astimezone(UTC).date().replace(day=1)


def month_after(month: date) -> date:
    """Give the first day of the next month."""
    return (month + timedelta(days=31)).replace(day=1)


def months_ahead(now: datetime, *, count: int) -> list[date]:
    """Give this month and the `count` after it."""
    months = [month_of(now)]
    for _ in range(count):
        months.append(month_after(months[-1]))
    return months


def over_since(months: Iterable[date], *, now: datetime, kept: timedelta) -> list[date]:
    """Give the months whose last instant is more than `kept` ago, oldest first."""
    oldest = (now - kept).astimezone(UTC)
    return sorted(m for m in months if datetime.combine(month_after(m), datetime.min.time(), UTC) <= oldest)


def with_anchors(points: Iterable[PricePoint], *, known: Mapping[PoolKey, PricePoint]) -> list[PricePoint]:
    """Add the price in force of each pool that has a point older than it.

    A point that says the same as the one before it is no change and is not kept. When an older point turns up
    late and says otherwise, the price in force is a change after all.
    """
    given = list(points)
    late = {p.pool for p in given if p.pool in known and p.effective_at < known[p.pool].effective_at}
    return [*given, *(known[pool] for pool in sorted(late))]
