"""What speaks against a pod on a node whatever else runs there."""

from shared.kernel.scheduling import selectors, taints
from shared.kernel.workload import Node, Pod

GATED = "pod has scheduling gates"
UNSCHEDULABLE = "node(s) were unschedulable"
AFFINITY = "node(s) didn't match Pod's node affinity/selector"
CLAIMED = "pod has resource claims (DRA), which only the scheduler itself can allocate"
OTHER_SYSTEM = "node(s) run another operating system than the pod's"
OS_LABEL = "kubernetes.io/os"


def static_reasons(pod: Pod, node: Node) -> tuple[str, ...]:
    """Say what the node's labels, taints and state have against the pod."""
    reasons = [GATED] if pod.scheduling_gated else []
    taint = taints.untolerated(taints.repelling(node), pod.tolerations)
    if taint == taints.UNSCHEDULABLE:
        reasons.append(UNSCHEDULABLE)
    elif taint is not None:
        reasons.append(f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}")
    if not selectors.pod_selects(pod, node):
        reasons.append(AFFINITY)
    if pod.has_resource_claims:
        reasons.append(CLAIMED)
    # The scheduler does not look at it, but the kubelet would refuse the pod.
    if pod.os is not None and node.labels.get(OS_LABEL, pod.os) != pod.os:
        reasons.append(OTHER_SYSTEM)
    return tuple(reasons)
