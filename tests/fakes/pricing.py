"""Pricing's ports in memory; tests/contract/ports holds the repositories to the promises of the real ones."""

import copy
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.notices import Notice
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.pool_observations import Observation, ObservationKind, ObservedRisk
from services.pricing.domain.price_list import Origin
from services.pricing.domain.risk_model.contract import Opinion
from services.pricing.domain.risk_model.drift import Drift
from services.pricing.domain.risk_model.traces import Trace
from services.pricing.errors import RiskModelUnavailableError
from services.pricing.ports import PricedPools, SourceState
from shared.contracts.base import Message
from shared.kernel.capacity import InstanceType
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import CapacityType, PoolKey
from tests.fakes.pricing_instances import InMemoryInstanceRepository
from tests.fakes.pricing_regions import InMemoryRegionRepository
from tests.fakes.pricing_sources import InMemoryHistoryRepository, InMemorySourceRepository

REPOSITORIES = (
    "offerings",
    "history",
    "sources",
    "risk",
    "announcements",
    "observations",
    "regions",
    "instances",
)
"""What a transaction that fails leaves as it was, by its name in the unit of work."""
SOURCES = {CapacityType.SPOT: "spot_price_history", CapacityType.ON_DEMAND: "price_list"}


@dataclass
class InMemoryOfferingRepository:
    """See ports.OfferingRepository."""

    in_force: dict[PoolKey, PricePoint] = field(default_factory=dict)
    named_at: dict[PoolKey, datetime] = field(default_factory=dict)
    """When each pool was named last, of those that their source names no more."""
    points: dict[tuple[PoolKey, datetime], PricePoint] = field(default_factory=dict)
    zones: dict[str, dict[str, str]] = field(default_factory=dict)
    types: dict[str, dict[str, InstanceType]] = field(default_factory=dict)
    offered: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    sources: dict[tuple[str, str], datetime] = field(default_factory=dict)
    origins: dict[tuple[str, str], Origin] = field(default_factory=dict)
    on_demand: dict[str, dict[str, Decimal]] = field(default_factory=dict)

    async def known(self, region: str) -> Mapping[PoolKey, PricePoint]:
        return {pool: point for pool, point in self.in_force.items() if pool.region == region}

    async def add_points(self, points: Sequence[PricePoint]) -> int:
        before = len(self.points)
        dearest: dict[tuple[PoolKey, datetime], PricePoint] = {}
        for point in sorted(points, key=lambda p: p.usd_per_hour):
            dearest[point.pool, point.effective_at] = point
        known = dict(self.points)
        for (pool, at), point in sorted(dearest.items()):
            seen = known | dearest
            earlier = max((when for p, when in seen if p == pool and when < at), default=None)
            if earlier is None or seen[pool, earlier].usd_per_hour != point.usd_per_hour:
                self.points.setdefault((pool, at), point)
        return len(self.points) - before

    async def put_in_force(self, points: Sequence[PricePoint]) -> None:
        for point in points:
            held = self.in_force.get(point.pool)
            if held is None or point.effective_at > held.effective_at:
                self.in_force[point.pool] = point

    async def replace_catalogue(
        self,
        region: str,
        *,
        zone_ids: Mapping[str, str],
        instance_types: Sequence[InstanceType],
        offered: frozenset[tuple[str, str]],
    ) -> None:
        self.zones[region] = dict(zone_ids)
        self.types[region] = {t.name: t for t in instance_types}
        self.offered[region] = {(name, zone_ids[zone]) for name, zone in offered if zone in zone_ids}

    async def zone_ids(self, region: str) -> Mapping[str, str]:
        return self.zones.get(region, {})

    async def offered_zone_ids(self, region: str) -> Mapping[str, frozenset[str]]:
        pairs = self.offered.get(region, set())
        return {name: frozenset(z for n, z in pairs if n == name) for name, _ in pairs}

    async def instance_types(self, region: str) -> Sequence[InstanceType]:
        types = self.types.get(region, {})
        return [types[name] for name in sorted(types)]

    async def type_names(self, region: str) -> frozenset[str]:
        return frozenset(self.types.get(region, {}))

    async def priced_pools(self, region: str) -> PricedPools:
        pairs = self.offered.get(region, set())
        pools = [
            pool
            for pool in sorted(
                self.in_force, key=lambda p: (p.instance_type, p.zone_id, p.capacity_type.value)
            )
            if pool.region == region
            and (pool.instance_type, pool.zone_id) in pairs
            and (region, SOURCES[pool.capacity_type]) in self.sources
        ]
        return PricedPools(
            [pool.instance_type for pool in pools],
            [pool.zone_id for pool in pools],
            [pool.capacity_type for pool in pools],
            [self.in_force[pool].usd_per_hour for pool in pools],
        )

    async def unconfirmed(self, region: str) -> Mapping[PoolKey, datetime]:
        return {pool: at for pool, at in self.named_at.items() if pool.region == region}

    async def mark_unconfirmed(self, pools: Collection[PoolKey], *, named_at: datetime) -> None:
        self.named_at |= {pool: named_at for pool in pools if pool in self.in_force}

    async def confirm(self, pools: Collection[PoolKey]) -> None:
        for pool in pools:
            self.named_at.pop(pool, None)

    async def forget_pools(self, pools: Collection[PoolKey]) -> None:
        for pool in pools:
            self.in_force.pop(pool, None)
            self.named_at.pop(pool, None)

    async def on_demand_prices(self, region: str) -> Mapping[str, Decimal]:
        return self.on_demand.get(region, {})

    async def replace_on_demand_prices(self, region: str, prices: Mapping[str, Decimal]) -> None:
        self.on_demand[region] = dict(prices)

    async def forget_prices(
        self, region: str, capacity_type: CapacityType, instance_types: Sequence[str]
    ) -> None:
        for pool in list(self.in_force):
            if (pool.region, pool.capacity_type) == (region, capacity_type) and (
                pool.instance_type in instance_types
            ):
                del self.in_force[pool]

    async def note_source(
        self, region: str, source: str, *, as_of: datetime, origin: Origin = Origin.API
    ) -> None:
        held = self.sources.get((region, source))
        if held is None or as_of >= held:
            self.sources[region, source] = as_of
            self.origins[region, source] = origin

    async def source_as_of(self, region: str, source: str) -> datetime | None:
        return self.sources.get((region, source))

    async def source_states(self, region: str) -> Mapping[str, SourceState]:
        return {
            name: SourceState(as_of, self.origins.get((region, name), Origin.API))
            for (where, name), as_of in self.sources.items()
            if where == region
        }


@dataclass
class InMemoryRiskRepository:
    """See ports.RiskRepository."""

    bands: dict[str, dict[str, AdvisorBand]] = field(default_factory=dict)
    raised: dict[PoolKey, PoolFlag] = field(default_factory=dict)
    pools: dict[str, PoolKey] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    """Event ids of notices that cannot be kept, for a reason of their own."""

    async def put_ratings(self, region: str, ratings: Mapping[str, AdvisorBand]) -> None:
        self.bands[region] = dict(ratings)

    async def ratings(self, region: str) -> Mapping[str, AdvisorBand]:
        return self.bands.get(region, {})

    async def flags(self, pools: Iterable[PoolKey]) -> Mapping[PoolKey, PoolFlag]:
        return {pool: self.raised[pool] for pool in pools if pool in self.raised}

    async def put_flags(self, flags: Sequence[PoolFlag]) -> None:
        for flag in flags:
            held = self.raised.get(flag.pool)
            if held is None or flag.expires_at > held.expires_at:
                self.raised[flag.pool] = flag

    async def live_flags(self, region: str, *, now: datetime) -> Mapping[PoolKey, PoolFlag]:
        return {p: f for p, f in self.raised.items() if p.region == region and f.expires_at > now}

    async def put_instance_pool(self, instance_id: str, pool: PoolKey) -> None:
        self.pools.setdefault(instance_id, pool)

    async def instance_pools(self, instance_ids: Iterable[str]) -> Mapping[str, PoolKey]:
        return {name: self.pools[name] for name in instance_ids if name in self.pools}

    async def add_notices(self, notices: Sequence[Notice]) -> frozenset[str]:
        if any(notice.event_id in self.refused for notice in notices):
            raise ZeroDivisionError("a notice that cannot be kept")
        new = frozenset(notice.event_id for notice in notices) - self.notices.keys()
        for notice in notices:
            self.notices.setdefault(notice.event_id, notice)
        return new


@dataclass
class InMemoryObservationRepository:
    """See ports.ObservationRepository."""

    kept: dict[tuple[ObservationKind, str], Observation] = field(default_factory=dict)
    predicted: dict[str, tuple[datetime, dict[PoolKey, ObservedRisk]]] = field(default_factory=dict)

    async def add(self, observations: Sequence[Observation]) -> None:
        for seen in observations:
            self.kept.setdefault((seen.kind, seen.subject), seen)

    async def since(self, region: str, *, since: datetime) -> Sequence[Observation]:
        return [
            o
            for o in self.kept.values()
            if o.pool.region == region and (o.at >= since or self._lived(o, at=since))
        ]

    async def forget(self, region: str, *, before: datetime) -> None:
        kept = await self.since(region, since=before)
        self.kept = {k: o for k, o in self.kept.items() if o.pool.region != region or o in kept}

    async def put_risks(self, region: str, risks: Sequence[ObservedRisk], *, as_of: datetime) -> None:
        self.predicted[region] = as_of, {risk.pool: risk for risk in risks}

    async def risks(self, region: str, *, since: datetime) -> Mapping[PoolKey, ObservedRisk]:
        as_of, risks = self.predicted.get(region, (since, {}))
        return risks if as_of >= since else {}

    def _lived(self, launched: Observation, *, at: datetime) -> bool:
        ends = (
            self.kept.get((kind, launched.subject))
            for kind in (ObservationKind.ENDED, ObservationKind.INTERRUPTED)
        )
        return launched.kind is ObservationKind.LAUNCHED and not any(end and end.at < at for end in ends)


@dataclass
class FakeRiskModelStore:
    """See ports.RiskModelStore; says what it is told to."""

    answers: list[Opinion | None] | RiskModelUnavailableError = field(default_factory=list)
    asked: list[Trace] = field(default_factory=list)
    could_wait: list[bool] = field(default_factory=list)
    index_by_feature: dict[str, float] = field(default_factory=dict)
    compared: list[Trace] = field(default_factory=list)
    name: str = "m1"

    async def opinions(self, pasts: Sequence[Trace], *, can_wait: bool = True) -> Sequence[Opinion | None]:
        self.asked += pasts
        self.could_wait.append(can_wait)
        if isinstance(self.answers, RiskModelUnavailableError):
            raise self.answers
        return [*self.answers, *[None] * len(pasts)][: len(pasts)]

    async def drift(self, pasts: Sequence[Trace]) -> Drift:
        self.compared += pasts
        return Drift(len(pasts), self.index_by_feature)


@dataclass
class InMemoryAnnouncementRepository:
    """See ports.AnnouncementRepository."""

    numbers: dict[str, int] = field(default_factory=dict)

    async def advance(self, region: str, *, by: int) -> int:
        self.numbers[region] = self.numbers.get(region, 0) + by
        return self.numbers[region]

    async def current(self, region: str) -> int:
        return self.numbers.get(region, 0)

    async def hold(self, region: str) -> int:
        return self.numbers.get(region, 0)


@dataclass
class InMemoryPricing:
    """A unit of work and its factory: what raises leaves no trace."""

    offerings: InMemoryOfferingRepository = field(default_factory=InMemoryOfferingRepository)
    history: InMemoryHistoryRepository = field(default_factory=InMemoryHistoryRepository)
    sources: InMemorySourceRepository = field(default_factory=InMemorySourceRepository)
    risk: InMemoryRiskRepository = field(default_factory=InMemoryRiskRepository)
    observations: InMemoryObservationRepository = field(default_factory=InMemoryObservationRepository)
    announcements: InMemoryAnnouncementRepository = field(default_factory=InMemoryAnnouncementRepository)
    instances: InMemoryInstanceRepository = field(default_factory=InMemoryInstanceRepository)
    regions: InMemoryRegionRepository = field(default_factory=InMemoryRegionRepository)
    sent: list[Message] = field(default_factory=list)
    next_error: Exception | None = None
    """Raised when the next transaction would commit."""
    _then: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.regions.answered = self.offerings.sources
        self.instances.pools, self.instances.notices = self.risk.pools, self.risk.notices

    @property
    def outbox(self) -> "InMemoryPricing":
        return self

    async def add(self, message: Message) -> None:
        self.sent.append(message)

    async def add_all(self, messages: Sequence[Message]) -> None:
        self.sent += messages

    def on_commit(self, then: Callable[[], None]) -> None:
        self._then.append(then)

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator["InMemoryPricing"]:
        # In one go: some repositories look into each other's tables.
        before = copy.deepcopy({name: getattr(self, name) for name in REPOSITORIES})
        sent = list(self.sent)
        try:
            yield self
            if self.next_error is not None:
                error, self.next_error = self.next_error, None
                raise error
        except BaseException:
            for name, repository in before.items():
                setattr(self, name, repository)
            self.sent = sent
            self._then.clear()
            raise
        for then in self._then:
            then()
        self._then.clear()
