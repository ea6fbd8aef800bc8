"""Pricing's history and sources in memory; see tests/contract/ports/test_pricing_sources.py."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from services.pricing.domain.placement import PlacementScore
from services.pricing.domain.refusals import RefusedRow


@dataclass
class InMemoryHistoryRepository:
    """Months without prices in them: what is folded and dropped. See ports.HistoryRepository."""

    events: dict[date, int] = field(default_factory=dict)
    """How many events a month holds."""
    days: set[date] = field(default_factory=set)
    next_error: Exception | None = None

    async def ensure_months(self, months: Sequence[date]) -> int:
        before = len(self.events) + len(self.days)
        for month in months:
            self.events.setdefault(month.replace(day=1), 0)
            self.days.add(month.replace(day=1))
        return len(self.events) + len(self.days) - before

    async def event_months(self) -> Sequence[date]:
        return sorted(self.events)

    async def day_months(self) -> Sequence[date]:
        return sorted(self.days)

    async def fold_month(self, month: date) -> int:
        if self.next_error is not None:
            error, self.next_error = self.next_error, None
            raise error
        return self.events.pop(month, 0)

    async def drop_month(self, month: date) -> bool:
        known = month in self.days
        self.days.discard(month)
        return known


@dataclass
class InMemorySourceRepository:
    """See ports.SourceRepository."""

    refused: Counter[tuple[str, str, RefusedRow]] = field(default_factory=Counter)
    seen: dict[tuple[str, str, RefusedRow], datetime] = field(default_factory=dict)
    refusals: dict[tuple[str, str], datetime] = field(default_factory=dict)
    families: dict[str, list[str]] = field(default_factory=dict)
    scores: dict[tuple[str, str, str], PlacementScore] = field(default_factory=dict)

    async def hold(self, region: str, source: str) -> None:
        """One transaction at a time is open here."""

    async def quarantine(
        self, region: str, source: str, rows: Sequence[RefusedRow], *, seen_at: datetime
    ) -> None:
        for row in rows:
            self.refused[region, source, row] += 1
            self.seen[region, source, row] = seen_at

    async def trim_quarantine(self, *, keep: int) -> int:
        gone = 0
        for of in sorted({key[:2] for key in self.refused}):
            own = [key for key in self.refused if key[:2] == of]
            own.sort(key=lambda key: (-self.seen[key].timestamp(), key[2].reason, key[2].row))
            for key in own[keep:]:
                del self.refused[key], self.seen[key]
                gone += 1
        return gone

    async def forbidden_until(self, region: str, source: str) -> datetime | None:
        return self.refusals.get((region, source))

    async def forbid(self, region: str, source: str, *, until: datetime) -> None:
        self.refusals[region, source] = until

    async def families_in_use(self, region: str) -> Sequence[str]:
        return sorted(self.families.get(region, []))

    async def put_placement_scores(self, region: str, scores: Sequence[PlacementScore]) -> None:
        for score in scores:
            self.scores[region, score.family, score.zone_id] = score

    async def placement_scores(
        self, region: str, *, since: datetime
    ) -> Mapping[tuple[str, str], PlacementScore]:
        return {
            (score.family, score.zone_id): score
            for (where, _, _), score in self.scores.items()
            if where == region and score.as_of >= since
        }
