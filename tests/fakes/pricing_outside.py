"""What pricing asks, and the queue it reads, as tests need them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from services.pricing.domain import price_list
from services.pricing.domain.interruption_risk import AdvisorBand, AdvisorReading
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.price_list import OnDemandPrices, PriceRow
from services.pricing.ports import QueuedNotice
from shared.kernel.capacity import InstanceType


@dataclass
class FakeCatalogue:
    """What EC2 offers; see ports.Catalogue."""

    zones: Mapping[str, str]
    types: Sequence[InstanceType]
    next_error: Exception | None = None

    async def zone_ids(self, _region: str) -> Mapping[str, str]:
        if self.next_error is not None:
            error, self.next_error = self.next_error, None
            raise error
        return self.zones

    async def instance_types(self, _region: str) -> Sequence[InstanceType]:
        return self.types

    async def offered(self, _region: str) -> frozenset[tuple[str, str]]:
        return frozenset((t.name, zone) for t in self.types for zone in self.zones)


@dataclass
class FakePriceList:
    """See ports.OnDemandPriceSource."""

    prices: dict[str, Decimal]
    published_at: datetime | None = None
    next_error: Exception | None = None

    async def on_demand_prices(self, region: str) -> OnDemandPrices:
        if self.next_error is not None:
            error, self.next_error = self.next_error, None
            raise error
        found = price_list.Collection(region)
        for name, usd in self.prices.items():
            found.add(PriceRow(name, region, "Hrs", "USD", str(usd)))
        return OnDemandPrices(
            usd_per_hour=found.usd_per_hour, refused=tuple(found.refused), published_at=self.published_at
        )


@dataclass
class FakeSpotPriceSource:
    """A history in pages of two; notes what was asked for. See ports.SpotPriceSource."""

    history: list[PricePoint] = field(default_factory=list)
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    fails_after_pages: int | None = None
    error: Exception = field(default_factory=RuntimeError)

    async def price_points(
        self, *, region: str, since: datetime, until: datetime, zone_ids: Mapping[str, str]
    ) -> AsyncIterator[Sequence[PricePoint]]:
        self.asked.append((since, until))
        found = [p for p in self.history if p.pool.region == region]
        for number, page in enumerate(_pages(found)):
            if self.fails_after_pages is not None and number >= self.fails_after_pages:
                raise self.error
            yield page


@dataclass
class FakeAdvisor:
    """See ports.AdvisorSource."""

    regions: Mapping[str, Mapping[str, AdvisorBand]]
    published_at: datetime | None = None

    async def ratings(self) -> AdvisorReading:
        return AdvisorReading(self.regions, self.published_at)


class QueueDrainedError(BaseException):
    """Everything was received: ends a loop that would wait for ever."""


@dataclass
class FakeNoticeQueue:
    """Shows each batch in turn, an exception by raising it; see ports.NoticeQueue."""

    batches: list[list[str] | Exception]
    deleted: list[str] = field(default_factory=list)

    async def receive(self) -> Sequence[QueuedNotice]:
        if not self.batches:
            raise QueueDrainedError
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return [QueuedNotice(message_id=body[:64], handle=body, body=body) for body in batch]

    async def delete(self, handles: Sequence[str]) -> None:
        self.deleted.extend(handles)


@dataclass
class FakeNoticeGrave:
    """See ports.NoticeGrave."""

    buried: list[tuple[str, str]] = field(default_factory=list)
    next_error: Exception | None = None

    async def bury(self, notice: QueuedNotice, *, reason: str) -> None:
        if self.next_error is not None:
            error, self.next_error = self.next_error, None
            raise error
        self.buried.append((notice.body[:64], reason))


def _pages(points: Sequence[PricePoint]) -> Iterable[Sequence[PricePoint]]:
    return [points[start : start + 2] for start in range(0, len(points), 2)]
