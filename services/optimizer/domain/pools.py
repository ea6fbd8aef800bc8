"""Which pool a node came from, and so what it costs."""

from collections.abc import Mapping

from services.optimizer.domain.offers import Offer
from services.optimizer.domain.rules import Template
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.workload import Node

REGION_LABELS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")


def pool_of(node: Node, template: Template, *, region: str | None = None) -> PoolKey | None:
    """Give the node's pool, None when its type or zone is unknown; without a label it counts as on-demand."""
    zone_id = node.zone_id or (template.zone_id(node.zone) if node.zone else None)
    where = next((node.labels[k] for k in REGION_LABELS if k in node.labels), region)
    if where is None and node.zone:
        where = node.zone.rstrip("abcdefghij") or None
    if node.instance_type is None or zone_id is None or where is None:
        return None
    return PoolKey(where, node.instance_type, zone_id, node.capacity_type or CapacityType.ON_DEMAND)


def price_of(node: Node, prices: Mapping[PoolKey, Offer], template: Template) -> Offer | None:
    """Give the offer that prices a node; None when nobody knows.

    On-demand prices are the same in every zone of a region, so any zone's will do.
    """
    pool = pool_of(node, template)
    if pool is None:
        return None
    if pool in prices or pool.capacity_type is not CapacityType.ON_DEMAND:
        return prices.get(pool)
    same = (
        offer
        for key, offer in prices.items()
        if (key.region, key.instance_type, key.capacity_type)
        == (pool.region, pool.instance_type, pool.capacity_type)
    )
    return min(same, key=lambda o: (o.micro_usd, o.pool), default=None)
