"""The whole planner on a large cluster that is half empty: from pods and nodes to rehearsed moves."""

import random
from dataclasses import replace

from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.rules import Template, Zone
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, Node, Owner, Pod, PodPhase
from tests.benchmarks import market as data
from tests.builders import make_instance_type, make_node, make_pod, make_pool

ZONE_IDS = tuple(f"use1-az{number}" for number in range(1, len(data.ZONES) + 1))
TEMPLATE = Template(tuple(Zone(name, zone_id) for name, zone_id in zip(data.ZONES, ZONE_IDS, strict=True)))
REPLICAS = 30
MILLICORES = (50, 100, 100, 150, 250)
GIB_PER_CORE = (1, 2, 4)
CHANCE = 0.01
"""Of an interruption an hour, the same for all pools: what is measured is time, not risk."""


def planning_market(offered: data.Market) -> Market:
    """Put the offers as the planner reads them; a type's size is what its nodes have for pods, rounded up."""
    types, offers = {}, []
    for at, name in enumerate(offered.names):
        cpu, memory, pods, _ = offered.room[at].tolist()
        types[name] = make_instance_type(name, vcpus=-(-cpu // 1000), gib=memory / 1024, max_pods=pods)
        kind = CapacityType.SPOT if offered.is_spot[at] else CapacityType.ON_DEMAND
        pool = make_pool(name, zone_id=ZONE_IDS[offered.zone[at]], capacity_type=kind)
        chance = CHANCE if offered.is_spot[at] else None
        offers.append(Offer(pool, int(offered.micro_usd[at]) / 1e6, chance, age_seconds=0))
    return Market(types, tuple(offers))


def half_empty(nodes: int, pods_per_node: int) -> ClusterObjects:
    """Give m5.2xlarge on-demand nodes in three zones, with replicas of many workloads on each."""
    draw = random.Random(1)
    pods: list[Pod] = []
    for number in range(nodes * pods_per_node // REPLICAS):
        cpu = draw.choice(MILLICORES)
        gib, name = cpu / 1000 * draw.choice(GIB_PER_CORE), f"w{number}"
        owner = Owner("Deployment", name)
        pods += [make_pod(f"{name}-{i}", cpu=cpu, gib=gib, app=name, owner=owner) for i in range(REPLICAS)]
    draw.shuffle(pods)
    fleet: list[Node] = [
        make_node(
            f"node-{at:04d}",
            cpu=7910,
            gib=29,
            zone=data.ZONES[at % 3],
            zone_id=ZONE_IDS[at % 3],
            instance_type="m5.2xlarge",
        )
        for at in range(nodes)
    ]
    placed = tuple(
        replace(p, node_name=fleet[at // pods_per_node].name, phase=PodPhase.RUNNING)
        for at, p in enumerate(pods)
    )
    return ClusterObjects(nodes=tuple(fleet), pods=placed)
