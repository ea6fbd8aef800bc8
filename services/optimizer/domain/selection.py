"""Which offers the rules allow, and why not the others."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.optimizer.domain.offers import Market, Offer, valid
from services.optimizer.domain.rules import PlanRules, Strategy, Template
from shared.kernel import type_filters
from shared.kernel.capacity import InstanceType
from shared.kernel.type_filters import Objection

MOST_FLAG_NOTES = 10
MOST_REFUSALS = 3


def refusal(
    offer: Offer, instance_type: InstanceType | None, rules: PlanRules, template: Template
) -> str | None:
    """Give the first rule that forbids this offer, None when it is allowed."""
    return next((found.text for found in objections(offer, instance_type, rules, template)), None)


def objections(
    offer: Offer, instance_type: InstanceType | None, rules: PlanRules, template: Template
) -> Iterator[Objection]:
    """Give every rule that forbids this offer, in the order in which they are asked."""
    if instance_type is None:
        yield Objection("EC2 does not describe the type", "EC2 does not describe their types")
        return
    zone = template.zone_name(offer.pool.zone_id)
    if zone is None:
        yield Objection(f"no subnet in zone {offer.pool.zone_id}", "no subnet is in their zones")
    elif rules.zones and rules.zones.isdisjoint((zone, offer.pool.zone_id)):
        yield Objection(f"the policy does not list zone {zone}", "the policy does not list their zones")
    yield from type_filters.objections(instance_type, rules)
    if rules.max_usd_per_hour is not None and offer.usd_per_hour > rules.max_usd_per_hour:
        yield Objection.alike(f"the policy allows at most {rules.max_usd_per_hour:g} USD/h for an instance")
    if offer.flagged:
        yield Objection("the pool is flagged", "their pools are flagged")
    yield from _of_capacity_type(offer, instance_type, rules)


def _of_capacity_type(offer: Offer, instance_type: InstanceType, rules: PlanRules) -> Iterator[Objection]:
    if not offer.is_spot:
        if rules.strategy is Strategy.SPOT:
            yield Objection.alike("the policy allows spot only")
        return
    if rules.strategy is Strategy.ON_DEMAND:
        yield Objection.alike("the policy allows on-demand only")
    if not instance_type.supports_spot:
        yield Objection("the type is not sold as spot", "their types are not sold as spot")
    if offer.age_seconds is None:
        yield Objection(
            "nobody knows how old its spot price is", "nobody knows how old their spot prices are"
        )
    elif offer.age_seconds > rules.price_max_age_seconds:
        yield Objection("its spot price is too old", "their spot prices are too old")


def allowed(market: Market, rules: PlanRules, template: Template) -> list[Offer]:
    """Give the offers that may be launched from, cheapest first, one per pool."""
    return valid(
        o
        for o in market.prices().values()
        if refusal(o, market.instance_types.get(o.pool.instance_type), rules, template) is None
    )


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What the rules leave of the offers that are known."""

    known: int
    allowed: int
    refused: tuple[tuple[str, int], ...]
    """Each rule with the number of offers that it, and none before it, forbids; the largest first."""

    def sentences(self, most: int) -> tuple[str, ...]:
        """Tell how many offers each rule forbids; those beyond the first `most` rules together."""
        found = [f"{number} are out since {why}" for why, number in self.refused[:most]]
        rest = self.refused[most:]
        if rest:
            reasons = f"{len(rest)} other reason{'' if len(rest) == 1 else 's'}"
            found.append(f"{sum(number for _, number in rest)} more are out for {reasons}")
        return tuple(found)


def narrowing(market: Market, rules: PlanRules, template: Template) -> Narrowing:
    """Count the offers that are known by the first rule that forbids them."""
    counts: Counter[str] = Counter()
    offers = market.prices().values()
    for offer in offers:
        instance_type = market.instance_types.get(offer.pool.instance_type)
        first = next(objections(offer, instance_type, rules, template), None)
        if first is not None:
            counts[first.of_many] += 1
    refused = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Narrowing(len(offers), len(offers) - counts.total(), tuple(refused))


def nothing_left_notes(market: Market, rules: PlanRules, template: Template) -> tuple[str, ...]:
    """Say so where the rules leave nothing that could be launched, and which of them forbid most."""
    found = narrowing(market, rules, template)
    if found.allowed:
        return ()
    if not found.known:
        return ("Nothing can be launched: no prices are known.",)
    why = "; ".join(found.sentences(MOST_REFUSALS))
    return (f"Nothing can be launched: of {found.known} offers that are known, {why}.",)


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
