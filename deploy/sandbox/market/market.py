"""The market as the sandbox's AWS sees it: prices on the caller's clock.

At the start the market's clock stands at least `HISTORY_SECONDS` after the first event, and that moment is
shown to callers as now. What happened before is shown with its own distances in time; what comes after runs
`clock_factor` times as fast as the caller's clock, so that prices move during a short demonstration. A
timestamp is therefore never in the caller's future. After the last event its price stays in force.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deploy.sandbox.market.history import Pool, PriceHistory

HISTORY_SECONDS = 48 * 3600.0

ADVISOR_RANGES = (
    {"index": 0, "label": "<5%", "dots": 0, "max": 5},
    {"index": 1, "label": "5-10%", "dots": 1, "max": 11},
    {"index": 2, "label": "10-15%", "dots": 2, "max": 16},
    {"index": 3, "label": "15-20%", "dots": 3, "max": 22},
    {"index": 4, "label": ">20%", "dots": 4, "max": 100},
)
ADVISOR_SHARES = (0.45, 0.67, 0.79, 0.87, 1.0)
"""Cumulative share of types in each band; invented, as no recording says what they were."""


@dataclass(frozen=True, slots=True)
class PricePoint:
    """One row of DescribeSpotPriceHistory."""

    instance_type: str
    zone: str
    usd_per_hour: float
    at: float
    """Seconds since 1970 on the caller's clock."""


@dataclass(frozen=True, slots=True)
class Market:
    """Prices of one region."""

    region: str
    history: PriceHistory
    on_demand: Mapping[str, float]
    description: str
    """For people: where the prices come from."""
    started_at: float
    """The caller's seconds since 1970 at the start."""
    clock_factor: float
    offered: frozenset[Pool]
    """Pools that EC2 offers here: it describes the type, and this market prices it."""
    seed: int = 0

    @property
    def opens_at(self) -> float:
        """The market's own time at the start."""
        return min(self.history.first_time + HISTORY_SECONDS, self.history.last_time)

    def market_time(self, at: float) -> float:
        """Turn the caller's time into the market's."""
        passed = at - self.started_at
        return self.opens_at + (passed * self.clock_factor if passed > 0 else passed)

    def caller_time(self, market_time: float) -> float:
        """Turn the market's time into the caller's."""
        passed = market_time - self.opens_at
        return self.started_at + (passed / self.clock_factor if passed > 0 else passed)

    def spot_price(self, instance_type: str, zone: str, *, at: float) -> float | None:
        """Give the USD per hour in force; None for a pool that is not offered or has no price yet."""
        if (instance_type, zone) not in self.offered:
            return None
        return self.history.price_at((instance_type, zone), self.market_time(at))

    def points(
        self,
        *,
        start: float,
        end: float,
        instance_types: Collection[str] = (),
        zones: Collection[str] = (),
    ) -> list[PricePoint]:
        """Give what DescribeSpotPriceHistory would: newest first, with the price in force at `start`.

        Empty `instance_types` or `zones` mean all.
        """
        pools = sorted(
            (name, zone)
            for name, zone in self.offered
            if (not instance_types or name in instance_types) and (not zones or zone in zones)
        )
        found = self.history.between(pools, self.market_time(start), self.market_time(end))
        points = [PricePoint(name, zone, usd, self.caller_time(time)) for (name, zone), (time, usd) in found]
        points.sort(key=lambda p: (-p.at, p.instance_type, p.zone))
        return points

    def advisor_data(self, vcpus_and_memory_gib: Mapping[str, tuple[int, float]]) -> dict[str, object]:
        """Give Spot Advisor's data file for this market; savings from its prices, bands drawn from `seed`."""
        cheapest: dict[str, float] = {}
        for name, zone in self.offered:
            price = self.spot_price(name, zone, at=self.started_at)
            if price is not None:
                cheapest[name] = min(price, cheapest.get(name, price))
        linux = {
            name: {
                "s": round(100 * (1 - cheapest[name] / self.on_demand[name]))
                if name in self.on_demand
                else 0,
                "r": self._band(name),
            }
            for name in sorted(cheapest)
        }
        return {
            "global_rate": "<10%",
            "instance_types": {
                name: {"emr": False, "cores": cores, "ram_gb": memory}
                for name, (cores, memory) in vcpus_and_memory_gib.items()
                if name in linux
            },
            "ranges": list(ADVISOR_RANGES),
            "spot_advisor": {self.region: {"Linux": linux}},
        }

    def _band(self, instance_type: str) -> int:
        digest = hashlib.sha256(f"{self.seed}/{instance_type}".encode()).digest()
        draw = int.from_bytes(digest[:4]) / 2**32
        return next(band for band, share in enumerate(ADVISOR_SHARES) if draw < share)
