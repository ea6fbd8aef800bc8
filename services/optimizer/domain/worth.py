"""What a change to single nodes is worth in the objective: their price, and what it does to the risk of their pods.

A pod that moves brings its expected cost of interruption from the node that goes to the one it is meant for. All
of that is counted for the node that goes, so that the worth of a move is that of its drains less the price of its
launches, and the worth of all moves adds up to what the objective falls by, pods that wait today aside.
"""

from services.optimizer.domain import interruption_cost
from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.spot_tolerance import SpotJudge


def by_node(before: FleetState, after: FleetState, judge: SpotJudge) -> dict[str, int]:
    """Give what draining a node of today saves, and what launching a new one costs, in micro-dollars an hour.

    Nodes whose price nobody knows are left out.
    """
    found = {n.node.name: n.micro_usd for n in (*after.nodes, *before.nodes) if n.offer is not None}
    if judge.rules.risk_weight == 0:
        return found
    target = {p.key: n.offer for n in after.nodes for p in n.movable}
    stays = {n.node.name for n in after.nodes}
    for node in before.nodes:
        if node.offer is None or node.node.name in stays:
            continue
        found[node.node.name] += sum(
            interruption_cost.node_micro_usd(node.offer, (p,), judge)
            - interruption_cost.node_micro_usd(target.get(p.key), (p,), judge)
            for p in node.movable
        )
    return found
