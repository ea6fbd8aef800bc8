"""Whether some pods all find room: the executor's last check before a node is given up."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial

from shared.kernel.scheduling.view import ClusterView
from shared.kernel.workload import Pod


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A pod for which no room was found."""

    pod: Pod
    explain: Callable[[], tuple[str, ...]] = field(repr=False, compare=False)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why: each reason with the number of nodes that gave it.

        Asked for one pod it is cheap; worked out for hundreds on hundreds of nodes it takes a second.
        """
        return self.explain()


def pods_all_fit(
    pods: Iterable[Pod], view: ClusterView, *, exclude: Collection[str] = ()
) -> tuple[Unplaced, ...]:
    """Give the pods that find no room once the excluded nodes are gone; the view is left as it is.

    Largest first, each on the first node it fits: what is placed is proof enough, what is not may still fit in
    another order.
    """
    trial = view.copy()
    waiting = sorted(pods, key=size, reverse=True)
    for name in exclude:
        if name in trial.node_names:
            trial.remove_node(name)
    for pod in waiting:
        if trial.node_of(pod.key) is not None:
            trial.remove(pod.key)
    names = trial.node_names
    has_progress = True
    while waiting and has_progress:
        # A pod that must be near another may have to wait for it, so those left over are tried again.
        left = [pod for pod in waiting if not _place_first(trial, pod, names)]
        has_progress = len(left) < len(waiting)
        waiting = left
    return tuple(Unplaced(pod, partial(_summary, trial, pod)) for pod in waiting)


def size(pod: Pod) -> tuple[int, int, int, int, str]:
    """Give what pods are ordered by; the largest come first."""
    asked = pod.requests
    return (
        pod.priority,
        sum(asked.extended.values()),
        asked.cpu_millicores,
        asked.memory_bytes,
        pod.key,
    )


def _place_first(trial: ClusterView, pod: Pod, names: tuple[str, ...]) -> bool:
    name = trial.first_fit(pod, names)
    if name is None:
        return False
    trial.place(pod, name)
    return True


def _summary(trial: ClusterView, pod: Pod) -> tuple[str, ...]:
    counted = Counter(reason for name in trial.node_names for reason in trial.reasons_against(pod, name))
    if not counted:
        return ("there is no other node",)
    return tuple(f"{number} {reason}" for reason, number in sorted(counted.items()))
