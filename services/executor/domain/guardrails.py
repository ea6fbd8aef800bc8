"""Whether disrupting a node is still safe, judged on the newest picture of its cluster and not on the plan's."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from shared.kernel.scheduling import ClusterView, Unplaced, can_be_moved, pods_all_fit
from shared.kernel.workload import ClusterObjects, Node, Pod, PodPhase

NAMED_PODS = 3
"""How many pods a reason names before it only counts."""

CREATION_TOLERANCE = timedelta(seconds=10)
"""Kubernetes cuts creation times to whole seconds, and its clock is not ours."""


@dataclass(frozen=True, slots=True)
class Window:
    """When disruption is allowed."""

    timezone: str
    days: tuple[int, ...]
    """0 is Monday."""
    start: time
    duration: timedelta


def is_open(windows: Sequence[Window], *, now: datetime) -> bool:
    """Whether disruption is allowed now; without any window it always is."""
    return not windows or any(_is_in(window, now) for window in windows)


def _is_in(window: Window, now: datetime) -> bool:
    zone = ZoneInfo(window.timezone)
    today = now.astimezone(zone).date()
    # A window that began yesterday may reach past midnight.
    for day in (today, today - timedelta(days=1)):
        if day.weekday() in window.days:
            begins = datetime.combine(day, window.start, tzinfo=zone).astimezone(now.tzinfo)
            if begins <= now < begins + window.duration:
                return True
    return False


def cordoned(objects: ClusterObjects) -> frozenset[str]:
    """Name the nodes that take no pods, whoever cordoned them."""
    return frozenset(node.name for node in objects.nodes if node.is_unschedulable)


def node_named(objects: ClusterObjects, name: str) -> Node | None:
    """Give a node."""
    return next((node for node in objects.nodes if node.name == name), None)


def node_of_instance(objects: ClusterObjects, instance_id: str) -> Node | None:
    """Give the node that an instance became."""
    return next((node for node in objects.nodes if node.instance_id == instance_id), None)


def pods_left(objects: ClusterObjects, node_name: str) -> tuple[Pod, ...]:
    """Give the pods that keep a node from being empty; DaemonSets' and the kubelet's own go with it."""
    return tuple(
        pod
        for pod in objects.pods
        if pod.node_name == node_name and not pod.is_daemon and not pod.is_mirror and not pod.is_finished
    )


def objection(
    objects: ClusterObjects,
    node_name: str,
    *,
    instance_id: str | None,
    excluded_namespaces: Collection[str],
) -> str | None:
    """Say why a node may not be drained, or None."""
    node = node_named(objects, node_name)
    if node is None:
        return f"node {node_name} is gone"
    if node.instance_id is None:
        return f"node {node_name} is not an EC2 instance"
    if instance_id is not None and node.instance_id != instance_id:
        return f"node {node_name} is another instance now"
    if node.do_not_disrupt:
        return f"node {node_name} is marked do-not-disrupt"
    for pod in pods_left(objects, node_name):
        if pod.namespace in excluded_namespaces:
            return f"pod {pod.key} is in an excluded namespace"
        reason = can_be_moved(pod)
        if reason is not None:
            return f"pod {pod.key} may not be moved: {reason}"
    return None


def without_room(
    objects: ClusterObjects, leaving: Collection[str], *, meant_for: Mapping[str, str] | None = None
) -> str | None:
    """Say which pods of the leaving nodes would find no room on nodes Ready now, or None.

    Pods that wait for a node already compete for the same room, so they are placed too; that they find none is
    not the fault of the move. `meant_for` is where the plan wants pods (node by pod): one way to place them all is
    proof enough, the plan's or the one found here.
    """
    moved = [p for name in leaving for p in pods_left(objects, name) if not p.is_terminating]
    waiting = [
        p for p in objects.pods if p.node_name is None and not p.is_finished and not p.scheduling_gated
    ]
    view = ClusterView.of(objects)
    for name in leaving:
        if name in view.node_names:
            view.remove_node(name)
    left = _left_of(moved, pods_all_fit([*moved, *waiting], view))
    if left and meant_for:
        rest = []
        for pod in moved:
            name = meant_for.get(pod.key, "")
            if name in view.node_names and view.fits(pod, name):
                view.place(pod, name)
            else:
                rest.append(pod)
        left = _left_of(rest, pods_all_fit([*rest, *waiting], view))
    if not left:
        return None
    names = ", ".join(item.pod.key for item in left[:NAMED_PODS])
    more = f" and {len(left) - NAMED_PODS} more" if len(left) > NAMED_PODS else ""
    return f"no room for {names}{more}: {'; '.join(left[0].reasons)}"


def _left_of(moved: Iterable[Pod], unplaced: Iterable[Unplaced]) -> list[Unplaced]:
    keys = {pod.key for pod in moved}
    return [item for item in unplaced if item.pod.key in keys]


def owners_of(pods: Iterable[Pod]) -> tuple[str, ...]:
    """Name the controllers that will make these pods again."""
    return tuple(sorted({f"{p.namespace}/{p.owner.kind}/{p.owner.name}" for p in pods if p.owner}))


def unsettled(objects: ClusterObjects, *, owners: Collection[str], since: datetime) -> tuple[str, ...]:
    """Name pods made anew since a drain began that do not run yet, whether or not a node has taken them."""
    return tuple(
        pod.key
        for pod in objects.pods
        if (pod.node_name is None or pod.phase is PodPhase.PENDING)
        and not pod.is_finished
        and not pod.is_terminating
        and not pod.scheduling_gated
        and (pod.created_at is None or pod.created_at >= since - CREATION_TOLERANCE)
        and set(owners_of((pod,))) & set(owners)
    )
