"""Which offers the rules allow, and why not the others."""

from collections.abc import Iterable
from dataclasses import replace

from services.optimizer.domain.offers import Market, Offer, valid
from services.optimizer.domain.rules import PlanRules, Strategy, Template
from shared.kernel.capacity import InstanceType

GIB = 1024**3
OLDEST_GENERATION = 5
"""Counts as current whatever EC2 says: the first generation that is Nitro throughout."""

MOST_FLAG_NOTES = 10


def refusal(
    offer: Offer, instance_type: InstanceType | None, rules: PlanRules, template: Template
) -> str | None:
    """Give the first rule that forbids this offer, None when it is allowed."""
    if instance_type is None:
        return "EC2 does not describe the type"
    zone = template.zone_name(offer.pool.zone_id)
    if zone is None:
        return f"no subnet in zone {offer.pool.zone_id}"
    if rules.zones and rules.zones.isdisjoint((zone, offer.pool.zone_id)):
        return f"the policy does not list zone {zone}"
    return type_refusal(instance_type, rules) or _offer_refusal(offer, instance_type, rules)


def type_refusal(instance_type: InstanceType, rules: PlanRules) -> str | None:
    """Give the first rule that forbids the type itself, wherever and however it is bought."""
    if instance_type.name in rules.excluded_instance_types:
        return f"the policy excludes {instance_type.name}"
    if rules.instance_families:
        if instance_type.family not in rules.instance_families:
            return f"the policy does not list family {instance_type.family}"
    elif not _is_current(instance_type):
        return f"{instance_type.family} is of a previous generation"
    if rules.instance_sizes and instance_type.size not in rules.instance_sizes:
        return f"the policy does not list size {instance_type.size}"
    if instance_type.gpus and not rules.allow_gpu:
        return "the policy does not allow types with GPUs"
    if instance_type.gpus and rules.gpu_families and instance_type.family not in rules.gpu_families:
        return f"the policy does not list {instance_type.family} among the families with GPUs"
    if not rules.architectures.intersection(instance_type.architectures):
        return f"the policy does not allow architecture {'/'.join(instance_type.architectures)}"
    if instance_type.is_burstable and not rules.allow_burstable:
        return "the policy does not allow burstable types"
    if instance_type.is_bare_metal and not rules.allow_bare_metal:
        return "the policy does not allow bare metal"
    return _size_refusal(instance_type, rules)


def _size_refusal(instance_type: InstanceType, rules: PlanRules) -> str | None:
    if rules.min_vcpus is not None and instance_type.vcpus < rules.min_vcpus:
        return f"the policy asks for at least {rules.min_vcpus} vCPU"
    if rules.max_vcpus is not None and instance_type.vcpus > rules.max_vcpus:
        return f"the policy allows at most {rules.max_vcpus} vCPU"
    if rules.min_memory_bytes is not None and instance_type.memory_bytes < rules.min_memory_bytes:
        return f"the policy asks for at least {rules.min_memory_bytes / GIB:.4g} GiB of memory"
    if rules.max_memory_bytes is not None and instance_type.memory_bytes > rules.max_memory_bytes:
        return f"the policy allows at most {rules.max_memory_bytes / GIB:.4g} GiB of memory"
    return None


def _is_current(instance_type: InstanceType) -> bool:
    # EC2 calls m5 and its like previous already, while they are sold everywhere and often the cheapest.
    generation = next((int(c) for c in instance_type.family if c.isdigit()), 0)
    return instance_type.is_current_generation or generation >= OLDEST_GENERATION


def _offer_refusal(offer: Offer, instance_type: InstanceType, rules: PlanRules) -> str | None:
    if rules.max_usd_per_hour is not None and offer.usd_per_hour > rules.max_usd_per_hour:
        return f"the policy allows at most {rules.max_usd_per_hour:g} USD/h for an instance"
    if offer.flagged:
        return "the pool is flagged"
    if not offer.is_spot:
        return "the policy allows spot only" if rules.strategy is Strategy.SPOT else None
    if rules.strategy is Strategy.ON_DEMAND:
        return "the policy allows on-demand only"
    if not instance_type.supports_spot:
        return "the type is not sold as spot"
    if offer.age_seconds is None:
        return "nobody knows how old its spot price is"
    if offer.age_seconds > rules.price_max_age_seconds:
        return "its spot price is too old"
    return None


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
