"""Answer what every offering of a region costs, how old that is, and how risky it is."""

from datetime import timedelta

from services.pricing.domain import interruption_risk, offerings
from services.pricing.ports import UnitOfWorkFactory
from shared.contracts.v1.pricing import OfferingQuotes, Quote, QuoteOfferings
from shared.kernel.clock import Clock
from shared.kernel.pools import CapacityType


async def quote_offerings(
    request: QuoteOfferings,
    *,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    spot_fresh_for: timedelta,
    on_demand_fresh_for: timedelta,
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
    known = {t.name for t in types}
    prior = interruption_risk.regional_prior(ratings)
    quotes: list[Quote] = []
    for offering in stored:
        pool = offering.point.pool
        if pool.instance_type not in known or (wanted and pool.instance_type not in wanted):
            continue
        is_spot = pool.capacity_type is CapacityType.SPOT
        price = offerings.quote(
            offering.point.usd_per_hour,
            as_of=offering.as_of,
            now=now,
            fresh_for=spot_fresh_for if is_spot else on_demand_fresh_for,
        )
        risk = (
            interruption_risk.estimate(pool.instance_type, ratings=ratings, fallback=prior)
            if is_spot
            else None
        )
        flag = flags.get(pool)
        quotes.append(
            Quote(
                pool=pool,
                usd_per_hour=price.usd_per_hour,
                as_of=offering.as_of,
                age_seconds=int(price.age.total_seconds()),
                is_stale=price.is_stale,
                source="spot_price_history" if is_spot else "price_list",
                interruption_probability=risk.interruption_probability if risk else None,
                risk_source=risk.source if risk else None,
                flagged_until=flag.expires_at if flag else None,
            )
        )
    quoted = {quote.pool.instance_type for quote in quotes}
    return OfferingQuotes(
        region=region,
        as_of=now,
        instance_types=tuple(t for t in types if t.name in quoted),
        quotes=tuple(quotes),
    )
