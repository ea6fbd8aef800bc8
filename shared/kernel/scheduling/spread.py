"""Topology spread constraints: those that must hold (DoNotSchedule), and those that are wishes (ScheduleAnyway)."""

from collections.abc import Hashable
from dataclasses import dataclass

from shared.kernel.scheduling import selectors, taints
from shared.kernel.scheduling.affinity import PodMatcher, narrowed
from shared.kernel.scheduling.topology import DomainCounts
from shared.kernel.workload import Node, Operator, Pod, TopologySpread

SKEWED = "node(s) didn't match pod topology spread constraints"
NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"


@dataclass(frozen=True, slots=True)
class SpreadRule:
    """One constraint of one shape of pods."""

    constraint: TopologySpread
    matcher: PodMatcher
    counts_itself: bool
    topology_keys: tuple[str, ...]
    """Of all the pod's constraints of the same kind: a node without one of them counts for none."""
    eligibility: Hashable
    """Equal for pods for whom the same nodes count."""

    def counts_node(self, pod: Pod, node: Node) -> bool:
        """Whether pods on this node are counted, for a pod with this rule."""
        if not all(key in node.labels for key in self.topology_keys):
            return False
        if self.constraint.node_affinity_policy == "Honor" and not selectors.pod_selects(pod, node):
            return False
        honors_taints = self.constraint.node_taints_policy == "Honor"
        return not honors_taints or taints.untolerated(taints.repelling(node), pod.tolerations) is None

    def most_before(self, counts: DomainCounts) -> int:
        """Give how many pods a domain may hold for one more to be let in."""
        has_enough = len(counts.by_domain) >= max(self.constraint.min_domains or 1, 1)
        lowest = counts.lowest if has_enough else 0
        return lowest + self.constraint.max_skew - self.counts_itself

    def reason(self, node: Node, counts: DomainCounts) -> str | None:
        """Say what the rule has against one more pod on a node."""
        domain = node.labels.get(counts.key)
        if domain is None:
            return NO_LABEL
        return SKEWED if counts.by_domain.get(domain, 0) > self.most_before(counts) else None


def rules_of(pod: Pod, when_unsatisfiable: str = "DoNotSchedule") -> tuple[SpreadRule, ...]:
    """Give the pod's constraints that must hold (DoNotSchedule), or its wishes (ScheduleAnyway)."""
    meant = tuple(item for item in pod.topology_spread if item.when_unsatisfiable == when_unsatisfiable)
    keys = tuple(sorted({item.topology_key for item in meant}))
    rules = []
    for item in meant:
        selector = narrowed(item.selector, pod, item.match_label_keys, Operator.IN)
        eligibility = (
            keys,
            (frozenset(pod.node_selector.items()), pod.node_affinity)
            if item.node_affinity_policy == "Honor"
            else None,
            pod.tolerations if item.node_taints_policy == "Honor" else None,
        )
        counts_itself = selectors.selects(selector, pod.labels)
        # kube-scheduler counts no pod at all for an empty selector, though it matches every pod.
        counted = None if selector is not None and not selector.requirements else selector
        matcher = PodMatcher(counted, frozenset({pod.namespace}))
        rules.append(SpreadRule(item, matcher, counts_itself, keys, eligibility))
    return tuple(rules)
