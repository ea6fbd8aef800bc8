"""The DaemonSets that every new node must make room for, known by their own object or only by their pods."""

from shared.kernel.scheduling import daemon_sets_seen
from shared.kernel.workload import ClusterObjects, Workload


def daemon_sets(objects: ClusterObjects) -> tuple[Workload, ...]:
    """Give each DaemonSet with a pod template; made from one of its pods where its object does not show it."""
    known = {w.key: w for w in objects.workloads if w.kind == "DaemonSet" and w.pod_template is not None}
    running = (p for p in sorted(objects.pods, key=lambda p: p.key) if not p.is_terminating)
    for workload in daemon_sets_seen(running):
        known.setdefault(workload.key, workload)
    return tuple(known[key] for key in sorted(known))
