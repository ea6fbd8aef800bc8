"""What a plan leads to, as the next plan would find it: that one should find nothing left to do.

A search starts from where pods are and from what the way to a fleet needs, so that from the fleet it found another
search may find a cheaper one. In a cluster that is small enough it is asked for at once: its answer is a fleet that
the first plan can lead to as well.
"""

from collections.abc import Mapping
from dataclasses import replace

from services.optimizer.domain import headroom
from services.optimizer.domain.evictions import Slack
from services.optimizer.domain.fleet_state import FleetState, StandingNode, blocked_pods, unmovable
from services.optimizer.domain.rules import Consolidation, PlanRules
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.workload import ClusterObjects

FORESEEN_PODS = 300
FORESEEN_NODES = 60
"""In larger clusters another search takes too long."""


def is_worth_it(start: FleetState, rules: PlanRules) -> bool:
    """Whether the cluster is small enough to search once more, and the answer is one for today too.

    What commitments have left covers launches once, and where nothing may come in the place of what goes, the next
    plan may do with launches for pods that wait what this one must not.
    """
    if rules.consolidation is not Consolidation.REPLACE or rules.commitments:
        return False
    pods = sum(len(n.movable) for n in start.nodes) + len(start.pending)
    return pods <= FORESEEN_PODS and len(start.nodes) <= FORESEEN_NODES


def carried_out(start: FleetState, after: FleetState, judge: SpotJudge) -> FleetState:
    """Give the cluster once all moves are made, every pod is where the plan has it, and launches have paid for
    themselves: as long as they have not, a plan holds back what the one after it would do.
    """
    spare = tuple(p for p in start.pending if headroom.is_placeholder(p))
    bare = [replace(n, pods=headroom.without(n.pods)) for n in after.nodes]
    objects = replace(
        start.objects, nodes=tuple(n.node for n in bare), pods=tuple(p for n in bare for p in n.pods)
    )
    old = _by_name(start)
    blocked = blocked_pods(objects.budgets, objects.pods)
    nodes = (_standing(n, old.get(n.node.name), objects, judge, blocked) for n in bare)
    return replace(
        start, nodes=tuple(nodes), pending=(*headroom.without(after.pending), *spare), objects=objects
    )


def led_to(start: FleetState, after: FleetState) -> FleetState:
    """Give a fleet that was found from `carried_out` as one that is found from the start."""
    old = _by_name(start)
    nodes = (
        replace(old[n.node.name], pods=n.pods)
        if n.node.name in old
        else StandingNode(n.node, n.offer, n.pods, None)
        for n in after.nodes
    )
    return replace(after, nodes=tuple(nodes), objects=start.objects, notes=start.notes)


def _standing(
    node: StandingNode,
    before: StandingNode | None,
    objects: ClusterObjects,
    judge: SpotJudge,
    blocked: Mapping[str, str],
) -> StandingNode:
    if before is None:
        node = replace(node, age_seconds=judge.rules.payback_seconds, slack=Slack(objects.budgets))
    stuck = (unmovable(p, judge.rules, judge, blocked) for p in node.movable)
    why = None if before is None else before.kept_because
    return replace(node, kept_because=why or next((reason for reason in stuck if reason), None))


def _by_name(state: FleetState) -> dict[str, StandingNode]:
    return {n.node.name: n for n in state.nodes}
