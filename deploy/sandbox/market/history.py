"""Spot price change events by pool.

A row says that a price came into force, not that it moved: an unchanged price is published again about
once a day. Times are seconds since 1970 on the market's own clock.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

Pool = tuple[str, str]
"""Instance type and zone name."""

Event = tuple[float, float]
"""When it came into force, and USD per hour."""


@dataclass(frozen=True, slots=True)
class PoolHistory:
    """One pool's events, oldest first, as two columns of equal length."""

    times: "array[float]"
    usd_per_hour: "array[float]"

    def index_at(self, time: float) -> int:
        """Give the index of the event in force at `time`, or -1 before the first."""
        return bisect_right(self.times, time) - 1


class PriceHistory:
    """All pools' events."""

    def __init__(self, pools: Mapping[Pool, PoolHistory]) -> None:
        self._pools = pools
        self.first_time = min(pool.times[0] for pool in pools.values())
        self.last_time = max(pool.times[-1] for pool in pools.values())

    def __len__(self) -> int:
        return sum(len(pool.times) for pool in self._pools.values())

    @classmethod
    def from_events(cls, events: Mapping[Pool, Iterable[Event]]) -> "PriceHistory":
        """Sort each pool's events by time; of several at one time the last given counts."""
        pools: dict[Pool, PoolHistory] = {}
        for pool, unsorted in events.items():
            ordered = sorted(dict(unsorted).items())
            pools[pool] = PoolHistory(
                array("d", (time for time, _ in ordered)), array("d", (usd for _, usd in ordered))
            )
        return cls(pools)

    @property
    def pools(self) -> frozenset[Pool]:
        """Every pool that has a price at some time."""
        return frozenset(self._pools)

    def price_at(self, pool: Pool, time: float) -> float | None:
        """Give the USD per hour in force, or None for an unknown pool or before its first event."""
        history = self._pools.get(pool)
        if history is None:
            return None
        index = history.index_at(time)
        return history.usd_per_hour[index] if index >= 0 else None

    def between(self, pools: Iterable[Pool], start: float, end: float) -> Iterator[tuple[Pool, Event]]:
        """Give each pool's events in (start, end], and the one in force at `start`."""
        for pool in pools:
            history = self._pools[pool]
            first = max(history.index_at(start), 0)
            for index in range(first, history.index_at(end) + 1):
                yield pool, (history.times[index], history.usd_per_hour[index])
