"""Prices as they are kept and told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.price_list import Origin
from shared.contracts.v1.price_table import PriceTable
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey


@dataclass(frozen=True, slots=True)
class PricedPools:
    """A region's prices in force, one entry a pool in each column, by type, zone and capacity type.

    Columns, since nobody wants 12,000 objects of which each is looked at once.
    """

    instance_type: Sequence[str]
    zone_id: Sequence[str]
    capacity_type: Sequence[CapacityType]
    usd_per_hour: Sequence[Decimal]


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

    async def priced_pools(self, region: str) -> PricedPools:
        """Return every pool that can be launched and has a price from a source that answered."""
        ...

    async def unconfirmed(self, region: str) -> Mapping[PoolKey, datetime]:
        """Return when each pool was named last, of those that their source names no more."""
        ...

    async def mark_unconfirmed(self, pools: Collection[PoolKey], *, named_at: datetime) -> None:
        """Remember of priced pools that their source names them no more, since `named_at`."""
        ...

    async def confirm(self, pools: Collection[PoolKey]) -> None:
        """Let these be as old as their source again."""
        ...

    async def forget_pools(self, pools: Collection[PoolKey]) -> None:
        """Take the prices in force of these pools away."""
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
