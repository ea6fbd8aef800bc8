"""Which pods may be moved at all, whatever the scheduler thinks."""

from shared.kernel.workload import Pod


def can_be_moved(pod: Pod) -> str | None:
    """Give None if the pod may be evicted, else the reason why not.

    Pods of DaemonSets give None too: they go with their node and stand in nobody's way.
    """
    if pod.is_finished or pod.is_daemon:
        return None
    if pod.is_mirror:
        return "it is a static pod of its node's kubelet"
    if pod.has_resource_claims:
        return "it has resource claims (DRA), which are not planned for"
    if pod.do_not_disrupt:
        return "it is marked do-not-disrupt"
    if pod.owner is None:
        return "it has no controller that would make it again"
    return None
