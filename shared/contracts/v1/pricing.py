"""Messages owned by pricing. An unknown price is null or absent, never zero."""

from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime

from shared.contracts.base import Event, Ratio, Reply, Request, Usd, Value
from shared.kernel.capacity import InstanceType
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import PoolKey


class OfferingPrice(Value):
    """What a pool costs."""

    pool: PoolKey
    usd_per_hour: Usd
    effective_at: AwareDatetime
    """Since when the price is in force."""


class OfferingPricesChanged(Event):
    """Only what changed since the last such event; scope: region."""

    type: ClassVar[str] = "pricing.evt.v1.offering_prices_changed"

    prices: tuple[OfferingPrice, ...]
    as_of: AwareDatetime
    """When the source was asked."""


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


class Quote(Value):
    """Our answer about one offering."""

    pool: PoolKey
    usd_per_hour: Usd
    """With the staleness margin, where `is_stale`."""
    as_of: AwareDatetime
    age_seconds: int
    is_stale: bool = False
    source: str
    """spot_price_history, price_list."""
    interruption_probability: Ratio | None = None
    risk_source: str | None = None
    flagged_until: AwareDatetime | None = None


class OfferingQuotes(Reply):
    """Quotes, and the facts of every type quoted. What has no price is absent."""

    region: str
    as_of: AwareDatetime
    instance_types: tuple[InstanceType, ...]
    quotes: tuple[Quote, ...]
