"""What is known about the sources themselves."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.pricing.domain.placement import PlacementScore
from services.pricing.domain.refusals import RefusedRow


class SourceRepository(Protocol):
    """What is known about the sources themselves."""

    async def hold(self, region: str, source: str) -> None:
        """Let no other transaction store what this source says of the region until ours ends."""
        ...

    async def quarantine(
        self, region: str, source: str, rows: Sequence[RefusedRow], *, seen_at: datetime
    ) -> None:
        """Keep rows that were not believed; one seen again is counted, not kept twice."""
        ...

    async def trim_quarantine(self, *, keep: int) -> int:
        """Forget all but the newest `keep` rows of each region and source; return how many went."""
        ...

    async def forbidden_until(self, region: str, source: str) -> datetime | None:
        """Return until when a source that refused us is left alone; None: it never did."""
        ...

    async def forbid(self, region: str, source: str, *, until: datetime) -> None:
        """Remember that AWS does not let us ask."""
        ...

    async def families_in_use(self, region: str) -> Sequence[str]:
        """Return the families of the instances that any cluster runs, as far as known."""
        ...

    async def put_placement_scores(self, region: str, scores: Sequence[PlacementScore]) -> None:
        """Keep the newest score of each family and zone."""
        ...

    async def placement_scores(
        self, region: str, *, since: datetime
    ) -> Mapping[tuple[str, str], PlacementScore]:
        """Return the scores given since then, by family and zone id."""
        ...
