"""What of a pod matters to the scheduler, so that replicas are looked at once."""

from collections.abc import Hashable, Mapping

from shared.kernel.workload import Pod

PER_POD_LABELS = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-completion-index",
        "statefulset.kubernetes.io/pod-name",
    }
)
"""Labels that tell replicas apart."""


def shape_key(pod: Pod) -> Hashable:
    """Give what replicas share and the scheduler looks at, to group pods by.

    Labels that exist to tell replicas apart are left out, so a constraint that selects on one is not seen here;
    ClusterView sees it.
    """
    return _key(pod, {k: v for k, v in pod.labels.items() if k not in PER_POD_LABELS})


def exact_key(pod: Pod) -> Hashable:
    """Give everything that the scheduler looks at."""
    return (_key(pod, pod.labels), pod.is_terminating)


def company_key(pod: Pod) -> Hashable:
    """Give what the rules between pods look at: whom it is near to is asked of its labels and of its own terms."""
    terms = (pod.pod_affinity, pod.pod_anti_affinity)
    return (pod.namespace, frozenset(pod.labels.items()), terms, pod.is_terminating)


def place_key(pod: Pod) -> Hashable:
    """Give what static_reasons and the rules about volumes look at."""
    return (
        frozenset(pod.node_selector.items()),
        pod.node_affinity,
        pod.tolerations,
        (pod.namespace, pod.claims) if pod.claims else None,
        pod.scheduling_gated,
        pod.has_resource_claims,
        pod.os,
    )


def unlabelled_key(pod: Pod) -> Hashable:
    """Give what the scheduler looks at of a pod that no rule between pods is about: no namespace, no labels."""
    return _key(pod, {})[1:]


def _key(pod: Pod, labels: Mapping[str, str]) -> tuple[Hashable, ...]:
    asked = pod.requests
    return (
        pod.namespace,
        frozenset(labels.items()),
        asked.cpu_millicores,
        asked.memory_bytes,
        asked.ephemeral_storage_bytes,
        frozenset((name, amount) for name, amount in asked.extended.items() if amount),
        frozenset(pod.node_selector.items()),
        pod.node_affinity,
        pod.preferred_nodes,
        pod.tolerations,
        pod.pod_affinity,
        pod.pod_anti_affinity,
        pod.topology_spread,
        pod.host_ports,
        pod.claims,
        pod.scheduling_gated,
        pod.has_resource_claims,
        pod.os,
        pod.priority,
    )
