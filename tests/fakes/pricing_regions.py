"""Regions in use, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.pricing.domain.regions import RegionRules, UsedRegion


@dataclass
class InMemoryRegionRepository:
    """See ports.RegionRepository."""

    kept: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    answered: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    """When each source of each region answered."""

    async def use(self, region: str, *, at: datetime) -> None:
        first, last = self.kept.get(region, (at, at))
        self.kept[region] = min(first, at), max(last, at)

    async def still_used(self, region: str, *, at: datetime) -> bool:
        if region not in self.kept:
            return False
        first, last = self.kept[region]
        self.kept[region] = first, max(last, at)
        return True

    async def used(self) -> Sequence[UsedRegion]:
        return [
            UsedRegion(region, first, last, (region, "catalogue") in self.answered)
            for region, (first, last) in sorted(self.kept.items())
        ]


def region_rules(*always: str, most: int = 24) -> RegionRules:
    """Rules that allow Europe besides the operator's own regions."""
    return RegionRules(
        always=frozenset(always), allowed="eu-[a-z]+-[1-9]", most=most, unused_after=timedelta(days=14)
    )
