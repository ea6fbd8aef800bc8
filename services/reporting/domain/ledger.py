"""What nodes cost in a stretch of time: each node's presence, cut where its price changed.

A price counts from when it took effect. Where none is known the stretch is unpriced: it has no cost, never a cost of
zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from shared.kernel.pools import CapacityType, PoolKey

PICO_USD = Decimal("1e-12")
"""Amounts are rounded to this many USD."""

HOUR_MICROSECONDS = Decimal(3_600_000_000)
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A price in force from an instant until the next point."""

    effective_at: datetime
    usd_per_hour: Decimal


@dataclass(frozen=True, slots=True)
class NodeSpan:
    """A node's presence; `until` is None while it is there."""

    name: str
    pool: PoolKey | None
    cpu_millicores: int
    memory_bytes: int
    since: datetime
    until: datetime | None
    is_capacity_assumed: bool = False
    """No label said how it is bought, so it is priced as on-demand."""


@dataclass(frozen=True, slots=True)
class Charge:
    """A stretch of a node's time at one price."""

    node: NodeSpan
    start: datetime
    end: datetime
    usd_per_hour: Decimal | None

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost; None where the price is unknown."""
        if self.usd_per_hour is None:
            return None
        return (self.usd_per_hour * hours(self.start, self.end)).quantize(PICO_USD, ROUND_HALF_EVEN)


def hours(start: datetime, end: datetime) -> Decimal:
    """Give the time between two instants."""
    return Decimal((end - start) // MICROSECOND) / HOUR_MICROSECONDS


def overlap(
    since: datetime, until: datetime | None, start: datetime, end: datetime
) -> tuple[datetime, datetime] | None:
    """Give the part of [since, until) that lies in [start, end)."""
    first, last = max(since, start), end if until is None else min(until, end)
    return (first, last) if first < last else None


def pool_of(
    region: str, instance_type: str | None, zone_id: str | None, capacity_type: CapacityType | None
) -> tuple[PoolKey | None, bool]:
    """Give a node's pool, and whether on-demand was assumed; None when its type is unknown.

    On-demand prices are the same in every zone of a region, so an unknown zone hinders spot only.
    """
    if instance_type is None:
        return None, False
    return (
        PoolKey(region, instance_type, zone_id or "", capacity_type or CapacityType.ON_DEMAND),
        capacity_type is None,
    )


def charges(
    nodes: Iterable[NodeSpan],
    prices: Mapping[PoolKey, Sequence[PricePoint]],
    *,
    start: datetime,
    end: datetime,
) -> list[Charge]:
    """Charge every node for its time in [start, end); points are sorted by time, one before `start` included."""
    charged: list[Charge] = []
    for node in nodes:
        there = overlap(node.since, node.until, start, end)
        if there is None:
            continue
        points = prices.get(node.pool, ()) if node.pool is not None else ()
        at, price = there[0], price_at(points, there[0])
        for point in points:
            if there[0] < point.effective_at < there[1] and price != point.usd_per_hour:
                charged.append(Charge(node, at, point.effective_at, price))
                at, price = point.effective_at, point.usd_per_hour
        charged.append(Charge(node, at, there[1], price))
    return charged


def price_at(points: Sequence[PricePoint], at: datetime) -> Decimal | None:
    """Give the price in force at an instant; None before the first one known."""
    found: Decimal | None = None
    for point in points:
        if point.effective_at > at:
            break
        found = point.usd_per_hour
    return found


def slice_end(start: datetime, *, length: timedelta, baselines: Iterable[datetime] = ()) -> datetime:
    """Give where a slice that begins at `start` ends: the next multiple of `length`, or a baseline before it."""
    end = start + length - (start - EPOCH) % length
    return min([end, *(at for at in baselines if start < at < end)])
