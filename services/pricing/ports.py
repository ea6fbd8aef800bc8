"""What pricing needs from outside."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.notices import Notice
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.placement import PlacementScore
from services.pricing.domain.pool_observations import Observation, ObservedRisk
from services.pricing.domain.price_list import OnDemandPrices, Origin
from services.pricing.domain.refusals import RefusedRow
from services.pricing.domain.risk_model.contract import Opinion
from services.pricing.domain.risk_model.traces import Trace
from shared.contracts.base import Message
from shared.contracts.v1.price_table import PriceTable
from shared.contracts.v1.pricing import LiveFlag
from shared.kernel.capacity import InstanceType
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import CapacityType, PoolKey


class Catalogue(Protocol):
    """What EC2 offers in a region."""

    async def zone_ids(self, region: str) -> Mapping[str, str]:
        """Return the zone id of each zone name of our own account."""
        ...

    async def instance_types(self, region: str) -> Sequence[InstanceType]:
        """Return every type of the region that Kubernetes can run on."""
        ...

    async def offered(self, region: str) -> frozenset[tuple[str, str]]:
        """Return the (instance type, zone name) pairs that can be launched."""
        ...


class SpotPriceSource(Protocol):
    """The history of spot prices."""

    def price_points(
        self, *, region: str, since: datetime, until: datetime, zone_ids: Mapping[str, str]
    ) -> AsyncIterator[Sequence[PricePoint]]:
        """Give the Linux/UNIX points in force at or after `since`, in pages of any order.

        Raises:
            SourceThrottledError: slow down.
            SourceForbiddenError: the credentials lack ec2:DescribeSpotPriceHistory.
            SourceUnavailableError: EC2 does not answer.
        """
        ...


class OnDemandPriceSource(Protocol):
    """The Price List."""

    async def on_demand_prices(self, region: str) -> OnDemandPrices:
        """Return the prices of a region: Linux, shared tenancy, nothing pre-installed.

        Raises:
            SpotError: it does not answer, or with something else.
        """
        ...


class PlacementScoreSource(Protocol):
    """Spot placement scores."""

    async def scores(
        self, region: str, *, instance_types: Sequence[str], target_vcpus: int
    ) -> Mapping[str, int]:
        """Return 1 to 10 by zone id: how likely a request for so many vCPUs of any of these types succeeds there.

        Raises:
            SourceForbiddenError: the credentials lack ec2:GetSpotPlacementScores.
            SpotError: AWS does not answer, or had enough of us for today.
        """
        ...


class AdvisorSource(Protocol):
    """Spot Advisor."""

    async def ratings(self) -> Mapping[str, Mapping[str, AdvisorBand]]:
        """Return the interruption band by region, then instance type, for Linux."""
        ...


@dataclass(frozen=True, slots=True)
class QueuedNotice:
    """One message of the queue and the handle that deletes it."""

    message_id: str
    handle: str
    body: str


class NoticeQueue(Protocol):
    """The queue into which EventBridge writes."""

    async def receive(self) -> Sequence[QueuedNotice]:
        """Wait up to 20 s for messages; an empty answer is usual."""
        ...

    async def delete(self, handles: Sequence[str]) -> None:
        """Delete messages that are stored or buried; one that cannot be deleted comes again."""
        ...


class NoticeGrave(Protocol):
    """Where what is no notice is kept for people to look at."""

    async def bury(self, notice: QueuedNotice, *, reason: str) -> None:
        """Store a message, as far as it is not too long; when this returns, it is stored.

        Raises:
            UnavailableError: it is not stored.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredOffering:
    """A pool as the offerings table has it."""

    point: PricePoint
    as_of: datetime
    """When its source was last asked with success."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """When a source last answered, and how that reached us."""

    as_of: datetime
    origin: Origin


class OfferingRepository(Protocol):
    """Prices, now and before, with the facts of their types."""

    async def known(self, region: str) -> Mapping[PoolKey, PricePoint]:
        """Return the price in force of every pool of a region."""
        ...

    async def add_points(self, points: Sequence[PricePoint]) -> int:
        """Keep the points that change a price and are not yet known; return how many were new.

        A point that says what the one before it said is no change.
        """
        ...

    async def put_in_force(self, points: Sequence[PricePoint]) -> None:
        """Make these the prices in force, unless a newer one already is."""
        ...

    async def replace_catalogue(
        self,
        region: str,
        *,
        zone_ids: Mapping[str, str],
        instance_types: Sequence[InstanceType],
        offered: frozenset[tuple[str, str]],
    ) -> None:
        """Keep what the region offers."""
        ...

    async def zone_ids(self, region: str) -> Mapping[str, str]:
        """Return the zone id of each zone name; empty before the first catalogue."""
        ...

    async def offered_zone_ids(self, region: str) -> Mapping[str, frozenset[str]]:
        """Return the zone ids in which each instance type can be launched."""
        ...

    async def instance_types(self, region: str) -> Sequence[InstanceType]:
        """Return the facts of every type that the region offers."""
        ...

    async def type_names(self, region: str) -> frozenset[str]:
        """Return the names of every type that the region offers."""
        ...

    async def offerings(self, region: str) -> Sequence[StoredOffering]:
        """Return every priced pool that can be launched, with its source's age."""
        ...

    async def on_demand_prices(self, region: str) -> Mapping[str, Decimal]:
        """Return USD per hour by instance type, whether it is offered or not."""
        ...

    async def replace_on_demand_prices(self, region: str, prices: Mapping[str, Decimal]) -> None:
        """Keep these prices, and no others, of a region."""
        ...

    async def forget_prices(
        self, region: str, capacity_type: CapacityType, instance_types: Sequence[str]
    ) -> None:
        """Take the prices in force of these types away."""
        ...

    async def note_source(
        self, region: str, source: str, *, as_of: datetime, origin: Origin = Origin.API
    ) -> None:
        """Remember that a source answered, unless it did so later already."""
        ...

    async def source_as_of(self, region: str, source: str) -> datetime | None:
        """Return when a source last answered; None: never."""
        ...

    async def source_states(self, region: str) -> Mapping[str, SourceState]:
        """Return every source that ever answered, by name."""
        ...


class RiskRepository(Protocol):
    """Ratings, flags, and which pool an instance is in."""

    async def put_ratings(self, region: str, ratings: Mapping[str, AdvisorBand]) -> None:
        """Replace a region's ratings."""
        ...

    async def ratings(self, region: str) -> Mapping[str, AdvisorBand]:
        """Return a region's ratings by instance type."""
        ...

    async def flag(self, pool: PoolKey) -> PoolFlag | None:
        """Return the pool's flag, expired or not."""
        ...

    async def put_flag(self, flag: PoolFlag) -> None:
        """Raise or prolong a flag."""
        ...

    async def live_flags(self, region: str, *, now: datetime) -> Mapping[PoolKey, PoolFlag]:
        """Return the flags that have not expired."""
        ...

    async def put_instance_pool(self, instance_id: str, pool: PoolKey) -> None:
        """Remember which pool an instance is in."""
        ...

    async def instance_pool(self, instance_id: str) -> PoolKey | None:
        """Return which pool an instance is in, as far as known."""
        ...

    async def add_notice(self, notice: Notice) -> bool:
        """Keep a notice; return False when this very event is kept already."""
        ...


class HistoryRepository(Protocol):
    """The months of price history: single events, then days, then nothing."""

    async def ensure_months(self, months: Sequence[date]) -> int:
        """Make room for events of these months; return how much was new."""
        ...

    async def event_months(self) -> Sequence[date]:
        """Return the first day of each month that may hold single events, oldest first."""
        ...

    async def day_months(self) -> Sequence[date]:
        """Return the first day of each month that may hold days, oldest first."""
        ...

    async def fold_month(self, month: date) -> int:
        """Turn a month's events into days; return how many events there were.

        Raises:
            HistoryBusyError: somebody reads or writes that month; nothing was done.
        """
        ...

    async def drop_month(self, month: date) -> bool:
        """Forget a month's days for good; return whether there were any.

        Raises:
            HistoryBusyError: somebody reads or writes that month; nothing was done.
        """
        ...


class SourceRepository(Protocol):
    """What is known about the sources themselves."""

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


class AnnouncementRepository(Protocol):
    """The numbers of the events that tell of a region's prices."""

    async def advance(self, region: str, *, by: int) -> int:
        """Take that many numbers; return the last. Others wait until the transaction ends."""
        ...

    async def current(self, region: str) -> int:
        """Return the last number taken, zero when none was."""
        ...

    async def hold(self, region: str) -> int:
        """Return the last number taken, zero when none was; nobody takes another until the transaction ends."""
        ...


class PriceTables(Protocol):
    """Where tables of prices are kept for those who missed events."""

    async def put(self, table: PriceTable) -> None:
        """Replace a region's table.

        Raises:
            UnavailableError: it is not stored.
        """
        ...


class ObservationRepository(Protocol):
    """What happened to our own instances in spot pools, and the risk that follows from it."""

    async def add(self, observation: Observation) -> None:
        """Keep an observation; the same one twice is one."""
        ...

    async def since(self, region: str, *, since: datetime) -> Sequence[Observation]:
        """Return a region's observations from then on, and the launches of instances that lived then."""
        ...

    async def forget(self, region: str, *, before: datetime) -> None:
        """Drop what is older, except launches of instances that lived then."""
        ...

    async def put_risks(self, region: str, risks: Sequence[ObservedRisk], *, as_of: datetime) -> None:
        """Replace a region's predicted risks."""
        ...

    async def risks(self, region: str, *, since: datetime) -> Mapping[PoolKey, ObservedRisk]:
        """Return the risks that were predicted from then on."""
        ...


class RiskModelStore(Protocol):
    """The interruption model."""

    @property
    def name(self) -> str:
        """Say which model it is."""
        ...

    async def opinions(self, pasts: Sequence[Trace]) -> Sequence[Opinion | None]:
        """Ask about pools, each with its past up to now; None where no instance runs now.

        Raises:
            RiskModelUnavailableError: it cannot be asked, or does not answer, or not sensibly.
        """
        ...


class FlagWriter(Protocol):
    """The board on which everybody sees flags at once."""

    async def put(self, flag: LiveFlag) -> None:
        """Write a flag, unless a younger one is there already.

        Raises:
            UnavailableError: the board is away.
        """
        ...


class Outbox(Protocol):
    """Messages that leave when the transaction commits."""

    async def add(self, message: Message) -> None:
        """Add a message."""
        ...


class UnitOfWork(Protocol):
    """One transaction: state and messages together, or neither."""

    @property
    def offerings(self) -> OfferingRepository:
        """Prices."""
        ...

    @property
    def history(self) -> HistoryRepository:
        """Months of prices."""
        ...

    @property
    def sources(self) -> SourceRepository:
        """What the sources did."""
        ...

    @property
    def risk(self) -> RiskRepository:
        """Risk."""
        ...

    @property
    def observations(self) -> ObservationRepository:
        """What was seen of pools."""
        ...

    @property
    def announcements(self) -> AnnouncementRepository:
        """Numbers of price events."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Messages out."""
        ...


class UnitOfWorkFactory(Protocol):
    """Opens a unit of work; leaving it normally commits, an exception rolls back."""

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Begin."""
        ...
