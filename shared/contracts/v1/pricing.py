"""Messages owned by pricing. An unknown price is null or absent, never zero."""

from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import ClassVar, NamedTuple, Self, TypeVar

from pydantic import AwareDatetime, NonNegativeInt, PositiveInt, model_validator

from shared.contracts.base import Event, Ratio, Reply, Request, Usd, Value
from shared.kernel.capacity import InstanceType
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType, PoolKey

W = TypeVar("W", bound=Hashable)


class OfferingPrice(Value):
    """What a pool costs."""

    pool: PoolKey
    usd_per_hour: Usd
    effective_at: AwareDatetime
    """Since when the price is in force."""


class OfferingPricesChanged(Event):
    """Only what changed since the last such event, at most LARGEST_BATCH offerings; scope: region."""

    type: ClassVar[str] = "pricing.evt.v1.offering_prices_changed"

    sequence: PositiveInt
    """One more than that of the region's event before; a PriceTable says up to which it holds them."""
    prices: tuple[OfferingPrice, ...]
    gone: tuple[PoolKey, ...] = ()
    """Pools that no source prices any more."""
    as_of: AwareDatetime
    """When the source was asked."""


LARGEST_BATCH = 1_000
"""Offerings in one event: some 15 KB compressed."""


class PriceColumns(Value):
    """One entry a pool in each column, those with a list of words as positions in it."""

    instance_type: tuple[NonNegativeInt, ...] = ()
    zone_id: tuple[NonNegativeInt, ...] = ()
    capacity_type: tuple[CapacityType, ...] = ()
    usd_per_hour: tuple[Usd, ...] = ()
    effective_at: tuple[AwareDatetime, ...] = ()


class PriceTable(Value):
    """Every price of a region, in one object: where who missed events catches up.

    Read it, then apply the events whose sequence is higher.
    """

    region: str
    sequence: NonNegativeInt
    """Of the last event that it holds."""
    as_of: AwareDatetime
    type_names: tuple[str, ...] = ()
    zone_ids: tuple[str, ...] = ()
    columns: PriceColumns = PriceColumns()

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        _fit(self.columns, (("instance_type", self.type_names), ("zone_id", self.zone_ids)))
        return self

    @classmethod
    def of(
        cls,
        *,
        region: str,
        sequence: int,
        as_of: datetime,
        prices: Iterable[tuple[PoolKey, Decimal, datetime]],
    ) -> Self:
        """Lay prices, with the instant from which each is in force, out in columns, sorted by pool."""
        rows = sorted(prices)
        types, zones = _Words[str](), _Words[str]()
        return cls(
            region=region,
            sequence=sequence,
            as_of=as_of,
            columns=PriceColumns(
                instance_type=tuple([types[pool.instance_type] for pool, _, _ in rows]),
                zone_id=tuple([zones[pool.zone_id] for pool, _, _ in rows]),
                capacity_type=tuple([pool.capacity_type for pool, _, _ in rows]),
                usd_per_hour=tuple([usd for _, usd, _ in rows]),
                effective_at=tuple([at for _, _, at in rows]),
            ),
            type_names=tuple(types),
            zone_ids=tuple(zones),
        )

    @property
    def prices(self) -> list[tuple[PoolKey, Decimal, datetime]]:
        """The rows: pool, USD per hour, in force since."""
        columns, types, zones = self.columns, self.type_names, self.zone_ids
        rows = zip(
            columns.instance_type,
            columns.zone_id,
            columns.capacity_type,
            columns.usd_per_hour,
            columns.effective_at,
            strict=True,
        )
        return [(PoolKey(self.region, types[n], zones[z], kind), usd, at) for n, z, kind, usd, at in rows]


class PoolRisk(Value):
    """How likely an instance of a pool is interrupted within an hour."""

    pool: PoolKey
    interruption_probability: Ratio
    source: str
    """spot_advisor, family_prior, model:<version>."""


class InterruptionRiskChanged(Event):
    """Scope: region."""

    type: ClassVar[str] = "pricing.evt.v1.interruption_risk_changed"

    risks: tuple[PoolRisk, ...]


class FlagReason(StrEnum):
    """What was seen in a pool."""

    INTERRUPTION = "interruption"
    INSUFFICIENT_CAPACITY = "insufficient_capacity"


class PoolFlagged(Event):
    """Keep away from this pool until the flag expires; tenant-anonymous. Scope: region."""

    type: ClassVar[str] = "pricing.evt.v1.pool_flagged"

    pool: PoolKey
    reason: FlagReason
    raised_at: AwareDatetime
    expires_at: AwareDatetime


class InstanceNoticeReceived(Event):
    """EC2 said something about an instance. Scope: region."""

    type: ClassVar[str] = "pricing.evt.v1.instance_notice_received"

    instance_id: str
    account: str
    kind: InterruptionKind
    notice_at: AwareDatetime


class QuoteOfferings(Request):
    """Ask for every offering of a region (the scope)."""

    type: ClassVar[str] = "pricing.rpc.v1.quote_offerings"

    instance_types: tuple[str, ...] = ()
    """Empty: all."""


class QuoteSource(Value):
    """Where prices come from, and how far to believe them now."""

    name: str
    """spot_price_history, price_list."""
    as_of: AwareDatetime
    """When it last answered."""
    age_seconds: int
    is_stale: bool = False
    """It has not answered for too long; its prices carry a margin."""
    confidence: Ratio
    """Halves with each period for which the source counts as fresh."""


class LiveFlag(Value):
    """A flag on a pool; its level falls from 1 at `raised_at` to 0 at `expires_at`."""

    pool: PoolKey
    reason: FlagReason
    raised_at: AwareDatetime
    expires_at: AwareDatetime


class QuoteColumns(Value):
    """One entry a pool in each column, those with a list of words as positions in it."""

    instance_type: tuple[NonNegativeInt, ...] = ()
    zone_id: tuple[NonNegativeInt, ...] = ()
    capacity_type: tuple[CapacityType, ...] = ()
    source: tuple[NonNegativeInt, ...] = ()
    usd_per_hour: tuple[Usd, ...] = ()
    """With the staleness margin, where the source is stale."""
    interruption_probability: tuple[Ratio | None, ...] = ()
    """Within an hour, without what flags add; None on-demand, and where nobody knows."""
    risk_source: tuple[NonNegativeInt | None, ...] = ()


class Quote(NamedTuple):
    """Our answer about one offering: a row of the columns."""

    pool: PoolKey
    usd_per_hour: Decimal
    source: QuoteSource
    interruption_probability: float | None = None
    risk_source: str | None = None

    @property
    def is_stale(self) -> bool:
        """Whether the price carries the margin."""
        return self.source.is_stale

    @property
    def as_of(self) -> datetime:
        """When its source last answered."""
        return self.source.as_of

    @property
    def age_seconds(self) -> int:
        """How long ago that was."""
        return self.source.age_seconds


class OfferingQuotes(Reply):
    """Quotes in columns, and the facts of every type quoted. What has no price is absent."""

    region: str
    as_of: AwareDatetime
    instance_types: tuple[InstanceType, ...]
    sources: tuple[QuoteSource, ...] = ()
    type_names: tuple[str, ...] = ()
    zone_ids: tuple[str, ...] = ()
    risk_sources: tuple[str, ...] = ()
    columns: QuoteColumns = QuoteColumns()
    flags: tuple[LiveFlag, ...] = ()

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        _fit(
            self.columns,
            (
                ("instance_type", self.type_names),
                ("zone_id", self.zone_ids),
                ("source", self.sources),
                ("risk_source", self.risk_sources),
            ),
        )
        return self

    @classmethod
    def of(
        cls,
        *,
        region: str,
        as_of: datetime,
        instance_types: Sequence[InstanceType],
        quotes: Sequence[Quote],
        flags: Sequence[LiveFlag] = (),
    ) -> Self:
        """Lay quotes out in columns; they keep their order."""
        types, zones, sources, risks = _Words[str](), _Words[str](), _Words[QuoteSource](), _Words[str]()
        return cls(
            region=region,
            as_of=as_of,
            instance_types=tuple(instance_types),
            columns=QuoteColumns(
                instance_type=tuple([types[q.pool.instance_type] for q in quotes]),
                zone_id=tuple([zones[q.pool.zone_id] for q in quotes]),
                capacity_type=tuple([q.pool.capacity_type for q in quotes]),
                source=tuple([sources[q.source] for q in quotes]),
                usd_per_hour=tuple([q.usd_per_hour for q in quotes]),
                interruption_probability=tuple([q.interruption_probability for q in quotes]),
                risk_source=tuple([None if q.risk_source is None else risks[q.risk_source] for q in quotes]),
            ),
            type_names=tuple(types),
            zone_ids=tuple(zones),
            sources=tuple(sources),
            risk_sources=tuple(risks),
            flags=tuple(flags),
        )

    @cached_property
    def quotes(self) -> tuple[Quote, ...]:
        """The rows."""
        columns, region = self.columns, self.region
        types, zones, sources, risks = self.type_names, self.zone_ids, self.sources, self.risk_sources
        rows = zip(
            columns.instance_type,
            columns.zone_id,
            columns.capacity_type,
            columns.source,
            columns.usd_per_hour,
            columns.interruption_probability,
            columns.risk_source,
            strict=True,
        )
        return tuple(
            [
                Quote(
                    PoolKey(region, types[name], zones[zone], capacity_type),
                    usd,
                    sources[source],
                    probability,
                    None if risk is None else risks[risk],
                )
                for name, zone, capacity_type, source, usd, probability, risk in rows
            ]
        )


class _Words(dict[W, int]):
    """Numbers words in the order in which they are first asked for."""

    def __missing__(self, word: W) -> int:
        self[word] = number = len(self)
        return number


def _fit(columns: Value, words: Iterable[tuple[str, Sequence[object]]]) -> None:
    """Refuse columns of different lengths, and positions behind the end of a list.

    Raises:
        ValueError: they do not fit.
    """
    if len({len(getattr(columns, name)) for name in type(columns).model_fields}) > 1:
        raise ValueError("the columns differ in length")
    for name, listed in words:
        if max((n for n in getattr(columns, name) if n is not None), default=-1) >= len(listed):
            raise ValueError(f"column {name} points behind the end of its list")


class ListFlags(Request):
    """Ask which pools of a region (the scope) are flagged."""

    type: ClassVar[str] = "pricing.rpc.v1.list_flags"


class RaisedFlag(Value):
    """A live flag and what it does now."""

    flag: LiveFlag
    level: Ratio
    is_avoided: bool
    """Nothing new is launched there."""


class Flags(Reply):
    """Live flags of a region, by pool."""

    flags: tuple[RaisedFlag, ...]
