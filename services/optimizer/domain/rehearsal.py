"""Play a plan through with a scheduler that spreads, as kube-scheduler does by default.

The packing says that every pod has a place, but in the cluster nobody follows it: kube-scheduler takes the
least allocated node that a pod fits on. A fleet that is packed to the brim can come out with a pod that
fits nowhere, so the plan is rehearsed, and what comes out homeless gets room before anything is proposed.
"""

from collections.abc import Iterable, Sequence

from shared.kernel.scheduling import ClusterView, pods_all_fit
from shared.kernel.workload import ClusterObjects, Node, Pod


class Rehearsal:
    """A cluster in which the moves so far were carried out."""

    def __init__(self, objects: ClusterObjects, closed: Iterable[str]) -> None:
        self._view = ClusterView.of(objects)
        self._closed = set(closed)
        """Nodes that take no pods: cordoned or not ready."""

    def launch(self, node: Node, daemons: Iterable[Pod]) -> None:
        """Add a node that turned Ready, with its daemons."""
        self._view.add_node(node)
        for pod in daemons:
            self._view.place(pod, node.name)

    def schedule(self, pods: Iterable[Pod]) -> list[Pod]:
        """Place pods that wait; give those that fit nowhere."""
        waiting, progress = list(pods), True
        while waiting and progress:
            left = [pod for pod in waiting if not self._schedule(pod)]
            progress, waiting = len(left) < len(waiting), left
        return waiting

    def drain(self, names: Sequence[str]) -> list[Pod]:
        """Cordon all of the nodes, empty one after the other; give the pods that fit nowhere."""
        self._closed.update(names)
        homeless: list[Pod] = []
        for name in names:
            evicted = [p for p in self._view.remove_node(name) if not (p.is_daemon or p.is_mirror)]
            homeless += self.schedule(p for p in evicted if not p.is_terminating)
        return homeless

    def tight(self, names: Sequence[str]) -> list[Pod]:
        """Give the pods of these nodes for which a scheduler that fills node by node finds no room.

        The executor asks the same before it drains: a move that it would refuse is not worth proposing.
        """
        moving = [
            p
            for name in names
            for p in self._view.pods_on(name)
            if not (p.is_daemon or p.is_mirror or p.is_terminating)
        ]
        return [u.pod for u in pods_all_fit(moving, self._view, exclude=(*names, *sorted(self._closed)))]

    def _schedule(self, pod: Pod) -> bool:
        scored = [
            (-self._score(pod, name), name)
            for name in self._view.node_names
            if name not in self._closed and self._view.fits(pod, name)
        ]
        if not scored:
            return False
        self._view.place(pod, min(scored)[1])
        return True

    def _score(self, pod: Pod, name: str) -> int:
        free, room = self._view.free(name), self._view.node(name).allocatable
        cpu = (free.cpu_millicores - pod.requests.cpu_millicores) * 100 // max(room.cpu_millicores, 1)
        memory = (free.memory_bytes - pod.requests.memory_bytes) * 100 // max(room.memory_bytes, 1)
        return (cpu + memory) // 2
