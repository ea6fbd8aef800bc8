"""What it costs that pods run where they would rather not: preferred node affinity and PreferNoSchedule taints.

    cost of a pod [USD/h] = usd_per_unmet_preference_hour x points / 200
    points                = 2 x the weights (1 to 100) of preferred terms that the node does not meet
                          + 300 x its PreferNoSchedule taints that the pod does not tolerate

The points are those that kube-scheduler's default profile gives the same wishes; 200 are one of full weight. What a
pod costs on a node depends on nothing else there, so that a column holds it, and the bound is one of the same
objective. Preferred affinity between pods and spread with ScheduleAnyway depend on where others are: kube-scheduler
weighs them when it places pods, and they cost nothing here.
"""

from collections.abc import Iterable

from services.optimizer.domain.offers import MICRO
from services.optimizer.domain.rules import PlanRules
from shared.kernel.scheduling import node_preference_cost
from shared.kernel.scheduling.preferences import FULL_MARKS, NODE_AFFINITY_WEIGHT
from shared.kernel.workload import Node, Pod, TaintEffect

FULL_WISH = NODE_AFFINITY_WEIGHT * FULL_MARKS


def pod_micro_usd(pod: Pod, node: Node, rules: PlanRules) -> int:
    """Give what the pod costs on the node an hour for what it would rather have, in micro-dollars."""
    return node_preference_cost(pod, node) * round(rules.usd_per_unmet_preference_hour * MICRO) // FULL_WISH


def node_micro_usd(node: Node, pods: Iterable[Pod], rules: PlanRules) -> int:
    """Give the same for all pods of a node together."""
    if rules.usd_per_unmet_preference_hour == 0:
        return 0
    is_avoided = is_unwelcoming(node)
    return sum(pod_micro_usd(p, node, rules) for p in pods if is_avoided or p.preferred_nodes)


def is_unwelcoming(node: Node) -> bool:
    """Whether some pods had rather not be there, whatever they wish for."""
    return any(t.effect is TaintEffect.PREFER_NO_SCHEDULE for t in node.taints)
