"""Answer what every offering of a region costs, how old that is, and how risky it is."""

from datetime import datetime, timedelta

from services.pricing.domain import interruption_risk, offerings
from services.pricing.ports import UnitOfWorkFactory
from shared.contracts.v1.pricing import (
    FlagReason,
    LiveFlag,
    OfferingQuotes,
    Quote,
    QuoteOfferings,
    QuoteSource,
)
from shared.kernel.clock import Clock
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import CapacityType, PoolKey

SPOT_SOURCE = "spot_price_history"
ON_DEMAND_SOURCE = "price_list"
RISK_FRESH_FOR = timedelta(minutes=30)
"""A prediction from what was seen of a pool that is older than that is not quoted."""


async def quote_offerings(
    request: QuoteOfferings,
    *,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    spot_fresh_for: timedelta,
    on_demand_fresh_for: timedelta,
    risk_fresh_for: timedelta = RISK_FRESH_FOR,
) -> OfferingQuotes:
    """Quote every pool with a known price and type; one without is left out, never quoted at zero."""
    region = request.scope
    wanted = frozenset(request.instance_types)
    now = clock.now()
    async with unit_of_work() as uow:
        stored = await uow.offerings.offerings(region)
        types = await uow.offerings.instance_types(region)
        ratings = await uow.risk.ratings(region)
        flags = await uow.risk.live_flags(region, now=now)
        observed = await uow.observations.risks(region, since=now - risk_fresh_for)
    known = {t.name for t in types if not wanted or t.name in wanted}
    prior = interruption_risk.regional_prior(ratings)
    risks = {name: interruption_risk.estimate(name, ratings=ratings, fallback=prior) for name in known}
    sources: dict[tuple[CapacityType, datetime], QuoteSource] = {}
    quotes: list[Quote] = []
    for offering in stored:
        pool = offering.point.pool
        if pool.instance_type not in known:
            continue
        is_spot = pool.capacity_type is CapacityType.SPOT
        fresh_for = spot_fresh_for if is_spot else on_demand_fresh_for
        source = sources.get((pool.capacity_type, offering.as_of))
        if source is None:
            source = _source(pool, as_of=offering.as_of, now=now, fresh_for=fresh_for)
            sources[pool.capacity_type, offering.as_of] = source
        price = offering.point.usd_per_hour
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
        instance_types=[t for t in types if t.name in quoted],
        quotes=quotes,
        flags=[live_flag(flags[pool]) for pool in sorted(flags)],
    )


def _source(pool: PoolKey, *, as_of: datetime, now: datetime, fresh_for: timedelta) -> QuoteSource:
    age = offerings.age_of(as_of, now=now)
    return QuoteSource(
        name=SPOT_SOURCE if pool.capacity_type is CapacityType.SPOT else ON_DEMAND_SOURCE,
        as_of=as_of,
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
