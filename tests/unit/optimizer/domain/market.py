"""A small market and small clusters for the planning tests."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.rules import PlanRules, Strategy, Template, Zone
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, Node, Owner, Pod, PodPhase
from tests.builders import make_instance_type, make_node, make_pod, make_pool

ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"), ("us-east-1c", "use1-az3"))
TEMPLATE = Template(tuple(Zone(name, zone_id) for name, zone_id in ZONES))
ON_DEMAND = PlanRules(strategy=Strategy.ON_DEMAND)
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
YESTERDAY = NOW - timedelta(days=1)
SIZES = (("large", 2, 1.0, 29), ("xlarge", 4, 2.0, 58), ("2xlarge", 8, 4.0, 58), ("4xlarge", 16, 8.0, 234))
FAMILIES = (("c5", 2, 0.085), ("m5", 4, 0.096), ("r5", 8, 0.126))
TYPES = {
    t.name: t
    for family, ratio, _ in FAMILIES
    for size, vcpus, _, pods in SIZES
    for t in [make_instance_type(f"{family}.{size}", vcpus=vcpus, gib=vcpus * ratio, max_pods=pods)]
}
PRICES = {
    f"{family}.{size}": round(price * factor, 4)
    for family, _, price in FAMILIES
    for size, _, factor, _ in SIZES
}


def make_market(*, spot_ratio: float | None = 0.35, chance: float | None = 0.01) -> Market:
    """Twelve types in three zones; spot, when there is any, a little dearer in each further zone."""
    offers = []
    for name, price in PRICES.items():
        for number, (_, zone_id) in enumerate(ZONES):
            offers.append(Offer(make_pool(name, zone_id=zone_id), price))
            if spot_ratio is not None:
                pool = make_pool(name, zone_id=zone_id, capacity_type=CapacityType.SPOT)
                usd = round(price * spot_ratio * (1 + number / 50), 6)
                offers.append(Offer(pool, usd, chance, age_seconds=60))
    return Market(TYPES, tuple(offers), as_of=NOW)


def make_workload(name: str, replicas: int, *, cpu: int = 500, gib: float = 1, **fields: object) -> list[Pod]:
    """Pods of one Deployment."""
    owner = Owner("Deployment", name)
    return [
        make_pod(f"{name}-{i}", cpu=cpu, gib=gib, app=name, owner=owner, **fields)  # type: ignore[arg-type]
        for i in range(replicas)
    ]


def make_cluster(pods: Iterable[Pod], *, per_node: int = 2, **fields: object) -> ClusterObjects:
    """Put so many pods on each of as many m5.2xlarge on-demand nodes, a day old, as that takes."""
    placed: list[Pod] = []
    nodes: list[Node] = []
    for number, pod in enumerate(pods):
        if number % per_node == 0:
            zone, zone_id = ZONES[len(nodes) % len(ZONES)]
            nodes.append(
                make_node(
                    f"node-{len(nodes):03d}",
                    cpu=7910,
                    gib=29,
                    zone=zone,
                    zone_id=zone_id,
                    instance_type="m5.2xlarge",
                    created_at=YESTERDAY,
                )
            )
        placed.append(replace(pod, node_name=nodes[-1].name, phase=PodPhase.RUNNING, is_ready=True))
    return ClusterObjects(nodes=tuple(nodes), pods=tuple(placed), **fields)  # type: ignore[arg-type]


def carried_out(objects: ClusterObjects, draft: PlanDraft) -> ClusterObjects:
    """Give the cluster as it will be when every pod went where the plan meant it to."""
    where = {pod: n.node.name for n in draft.nodes for pod in n.pods}
    nodes: list[Node] = [
        n.node if n.existing else replace(n.node, instance_id=f"i-{n.node.name}") for n in draft.nodes
    ]
    pods = tuple(
        replace(p, node_name=where[p.key], phase=PodPhase.RUNNING) if p.key in where else p
        for p in objects.pods
    )
    return replace(objects, nodes=tuple(nodes), pods=pods)
