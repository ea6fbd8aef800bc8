"""Answer what every offering of a region costs, how old that is, and how risky it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.pricing.domain import interruption_risk, offerings
from services.pricing.domain.offerings import PricePoint
from services.pricing.ports import SourceState, UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.pricing import (
    FlagReason,
    LiveFlag,
    OfferingQuotes,
    PriceOrigin,
    Quote,
    QuoteOfferings,
    QuoteSource,
)
from shared.kernel.capacity import InstanceType
from shared.kernel.clock import Clock
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import CapacityType

SPOT_SOURCE = "spot_price_history"
SOURCES = {CapacityType.SPOT: SPOT_SOURCE, CapacityType.ON_DEMAND: "price_list"}
CATALOGUE_SOURCE = "catalogue"
RISK_FRESH_FOR = timedelta(minutes=30)
"""A prediction from what was seen of a pool that is older than that is not quoted."""


@dataclass(frozen=True, slots=True)
class Tables:
    """A region's rows as they were at a revision."""

    revision: tuple[int, datetime | None]
    """The number of the last price event, and when the catalogue was read: what changes a row changes one of them."""
    points: Sequence[PricePoint]
    types: Sequence[InstanceType]


Shelf = dict[str, Tables]
"""The last tables read, by region: reading 12,000 rows takes longer than all the rest of an answer."""


async def quote_offerings(
    request: QuoteOfferings,
    *,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    spot_fresh_for: timedelta,
    on_demand_fresh_for: timedelta,
    risk_fresh_for: timedelta = RISK_FRESH_FOR,
    shelf: Shelf | None = None,
) -> OfferingQuotes:
    """Quote every pool with a known price and type; one without is left out, never quoted at zero.

    `shelf` keeps tables from one answer to the next; None reads them anew.
    """
    region = request.scope
    wanted = frozenset(request.instance_types)
    now = clock.now()
    async with unit_of_work() as uow:
        tables = await _tables(region, uow=uow, shelf={} if shelf is None else shelf)
        states = await uow.offerings.source_states(region)
        source_by_kind = {
            kind: _source(kind, state, now=now, fresh_for=fresh_for)
            for kind, fresh_for in (
                (CapacityType.SPOT, spot_fresh_for),
                (CapacityType.ON_DEMAND, on_demand_fresh_for),
            )
            if (state := states.get(SOURCES[kind])) is not None
        }
        ratings = await uow.risk.ratings(region)
        flags = await uow.risk.live_flags(region, now=now)
        observed = await uow.observations.risks(region, since=now - risk_fresh_for)
    known = {t.name for t in tables.types if not wanted or t.name in wanted}
    prior = interruption_risk.regional_prior(ratings)
    risks = {name: interruption_risk.estimate(name, ratings=ratings, fallback=prior) for name in known}
    quotes: list[Quote] = []
    for point in tables.points:
        pool = point.pool
        source = source_by_kind.get(pool.capacity_type)
        if source is None or pool.instance_type not in known:
            continue
        price = point.usd_per_hour
        is_spot = pool.capacity_type is CapacityType.SPOT
        risk = (observed.get(pool) or risks[pool.instance_type]) if is_spot else None
        quotes.append(
            Quote(
                pool,
                price * offerings.STALE_MARGIN if source.is_stale else price,
                source,
                risk.interruption_probability if risk else None,
                risk.source if risk else None,
            )
        )
    quoted = {quote.pool.instance_type for quote in quotes}
    return OfferingQuotes.of(
        region=region,
        as_of=now,
        instance_types=[t for t in tables.types if t.name in quoted],
        quotes=quotes,
        flags=[live_flag(flags[pool]) for pool in sorted(flags)],
    )


async def _tables(region: str, *, uow: UnitOfWork, shelf: Shelf) -> Tables:
    # The revision is read first: rows that are newer than it are read once more, older ones never kept.
    revision = (
        await uow.announcements.current(region),
        await uow.offerings.source_as_of(region, CATALOGUE_SOURCE),
    )
    held = shelf.get(region)
    if held is None or held.revision != revision:
        stored = await uow.offerings.offerings(region)
        types = await uow.offerings.instance_types(region)
        held = shelf[region] = Tables(revision, [offering.point for offering in stored], types)
    return held


def _source(kind: CapacityType, state: SourceState, *, now: datetime, fresh_for: timedelta) -> QuoteSource:
    age = offerings.age_of(state.as_of, now=now)
    return QuoteSource(
        name=SOURCES[kind],
        origin=PriceOrigin(state.origin.value),
        as_of=state.as_of,
        age_seconds=int(age.total_seconds()),
        is_stale=age > fresh_for,
        confidence=offerings.confidence(age, fresh_for=fresh_for),
    )


def live_flag(flag: PoolFlag) -> LiveFlag:
    """Write a flag down as the contract has it."""
    return LiveFlag(
        pool=flag.pool,
        reason=FlagReason(flag.reason),
        raised_at=flag.raised_at,
        expires_at=flag.expires_at,
    )
