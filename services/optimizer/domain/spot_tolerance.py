"""Which pods may run where EC2 can take the machine back within two minutes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.optimizer.domain.rules import PlanRules, Strategy
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, DisruptionBudget, Owner, Pod

CAPACITY_LABEL = "karpenter.sh/capacity-type"


@dataclass(frozen=True, slots=True)
class SpotJudge:
    """Knows how many pods each controller has, and which pods a disruption budget pins."""

    strategy: Strategy
    replicas: Mapping[tuple[str, Owner], int]
    pinned: frozenset[str]
    """Keys of pods whose budget can never allow a disruption."""

    def refusal(self, pod: Pod) -> str | None:
        """Say why the pod must not run on spot, None when it may."""
        if self.strategy is Strategy.ON_DEMAND:
            return "the policy allows on-demand only"
        if asks_for_on_demand(pod):
            return "its node selector asks for on-demand"
        if pod.do_not_disrupt:
            return "it is marked do-not-disrupt"
        if pod.owner is None:
            return "nothing would make the pod again"
        if pod.key in self.pinned:
            return "its disruption budget allows no disruption"
        if self.strategy is Strategy.HYBRID and self.count(pod) < 2 and pod.owner.kind != "Job":
            return "it is the only replica"
        return None

    def count(self, pod: Pod) -> int:
        """Count the replicas of the pod's controller; a bare pod is alone."""
        return 1 if pod.owner is None else self.replicas.get((pod.namespace, pod.owner), 1)


def asks_for_on_demand(pod: Pod) -> bool:
    """Whether the pod says itself how its node must be bought: then that counts, whatever the policy prefers."""
    return pod.node_selector.get(CAPACITY_LABEL) == CapacityType.ON_DEMAND.value


def spot_judge(objects: ClusterObjects, rules: PlanRules, *, pinned: Iterable[str] = ()) -> SpotJudge:
    """Count what the cluster shows; a controller's wish counts when it is larger than what runs."""
    replicas: dict[tuple[str, Owner], int] = {}
    for pod in objects.pods:
        if pod.owner is not None and not pod.is_finished and not pod.is_terminating:
            key = (pod.namespace, pod.owner)
            replicas[key] = replicas.get(key, 0) + 1
    for workload in objects.workloads:
        key = (workload.namespace, Owner(workload.kind, workload.name))
        if workload.replicas is not None and key in replicas:
            replicas[key] = max(replicas[key], workload.replicas)
    return SpotJudge(rules.strategy, replicas, frozenset(pinned))


def is_frozen(budget: DisruptionBudget) -> bool:
    """Whether a budget covers pods and can, at full health, allow none of them to go."""
    if budget.expected_pods == 0:
        return budget.max_unavailable in ("0", "0%")
    return budget.desired_healthy >= budget.expected_pods
