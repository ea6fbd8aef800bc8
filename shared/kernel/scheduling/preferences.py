"""What pods wish for: a cost that ranks the nodes a pod may run on, and never forbids one.

The points are kube-scheduler's (v1.34, default profile): each of four plugins gives every node 0 to 100, compared
with the other nodes in question, and has a weight. What is missing to full marks is the cost. Its plugins that look
at how full nodes are (and at images) are left out: how full nodes shall be is the planner's own business.
"""

import math
from collections.abc import Callable, Iterable, Sequence

from shared.kernel.scheduling import selectors, taints
from shared.kernel.scheduling.facts import HeldTerm, Shape
from shared.kernel.scheduling.topology import DomainCounts, Tally
from shared.kernel.workload import Node, NodeSelectorTerm, Pod, TaintEffect

TAINT_WEIGHT = 3
NODE_AFFINITY_WEIGHT = 2
SPREAD_WEIGHT = 2
POD_AFFINITY_WEIGHT = 2
FULL_MARKS = 100

CountsOf = Callable[[Tally], DomainCounts]


def node_preference_cost(pod: Pod, node: Node) -> int:
    """Give what a node's labels and taints alone cost, in points of the scale above, without any other node.

    A preferred term that the node does not meet costs its weight (1 to 100), a PreferNoSchedule taint that is not
    tolerated full marks.
    """
    wished = sum(item.weight for item in pod.preferred_nodes if _is_wish(item.term))
    missed = wished - _met(pod, node)
    return NODE_AFFINITY_WEIGHT * missed + TAINT_WEIGHT * FULL_MARKS * _unwelcome(pod, node)


def preference_costs(
    shape: Shape, nodes: Sequence[Node], counts_of: CountsOf, held: Iterable[HeldTerm]
) -> list[int]:
    """Give each node's cost in points, 0 for one that meets every wish.

    `held` are wishes of pods that are there, about pods of this shape.
    """
    costs = [0] * len(nodes)
    parts = (
        (TAINT_WEIGHT, _taint_costs(shape.pod, nodes)),
        (NODE_AFFINITY_WEIGHT, _node_affinity_costs(shape.pod, nodes)),
        (SPREAD_WEIGHT, _spread_costs(shape, nodes, counts_of)),
        (POD_AFFINITY_WEIGHT, _pod_affinity_costs(shape, nodes, counts_of, tuple(held))),
    )
    for weight, found in parts:
        costs = [cost + weight * more for cost, more in zip(costs, found, strict=True)]
    return costs


def _taint_costs(pod: Pod, nodes: Sequence[Node]) -> list[int]:
    counts = [_unwelcome(pod, node) for node in nodes]
    most = max(counts, default=0)
    return [FULL_MARKS * count // most if most else 0 for count in counts]


def _node_affinity_costs(pod: Pod, nodes: Sequence[Node]) -> list[int]:
    if not pod.preferred_nodes:
        return [0] * len(nodes)
    met = [_met(pod, node) for node in nodes]
    most = max(met, default=0)
    return [FULL_MARKS - (FULL_MARKS * score // most if most else 0) for score in met]


def _spread_costs(shape: Shape, nodes: Sequence[Node], counts_of: CountsOf) -> list[int]:
    if not shape.soft_spread:
        return [0] * len(nodes)
    keys = {tally.topology_key for _, tally in shape.soft_spread}
    is_rated = [keys <= node.labels.keys() for node in nodes]
    rated = [node for node, is_in in zip(nodes, is_rated, strict=True) if is_in]
    scores = [0.0] * len(nodes)
    for rule, tally in shape.soft_spread:
        counts = counts_of(tally)
        domains = len({node.labels[tally.topology_key] for node in rated})
        weight = math.log(domains + 2)
        for at, node in enumerate(nodes):
            scores[at] += counts.on(node) * weight + (rule.constraint.max_skew - 1)
    whole = [int(score + 0.5) for score in scores]
    of_rated = [score for score, is_in in zip(whole, is_rated, strict=True) if is_in]
    if not of_rated or not max(of_rated):
        return [0 if is_in else FULL_MARKS for is_in in is_rated]
    most, least = max(of_rated), min(of_rated)
    return [
        FULL_MARKS - FULL_MARKS * (most + least - score) // most if is_in else FULL_MARKS
        for score, is_in in zip(whole, is_rated, strict=True)
    ]


def _pod_affinity_costs(
    shape: Shape, nodes: Sequence[Node], counts_of: CountsOf, held: Sequence[HeldTerm]
) -> list[int]:
    weighed = [(counts_of(tally), weight) for tally, weight in shape.wishes]
    weighed += [(counts_of(term.tally), term.weight) for term in held]
    scores = [sum(weight * counts.on(node) for counts, weight in weighed) for node in nodes]
    most, least = max(scores, default=0), min(scores, default=0)
    if most == least:
        return [0] * len(nodes)
    return [FULL_MARKS - FULL_MARKS * (score - least) // (most - least) for score in scores]


def _is_wish(term: NodeSelectorTerm) -> bool:
    return bool(term.labels or term.fields)  # an empty preferred term wishes for nothing


def _met(pod: Pod, node: Node) -> int:
    return sum(item.weight for item in pod.preferred_nodes if selectors.term_selects(item.term, node))


def _unwelcome(pod: Pod, node: Node) -> int:
    return sum(
        taint.effect is TaintEffect.PREFER_NO_SCHEDULE
        and not any(taints.tolerates(toleration, taint) for toleration in pod.tolerations)
        for taint in node.taints
    )
