"""What can be bought, and at which price.

Prices arrive as floats; they are compared as whole micro-dollars, so that two prices that print alike are
alike and no sum depends on the order of its parts. A price that is unknown is None, never zero.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey

MICRO = 1_000_000
STALE_MARGIN_RATIO = 0.10
"""Added to a stale price: what it may have risen since."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One pool at its price."""

    pool: PoolKey
    usd_per_hour: float
    interruption_probability: float | None = None
    """Within an hour; None on-demand, and where nobody knows."""
    age_seconds: int | None = None
    """Since the price was read; None when nobody knows: then nothing new is bought at a spot price."""
    is_stale: bool = False
    flagged_since: datetime | None = None
    """An interruption, or a lack of capacity, was seen there so lately that nothing new is launched there."""
    is_committed: bool = False
    """Whether a reservation or a Savings Plan pays for it, at least in part: the price is what it adds to the bill."""

    @property
    def flagged(self) -> bool:
        """Whether it is avoided."""
        return self.flagged_since is not None

    @property
    def micro_usd(self) -> int:
        """Give the price to plan with, the margin of a stale one included."""
        margin = 1 + STALE_MARGIN_RATIO if self.is_stale else 1.0
        return round(self.usd_per_hour * margin * MICRO)

    @property
    def is_spot(self) -> bool:
        """Whether EC2 may take it back."""
        return self.pool.capacity_type is CapacityType.SPOT


@dataclass(frozen=True, slots=True)
class Market:
    """Everything that was on offer at one instant."""

    instance_types: Mapping[str, InstanceType]
    offers: tuple[Offer, ...]
    as_of: datetime | None = None
    memory_corrections: Mapping[str, float] = field(default_factory=dict)
    """Per type: the share of memory that real nodes of it were seen to lose, in place of the default."""

    def prices(self) -> dict[PoolKey, Offer]:
        """Give the cheapest valid offer of each pool."""
        found: dict[PoolKey, Offer] = {}
        for offer in valid(self.offers):
            known = found.get(offer.pool)
            if known is None or offer.micro_usd < known.micro_usd:
                found[offer.pool] = offer
        return found


def valid(offers: Iterable[Offer]) -> list[Offer]:
    """Leave out what no price can be (NaN, infinite, zero or less); sort the rest by price, then pool."""
    good = [o for o in offers if math.isfinite(o.usd_per_hour) and o.usd_per_hour > 0]
    return sorted(good, key=lambda o: (o.micro_usd, o.pool))


def usd(micro: int) -> float:
    """Give whole micro-dollars as dollars."""
    return micro / MICRO
