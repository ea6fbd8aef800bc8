"""What a fleet costs, risks and saves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer, usd
from shared.kernel.pools import CapacityType, PoolKey

HOURS_PER_DAY = 24


@dataclass(frozen=True, slots=True)
class Split:
    """Savings an hour: fewer or better suited machines, and a cheaper way to buy them."""

    packing_usd: float | None
    capacity_type_usd: float | None


def cost(nodes: Iterable[StandingNode]) -> int | None:
    """Give the price of a fleet in micro-dollars; None when one node's is unknown."""
    total = 0
    for node in nodes:
        if node.offer is None:
            return None
        total += node.offer.micro_usd
    return total


def interruptions_per_day(nodes: Iterable[StandingNode]) -> float | None:
    """Give how many interruptions to expect; None when a spot node's chance is unknown."""
    total = 0.0
    for node in nodes:
        offer = node.offer
        if offer is None or not offer.is_spot:
            continue
        if offer.interruption_probability is None:
            return None
        total += offer.interruption_probability
    return total * HOURS_PER_DAY


def split(
    before: Iterable[StandingNode],
    after: Iterable[StandingNode],
    prices: Mapping[PoolKey, Offer],
    cheapest_holder: Mapping[str, int],
) -> Split:
    """Split what is saved: packing is what on-demand prices alone would save, the rest is how it is bought.

    `cheapest_holder` gives, by name of a new node, the micro-dollars of the cheapest on-demand offer that would
    hold its pods: a node that is chosen since its spot price is low says nothing against the packing.
    """
    before, after = tuple(before), tuple(after)
    costs = cost(before), cost(after)
    on_demand = _on_demand(before, prices, {}), _on_demand(after, prices, cheapest_holder)
    if costs[0] is None or costs[1] is None or on_demand[0] is None or on_demand[1] is None:
        return Split(None, None)
    packing = on_demand[0] - on_demand[1]
    return Split(usd(packing), usd(costs[0] - costs[1] - packing))


def _on_demand(
    nodes: Iterable[StandingNode], prices: Mapping[PoolKey, Offer], cheapest_holder: Mapping[str, int]
) -> int | None:
    cheapest: dict[tuple[str, str], int] = {}
    for pool, offer in prices.items():
        if pool.capacity_type is CapacityType.ON_DEMAND:
            key = (pool.region, pool.instance_type)
            cheapest[key] = min(cheapest.get(key, offer.micro_usd), offer.micro_usd)
    total = 0
    for node in nodes:
        if node.offer is None:
            return None
        price = cheapest_holder.get(
            node.node.name, cheapest.get((node.offer.pool.region, node.offer.pool.instance_type))
        )
        if price is None:
            return None
        total += price
    return total


def oldest_spot_price_seconds(nodes: Iterable[StandingNode]) -> int | None:
    """Give the age of the oldest spot price that the plan rests on; on-demand ones hold for days."""
    offers = (n.offer for n in nodes if n.offer is not None and n.offer.is_spot)
    ages = [o.age_seconds for o in offers if o.age_seconds is not None]
    return max(ages, default=None)
