"""Pools in which something happened lately, and what that says about them and their siblings.

92 % of interruptions of a type in a zone fall within minutes of each other (arXiv 2604.16457), so a flag that
is shared within a second is worth much, and one that lingers for hours costs capacity for nothing: its level
falls in a straight line from 1 to 0. Siblings, which draw on the same machines or the same demand, are raised
by a share of it. A flag says nothing about who saw what.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kernel.pools import CapacityType, PoolKey

FLAG_LIFETIME = timedelta(minutes=30)

AVOID_LEVEL = 0.5
"""Down to this level nothing new is launched in the pool: for 15 minutes. Below it only the risk is raised."""

SIBLING_SHARE = 0.3
"""How much of a flag's level falls on other sizes of the family in its zone, and on the type in other zones."""

FULL_HAZARD_PER_HOUR = math.log(2)
"""Added at level 1: every second instance is taken within the hour. A cautious guess, not a measured figure."""

CAUTION_PER_HOUR = -math.expm1(math.log1p(-0.2) / 24)
"""The hourly probability that makes 20 % in a day, from which the risk contract says CAUTION."""


@dataclass(frozen=True, slots=True)
class PoolFlag:
    """Something was seen in a pool."""

    pool: PoolKey
    reason: str
    raised_at: datetime
    expires_at: datetime

    def level(self, now: datetime) -> float:
        """Give 1 when it is raised and 0 from its end on."""
        left = (self.expires_at - now) / (self.expires_at - self.raised_at)
        return min(max(left, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class RaisedRisk:
    """How a pool stands among the flags."""

    level: float
    flag: PoolFlag
    """The flag that raises it most: its own, or a sibling's."""
    is_own: bool

    @property
    def is_avoided(self) -> bool:
        """Whether nothing new may be launched there."""
        return self.is_own and self.level > AVOID_LEVEL


class PoolFlags:
    """Live flags at one instant, asked by pool."""

    def __init__(self, flags: Iterable[PoolFlag] = (), *, now: datetime) -> None:
        self._own: dict[PoolKey, RaisedRisk] = {}
        self._near: dict[tuple[str, ...], RaisedRisk] = {}
        for flag in sorted(flags, key=lambda f: (f.pool, f.raised_at, f.expires_at, f.reason)):
            level = flag.level(now)
            if level <= 0:
                continue
            own = self._own.get(flag.pool)
            if own is None or level > own.level:
                self._own[flag.pool] = RaisedRisk(level, flag, is_own=True)
            for group in _groups(flag.pool):
                near = self._near.get(group)
                if near is None or SIBLING_SHARE * level > near.level:
                    self._near[group] = RaisedRisk(SIBLING_SHARE * level, flag, is_own=False)

    def __len__(self) -> int:
        """Count the pools that are flagged themselves."""
        return len(self._own)

    def is_own(self, pool: PoolKey) -> bool:
        """Whether the pool itself is flagged, at whatever level."""
        return pool in self._own

    def of(self, pool: PoolKey) -> RaisedRisk | None:
        """Give what raises a pool's risk: its own flag while it has one, else the highest of its siblings'."""
        own = self._own.get(pool)
        if own is not None or not self._near:
            return own
        near = [self._near[group] for group in _groups(pool) if group in self._near]
        return max(near, key=lambda raised: raised.level, default=None)

    def probability(self, pool: PoolKey, base: float | None) -> float | None:
        """Give P(interrupted within an hour) with what the flags add to `base`.

        None stays None without a flag, and on-demand: nothing on-demand is interrupted.
        """
        raised = self.of(pool)
        if raised is None or pool.capacity_type is not CapacityType.SPOT:
            return base
        hazard_per_hour = raised.level * FULL_HAZARD_PER_HOUR
        if base is not None:
            hazard_per_hour += math.inf if base >= 1 else -math.log1p(-base)
        probability = -math.expm1(-hazard_per_hour)
        return max(probability, CAUTION_PER_HOUR) if raised.is_own else probability


def _groups(pool: PoolKey) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the two groups that a pool's siblings share with it."""
    family = pool.instance_type.partition(".")[0]
    return (
        ("family", pool.region, pool.zone_id, family, pool.capacity_type.value),
        ("type", pool.region, pool.instance_type, pool.capacity_type.value),
    )
