"""Which offers the rules allow, and why not the others."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from services.optimizer.domain.offers import Market, Offer, valid
from services.optimizer.domain.rules import PlanRules, Strategy, Template
from shared.kernel import type_filters
from shared.kernel.capacity import InstanceType

MOST_FLAG_NOTES = 10


def refusal(
    offer: Offer, instance_type: InstanceType | None, rules: PlanRules, template: Template
) -> str | None:
    """Give the first rule that forbids this offer, None when it is allowed."""
    return next(objections(offer, instance_type, rules, template), None)


def objections(
    offer: Offer, instance_type: InstanceType | None, rules: PlanRules, template: Template
) -> Iterator[str]:
    """Give every rule that forbids this offer, in the order in which they are asked."""
    if instance_type is None:
        yield "EC2 does not describe the type"
        return
    zone = template.zone_name(offer.pool.zone_id)
    if zone is None:
        yield f"no subnet in zone {offer.pool.zone_id}"
    elif rules.zones and rules.zones.isdisjoint((zone, offer.pool.zone_id)):
        yield f"the policy does not list zone {zone}"
    yield from type_filters.objections(instance_type, rules)
    if rules.max_usd_per_hour is not None and offer.usd_per_hour > rules.max_usd_per_hour:
        yield f"the policy allows at most {rules.max_usd_per_hour:g} USD/h for an instance"
    if offer.flagged:
        yield "the pool is flagged"
    yield from _of_capacity_type(offer, instance_type, rules)


def _of_capacity_type(offer: Offer, instance_type: InstanceType, rules: PlanRules) -> Iterator[str]:
    if not offer.is_spot:
        if rules.strategy is Strategy.SPOT:
            yield "the policy allows spot only"
        return
    if rules.strategy is Strategy.ON_DEMAND:
        yield "the policy allows on-demand only"
    if not instance_type.supports_spot:
        yield "the type is not sold as spot"
    if offer.age_seconds is None:
        yield "nobody knows how old its spot price is"
    elif offer.age_seconds > rules.price_max_age_seconds:
        yield "its spot price is too old"


def allowed(market: Market, rules: PlanRules, template: Template) -> list[Offer]:
    """Give the offers that may be launched from, cheapest first, one per pool."""
    return valid(
        o
        for o in market.prices().values()
        if refusal(o, market.instance_types.get(o.pool.instance_type), rules, template) is None
    )


def refusals(offers: Iterable[Offer], market: Market, rules: PlanRules, template: Template) -> dict[str, int]:
    """Count the offers that each rule forbids."""
    counts: dict[str, int] = {}
    for offer in offers:
        why = refusal(offer, market.instance_types.get(offer.pool.instance_type), rules, template)
        if why is not None:
            counts[why] = counts.get(why, 0) + 1
    return counts


def avoided_notes(market: Market, rules: PlanRules, template: Template) -> tuple[str, ...]:
    """Tell of each pool that only its flag keeps from being bought from, up to a number that can be read."""
    notes = [
        f"Pool {offer.pool} is flagged since {offer.flagged_since:%H:%M} UTC: nothing new is launched there."
        for offer in sorted(market.prices().values(), key=lambda o: o.pool)
        if offer.flagged_since is not None
        and refusal(
            replace(offer, flagged_since=None),
            market.instance_types.get(offer.pool.instance_type),
            rules,
            template,
        )
        is None
    ]
    shown = notes[:MOST_FLAG_NOTES]
    return (*shown, f"{len(notes) - len(shown)} more pools are flagged.") if notes != shown else tuple(shown)
