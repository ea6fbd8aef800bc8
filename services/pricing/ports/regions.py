"""The regions in which clusters run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from services.pricing.domain.regions import UsedRegion


class RegionRepository(Protocol):
    """Where clusters run, not whose they are."""

    async def use(self, region: str, *, at: datetime) -> None:
        """Remember that a cluster was registered there; of several instants the first and the last count."""
        ...

    async def still_used(self, region: str, *, at: datetime) -> bool:
        """Remember that somebody needs its prices still; return whether a cluster was ever registered there.

        A region without one does not become used by that.
        """
        ...

    async def used(self) -> Sequence[UsedRegion]:
        """Return all that were ever used, by name."""
        ...
