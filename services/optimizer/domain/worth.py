"""What a change to single nodes is worth in the objective: price, and what it does to risk and wishes of pods.

A pod that moves brings what it costs beside the price from the node that goes to the one it is meant for. All
of that is counted for the node that goes, so that the worth of a move is that of its drains less the price of its
launches, and the worth of all moves adds up to what the objective falls by, pods that wait today aside.
"""

from services.optimizer.domain import objectives
from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.spot_tolerance import SpotJudge


def by_node(before: FleetState, after: FleetState, judge: SpotJudge) -> dict[str, int]:
    """Give what draining a node of today saves, and what launching a new one costs, in micro-dollars an hour.

    Nodes whose price nobody knows are left out.
    """
    found = {n.node.name: n.micro_usd for n in (*after.nodes, *before.nodes) if n.offer is not None}
    target = {p.key: n for n in after.nodes for p in n.movable}
    stays = {n.node.name for n in after.nodes}
    for node in before.nodes:
        if node.offer is None or node.node.name in stays:
            continue
        arrived = ((p, target[p.key]) for p in node.movable if p.key in target)
        found[node.node.name] += objectives.beside_price(node.node, node.offer, node.movable, judge)
        found[node.node.name] -= sum(
            objectives.beside_price(n.node, n.offer, (p,), judge) for p, n in arrived
        )
    return found
