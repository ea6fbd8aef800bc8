"""DaemonSets: what every node must hold before anything else, also a node that does not exist yet."""

from collections.abc import Iterable
from dataclasses import replace

from shared.kernel.scheduling.selectors import NAME_FIELD
from shared.kernel.scheduling.static import CLAIMED, static_reasons
from shared.kernel.workload import Node, NodeSelectorTerm, Pod, Workload


def daemon_pods_for(node: Node, workloads: Iterable[Workload]) -> tuple[Pod, ...]:
    """Give the pods that DaemonSets would run on a node, by their own selectors, affinity and tolerations.

    Those with resource claims are among them: whether they get their devices or not, room must be left.
    """
    return tuple(
        replace(template, name=f"{workload.name}-{node.name}", node_name=node.name)
        for workload in workloads
        if workload.kind == "DaemonSet" and (template := workload.pod_template) is not None
        if {CLAIMED}.issuperset(static_reasons(template, node))
    )


def daemon_sets_seen(pods: Iterable[Pod]) -> tuple[Workload, ...]:
    """Give the DaemonSets that running pods belong to, where the DaemonSets themselves are not known."""
    found: dict[str, Workload] = {}
    for pod in pods:
        if pod.owner is not None and pod.is_daemon and not pod.is_finished:
            template = replace(
                pod, name=pod.owner.name, uid="", node_name=None, node_affinity=_on_any_node(pod)
            )
            workload = Workload(pod.namespace, "DaemonSet", pod.owner.name, pod_template=template)
            found.setdefault(workload.key, workload)
    return tuple(found[key] for key in sorted(found))


def _on_any_node(pod: Pod) -> tuple[NodeSelectorTerm, ...]:
    # The DaemonSet controller pins each pod to its node by a field; what remains is the template's own wish.
    terms = tuple(
        NodeSelectorTerm(term.labels, tuple(item for item in term.fields if item.key != NAME_FIELD))
        for term in pod.node_affinity
    )
    return terms if all(term.labels or term.fields for term in terms) else ()
