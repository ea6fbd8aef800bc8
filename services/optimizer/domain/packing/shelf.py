"""Every offer that may be launched, as the node it would become."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain import selection
from services.optimizer.domain.allocatable import candidate_node
from services.optimizer.domain.offers import MICRO, Market, Offer
from services.optimizer.domain.packing.classes import Columns, Ints
from services.optimizer.domain.packing.fill import Supply
from services.optimizer.domain.rules import PlanRules, Template
from shared.kernel.scheduling import daemon_pods_for
from shared.kernel.workload import Node, Pod, Workload

CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Shelf:
    """Offers in order of price, each with its node and the daemons that will run on it."""

    offers: tuple[Offer, ...]
    nodes: tuple[Node, ...]
    daemons: tuple[tuple[Pod, ...], ...]

    def node(self, at: int, name: str) -> Node:
        """Give the node of an offer under a name of its own."""
        node = self.nodes[at]
        return replace(node, name=name, labels={**node.labels, "kubernetes.io/hostname": name})

    def daemons_on(self, at: int, node: Node) -> list[Pod]:
        """Give the daemons' pods as they will stand on the node."""
        return [
            replace(pod, name=f"{pod.name.removesuffix(CANDIDATE)}{node.name}", node_name=node.name)
            for pod in self.daemons[at]
        ]

    def supply(self, columns: Columns, rows: Sequence[int], rules: PlanRules) -> Supply:
        """Give the numbers of some of the offers."""
        chance = [self.offers[i].interruption_probability or 0.0 for i in rows]
        return Supply(
            room=room_of(columns, ((self.nodes[i], self.daemons[i]) for i in rows)),
            micro_usd=np.array([self.offers[i].micro_usd for i in rows], dtype=np.int64),
            risk_micro_usd=np.array(chance, dtype=np.float64) * rules.usd_per_restart * MICRO,
            is_spot=np.array([self.offers[i].is_spot for i in rows], dtype=np.bool_),
        )


def room_of(columns: Columns, nodes: Iterable[tuple[Node, Iterable[Pod]]]) -> Ints:
    """Give what is free on each node beside the pods on it."""
    found = [columns.free(node, pods) for node, pods in nodes]
    return np.array(found, dtype=np.int64).reshape(len(found), 4 + len(columns.extended))


def build_shelf(
    market: Market, rules: PlanRules, template: Template, daemon_sets: Iterable[Workload]
) -> Shelf:
    """Describe the node of every offer that the rules allow; a node that its daemons fill is left out."""
    sets = tuple(daemon_sets)
    offers, nodes, daemons = [], [], []
    for offer in selection.allowed(market, rules, template):
        instance_type = market.instance_types[offer.pool.instance_type]
        architecture = next(a for a in instance_type.architectures if a in rules.architectures)
        node = candidate_node(
            instance_type,
            offer.pool,
            name=CANDIDATE,
            architecture=architecture,
            template=template,
            memory_overhead_ratio=market.memory_corrections.get(instance_type.name),
        )
        if node.allocatable.memory_bytes <= 0 or node.allocatable.cpu_millicores <= 0:
            continue
        offers.append(offer)
        nodes.append(node)
        daemons.append(tuple(daemon_pods_for(node, sets)))
    return Shelf(tuple(offers), tuple(nodes), tuple(daemons))
