"""What interruptions are expected to cost.

    risk [USD/h] = weight x sum over pods on spot nodes of  P(node interrupted within the hour) [1/h] x cost [USD]
    cost of one interruption of one pod [USD]
                      = what its annotation states, else what its workload's annotation states, else
                        usd_per_restart + usd_per_downtime_hour x restart_seconds / 3600 / replicas

The weight is the policy's objective: 0, 1 or 5 (rules.RISK_WEIGHTS). While a pod restarts, one of n replicas is
missing, so that an n-th of the workload's service is. A chance that nobody knows is the policy's assumption, never
zero; on-demand nodes are not interrupted. Everything is rounded down to whole micro-dollars per pod, so that sums
do not depend on their order and a bound on the objective stays one.
"""

from collections.abc import Iterable

from services.optimizer.domain.offers import MICRO, Offer
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.workload import Pod

SECONDS_PER_HOUR = 3600


def cost_micro_usd(pod: Pod, judge: SpotJudge) -> int:
    """Give what one interruption of the pod is worth, in micro-dollars."""
    stated = pod.spot_wish.interruption_cost_usd
    if stated is not None:
        return int(stated * MICRO)
    found = judge.costs.get(pod.key)
    if found is None:
        found = judge.costs[pod.key] = _of_workload(pod, judge)
    return found


def _of_workload(pod: Pod, judge: SpotJudge) -> int:
    stated = judge.wish(pod).interruption_cost_usd
    if stated is not None:
        return int(stated * MICRO)
    rules = judge.rules
    outage = rules.usd_per_downtime_hour * rules.restart_seconds / SECONDS_PER_HOUR / judge.count(pod)
    return int((rules.usd_per_restart + outage) * MICRO)


def chance(offer: Offer, rules: PlanRules) -> float:
    """Give the probability that EC2 takes a node of the offer back within an hour."""
    if not offer.is_spot:
        return 0.0
    known = offer.interruption_probability
    return rules.unknown_interruption_probability if known is None else known


def weighted_chance(offer: Offer, rules: PlanRules) -> float:
    """Give that probability times the weight of risk."""
    return chance(offer, rules) * rules.risk_weight


def node_micro_usd(offer: Offer | None, pods: Iterable[Pod], judge: SpotJudge) -> int:
    """Give the weighted expected cost an hour of a node with these pods; 0 where no price is known either."""
    if offer is None or not offer.is_spot or judge.rules.risk_weight == 0:
        return 0
    weighted = weighted_chance(offer, judge.rules)
    return sum(int(weighted * cost_micro_usd(p, judge)) for p in pods)
