"""A second opinion on where a pod may run: kube-scheduler's documented rules, one naive loop each.

It shares no code with the product, keeps nothing between two questions and looks at every pod and every node each
time. Only the values it reads are the kernel's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.kernel.workload import (
    LabelSelector,
    Namespace,
    Node,
    NodeSelectorTerm,
    Operator,
    Pod,
    PodAffinityTerm,
    Requirement,
    Taint,
    TaintEffect,
    Toleration,
    TopologySpread,
    Volume,
)

EBS = "ebs.csi.aws.com"


@dataclass(frozen=True)
class Cluster:
    """Nodes, and the pods on them by node name."""

    nodes: Sequence[Node]
    placed: Sequence[tuple[Pod, str]]
    volumes: Sequence[Volume] | None = None
    namespaces: Sequence[Namespace] = ()

    def node(self, name: str) -> Node:
        """Give the node of a name."""
        (found,) = [node for node in self.nodes if node.name == name]
        return found


def may_run(cluster: Cluster, pod: Pod, node: Node) -> bool:
    """Whether all rules allow the pod on the node."""
    return not broken_rules(cluster, pod, node)


def broken_rules(cluster: Cluster, pod: Pod, node: Node) -> list[str]:
    """Name every rule that is broken."""
    rules = {
        "gates": not pod.scheduling_gated,
        "claims of devices": not pod.has_resource_claims,
        "system": pod.os in (None, node.labels.get("kubernetes.io/os", pod.os)),
        "resources": has_resources(cluster, pod, node),
        "labels": wants(pod, node),
        "taints": all(covered(taint, pod) for taint in hard_taints(node)),
        "ports": ports_are_free(cluster, pod, node),
        "affinity": affinity_holds(cluster, pod, node),
        "anti-affinity": anti_affinity_holds(cluster, pod, node),
        "spread": all(spread_holds(cluster, pod, node, c) for c in hard_spreads(pod)),
        "volumes": volumes_allow(cluster, pod, node),
        "attach limits": attachable(cluster, pod, node),
        "one pod a volume": exclusive(cluster, pod),
    }
    return [name for name, holds in rules.items() if not holds]


def here(cluster: Cluster, node: Node) -> list[Pod]:
    """Give the pods on a node."""
    return [pod for pod, name in cluster.placed if name == node.name]


def has_resources(cluster: Cluster, pod: Pod, node: Node) -> bool:
    others = here(cluster, node)
    if len(others) + 1 > node.max_pods:
        return False

    def amounts(of: Pod) -> dict[str, int]:
        r = of.requests
        return {"c": r.cpu_millicores, "m": r.memory_bytes, "e": r.ephemeral_storage_bytes, **r.extended}

    a = node.allocatable
    has = {"c": a.cpu_millicores, "m": a.memory_bytes, "e": a.ephemeral_storage_bytes, **a.extended}
    for name, wanted in amounts(pod).items():
        used = sum(amounts(other).get(name, 0) for other in others)
        if wanted > 0 and wanted > has.get(name, 0) - used:
            return False
    return True


def requirement_met(item: Requirement, labels: Mapping[str, str]) -> bool:
    there = item.key in labels
    own = labels.get(item.key, "")
    if item.operator in ("Gt", "Lt"):
        try:
            assert "_" not in own + item.values[0]
            difference = int(own) - int(item.values[0])
        except (AssertionError, ValueError):
            return False
        return difference > 0 if item.operator == "Gt" else difference < 0
    return {
        "In": there and own in item.values,
        "NotIn": not there or own not in item.values,
        "Exists": there,
        "DoesNotExist": not there,
    }[str(item.operator)]


def selected(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    return selector is not None and all(requirement_met(r, labels) for r in selector.requirements)


def term_met(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.labels and not term.fields:
        return False
    return all(requirement_met(r, node.labels) for r in term.labels) and all(
        requirement_met(r, {"metadata.name": node.name}) for r in term.fields
    )


def wants(pod: Pod, node: Node) -> bool:
    for key, value in pod.node_selector.items():
        if node.labels.get(key) != value:
            return False
    return not pod.node_affinity or any(term_met(term, node) for term in pod.node_affinity)


def hard_taints(node: Node) -> list[Taint]:
    found = [t for t in node.taints if t.effect != "PreferNoSchedule"]
    if node.is_unschedulable:
        found.append(Taint("node.kubernetes.io/unschedulable", TaintEffect.NO_SCHEDULE))
    if not node.is_ready:
        found.append(Taint("node.kubernetes.io/not-ready", TaintEffect.NO_SCHEDULE))
    return found


def covered(taint: Taint, pod: Pod) -> bool:
    def covers(t: Toleration) -> bool:
        if t.effect is not None and t.effect != taint.effect:
            return False
        if t.operator == "Exists":
            return t.key in ("", taint.key)
        return t.key == taint.key and t.value == taint.value

    return any(covers(t) for t in pod.tolerations)


def ports_are_free(cluster: Cluster, pod: Pod, node: Node) -> bool:
    for other in here(cluster, node):
        for mine in pod.host_ports:
            for theirs in other.host_ports:
                same_address = mine.host_ip == theirs.host_ip or "0.0.0.0" in (mine.host_ip, theirs.host_ip)
                if same_address and mine.port == theirs.port and mine.protocol == theirs.protocol:
                    return False
    return True


def term_means(cluster: Cluster, term: PodAffinityTerm, owner: Pod, other: Pod) -> bool:
    """Whether a term of `owner` means `other`."""
    if not selected(term.selector, other.labels):
        return False
    for key in term.match_label_keys:
        if key in owner.labels and other.labels.get(key) != owner.labels[key]:
            return False
    for key in term.mismatch_label_keys:
        if key in owner.labels and other.labels.get(key) == owner.labels[key]:
            return False
    if not term.namespaces and term.namespace_selector is None:
        return other.namespace == owner.namespace
    if other.namespace in term.namespaces:
        return True
    labels: Mapping[str, str] = {"kubernetes.io/metadata.name": other.namespace}
    for namespace in cluster.namespaces:
        if namespace.name == other.namespace:
            labels = namespace.labels
    return selected(term.namespace_selector, labels)


def affinity_holds(cluster: Cluster, pod: Pod, node: Node) -> bool:
    terms = [t for t in pod.pod_affinity if t.weight is None]
    if any(t.topology_key not in node.labels for t in terms):
        return False
    meant = [
        (other, cluster.node(name))
        for other, name in cluster.placed
        if all(term_means(cluster, t, pod, other) for t in terms)
    ]
    in_reach = [
        any(at.labels.get(t.topology_key) == node.labels[t.topology_key] for _, at in meant) for t in terms
    ]
    if all(in_reach):
        return True
    anywhere = any(t.topology_key in at.labels for t in terms for _, at in meant)
    return not anywhere and all(term_means(cluster, t, pod, pod) for t in terms)


def anti_affinity_holds(cluster: Cluster, pod: Pod, node: Node) -> bool:
    for other, name in cluster.placed:
        at = cluster.node(name)
        for holder, meant in ((pod, other), (other, pod)):
            for term in holder.pod_anti_affinity:
                domain = node.labels.get(term.topology_key)
                if (
                    term.weight is None
                    and domain is not None
                    and domain == at.labels.get(term.topology_key)
                    and term_means(cluster, term, holder, meant)
                ):
                    return False
    return True


def hard_spreads(pod: Pod) -> list[TopologySpread]:
    return [c for c in pod.topology_spread if c.when_unsatisfiable == "DoNotSchedule"]


def spread_holds(cluster: Cluster, pod: Pod, node: Node, constraint: TopologySpread) -> bool:
    key = constraint.topology_key
    if key not in node.labels:
        return False
    requirements = None
    if constraint.selector is not None:
        requirements = list(constraint.selector.requirements)
        for name in constraint.match_label_keys:
            if name in pod.labels:
                requirements.append(Requirement(name, Operator.IN, (pod.labels[name],)))

    def matches(other: Pod) -> bool:
        return requirements is not None and all(requirement_met(r, other.labels) for r in requirements)

    eligible = []
    for candidate in cluster.nodes:
        if any(c.topology_key not in candidate.labels for c in hard_spreads(pod)):
            continue
        if constraint.node_affinity_policy == "Honor" and not wants(pod, candidate):
            continue
        if constraint.node_taints_policy == "Honor" and not all(
            covered(t, pod) for t in hard_taints(candidate)
        ):
            continue
        eligible.append(candidate)
    counts: dict[str, int] = {}
    for candidate in eligible:
        counts.setdefault(candidate.labels[key], 0)
        for other in here(cluster, candidate):
            # A selector without requirements matches the pod itself, but nobody is counted for it.
            if (
                requirements
                and other.namespace == pod.namespace
                and not other.is_terminating
                and matches(other)
            ):
                counts[candidate.labels[key]] += 1
    lowest = min(counts.values(), default=0)
    if len(counts) < (constraint.min_domains or 1):
        lowest = 0
    return counts.get(node.labels[key], 0) + matches(pod) - lowest <= constraint.max_skew


def volume_of(cluster: Cluster, pod: Pod, claim: str) -> Volume | None:
    for volume in cluster.volumes or ():
        if (volume.namespace, volume.name) == (pod.namespace, claim):
            return volume
    return None


def volumes_allow(cluster: Cluster, pod: Pod, node: Node) -> bool:
    if cluster.volumes is None:
        return True
    for claim in pod.claims:
        volume = volume_of(cluster, pod, claim)
        if volume is None or volume.refusal is not None:
            return False
        if not volume.is_bound and not volume.wait_for_first_consumer:
            return False
        if volume.node_affinity and not any(term_met(t, node) for t in volume.node_affinity):
            return False
        if volume.is_bound and not zones_agree(volume, node):
            return False
    return True


def zones_agree(volume: Volume, node: Node) -> bool:
    new = {"zone": "topology.kubernetes.io/zone", "region": "topology.kubernetes.io/region"}
    old = {
        "zone": "failure-domain.beta.kubernetes.io/zone",
        "region": "failure-domain.beta.kubernetes.io/region",
    }
    if not any(key in node.labels for key in (*new.values(), *old.values())):
        return True
    for item in volume.zone_labels:
        keys = [item.key] + [new[what] for what in new if item.key == old[what]]
        found = [node.labels[key] for key in keys if key in node.labels]
        if not found or found[0] not in item.values:
            return False
    return True


def attachable(cluster: Cluster, pod: Pod, node: Node) -> bool:
    def of(owner: Pod) -> set[tuple[str, str, str]]:
        found = set()
        for claim in owner.claims:
            volume = volume_of(cluster, owner, claim)
            driver = EBS if volume is None or volume.driver is None else volume.driver
            found.add((driver, owner.namespace, claim))
        return found

    attached = {item for other in here(cluster, node) for item in of(other)}
    for driver in {item[0] for item in of(pod)} - {""}:
        limit = node.volume_limits.get(driver, node.attachable_volumes if driver == EBS else None)
        before = {item for item in attached if item[0] == driver}
        after = before | {item for item in of(pod) if item[0] == driver}
        if limit is not None and len(after) > len(before) and len(after) > limit:
            return False
    return True


def exclusive(cluster: Cluster, pod: Pod) -> bool:
    for claim in pod.claims:
        volume = volume_of(cluster, pod, claim)
        if volume is not None and volume.single_pod:
            for other, _ in cluster.placed:
                if other.namespace == pod.namespace and claim in other.claims:
                    return False
    return True
