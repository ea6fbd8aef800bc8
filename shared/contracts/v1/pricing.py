"""Messages owned by pricing. An unknown price is null or absent, never zero."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Annotated, ClassVar, NamedTuple, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, model_validator

from shared.contracts.base import Event, Ratio, Reply, Request, Usd, Value
from shared.contracts.columns import fit
from shared.kernel.capacity import InstanceType
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType, PoolKey


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


class PoolRisk(Value):
    """How likely an instance of a pool is interrupted within an hour."""

    pool: PoolKey
    interruption_probability: Ratio
    source: str
    """spot_advisor, family_prior, observed, model:<version>, heuristic:<why the model is not listened to>."""


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


class PriceOrigin(StrEnum):
    """How a source's prices reached pricing."""

    API = "api"
    BULK_FILE = "bulk_file"
    """AWS's own offer file, where the Price List API did not answer."""
    UPLOAD = "upload"
    """An operator's file."""


class QuoteSource(Value):
    """Where prices come from, and how far to believe them now."""

    name: str
    """spot_price_history, price_list."""
    origin: PriceOrigin = PriceOrigin.API
    as_of: AwareDatetime
    """When it last answered, or last named the pool: those that it names no more have an entry of their own."""
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
        fit(
            self.columns,
            (
                ("instance_type", self.type_names),
                ("zone_id", self.zone_ids),
                ("source", self.sources),
                ("risk_source", self.risk_sources),
            ),
        )
        return self

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


class ListFlags(Request):
    """Ask which pools of a region (the scope) are flagged."""

    type: ClassVar[str] = "pricing.rpc.v1.list_flags"


class RaisedFlag(Value):
    """A live flag and what it does now."""

    flag: LiveFlag
    level: Ratio
    is_avoided: bool
    """Nothing new is launched there."""


class PlacementScore(Value):
    """What EC2 thinks of a request's chances; for people, since nothing shows yet that it tells an interruption."""

    family: str
    """The instance family whose types were asked about together."""
    zone_id: str
    score: Annotated[int, Field(ge=1, le=10)]
    """1: unlikely to succeed, 10: likely."""
    target_vcpus: int
    """The size of request that was asked about."""
    as_of: AwareDatetime
    age_seconds: NonNegativeInt


class Flags(Reply):
    """Live flags of a region, by pool."""

    flags: tuple[RaisedFlag, ...]
    placement_scores: tuple[PlacementScore, ...] = ()
    """Of the last day, by family and zone; empty where EC2 was not asked, or does not let us."""


class SpotPriceAt(Value):
    """A spot price from an instant on."""

    at: AwareDatetime
    usd_per_hour: Usd


class PoolHistory(Value):
    """What was seen of a pool, up to now."""

    tick_seconds: Annotated[float, Field(ge=1, le=86_400)]
    up: Annotated[tuple[Annotated[int, Field(ge=0, le=1_000_000)] | None, ...], Field(max_length=20_000)]
    """Instances up at each tick, the last one now; null: nobody looked."""


class PredictInterruption(Request):
    """Ask how likely an instance of a pool, running now, is interrupted. Scope: region."""

    type: ClassVar[str] = "pricing.rpc.v1.predict_interruption"

    instance_type: str
    availability_zone: str
    """Its name or its id."""
    spot_price_history: Annotated[tuple[SpotPriceAt, ...], Field(max_length=20_000)] = ()
    """Oldest first. Taken, and not used: prices did not improve predictions (docs/risk-model.md)."""
    hour_of_day: Annotated[int, Field(ge=0, le=23)]
    day_of_week: Annotated[int, Field(ge=0, le=6)]
    """0 is Monday."""
    pool_history: PoolHistory | None = None
    """Null: what pricing itself has seen of the pool."""


class RecommendedAction(StrEnum):
    """For people; plans use the hazard."""

    SAFE = "SAFE"
    CAUTION = "CAUTION"
    AVOID = "AVOID"


class InterruptionPrediction(Reply):
    """How likely, and what made us think so."""

    prediction_id: UUID
    interruption_probability: Ratio
    """Within the horizon."""
    horizon_seconds: int
    confidence_score: Ratio
    """How sure it is which kind of pool this is; 0.5: nothing is known."""
    recommended_action: RecommendedAction
    probability_by_horizon: dict[str, Ratio]
    """By 15m, 1h, 6h, 24h; without what flags add."""
    hazard_per_hour: Annotated[float, Field(ge=0)]
    source: str
    """Layers, the broadest first: spot_advisor or family_prior, observed, model:<version> or heuristic:<why>."""
    placement_score: PlacementScore | None = None
    """Of the pool's family in its zone, for people: it moves no probability and no confidence (docs/risk-model.md)."""


class UploadedPrice(Value):
    """What an operator's file says that an instance type costs on demand."""

    instance_type: str
    usd_per_hour: Usd


class RefusedPrice(Value):
    """A row of the file that was not believed."""

    reason: str
    row: str


class UploadOnDemandPrices(Request):
    """Use these on-demand prices of a region (the scope): for networks in which AWS cannot be asked."""

    type: ClassVar[str] = "pricing.rpc.v1.upload_on_demand_prices"

    prices: tuple[UploadedPrice, ...]
    published_at: AwareDatetime
    """When AWS made the file: that old the prices are."""
    refused: tuple[RefusedPrice, ...] = ()
    """What the reader of the file refused, so that it is kept and counted in one place."""


class OnDemandPricesUploaded(Reply):
    """What became of it."""

    region: str
    as_of: AwareDatetime
    types: int
    """Types that have a price now."""
    changed: int
    """Offerings whose price changed."""
    refused: int
    """Rows not believed, by reader and service."""
