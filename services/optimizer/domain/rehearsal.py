"""Play a plan through with a scheduler that spreads, as kube-scheduler does by default.

The packing says that every pod has a place, but in the cluster nobody follows it: kube-scheduler takes the
least allocated node that a pod fits on, pods come back in any order, and nodes of later moves may be Ready
already. A fleet that is packed to the brim can come out with a pod that fits nowhere. So the moves are
rehearsed several times, each time otherwise, and what comes out homeless gets room before anything is
proposed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.sequence import Cut
from shared.kernel.scheduling import ClusterView, pods_all_fit
from shared.kernel.workload import ClusterObjects, Node, Pod

Order = Callable[[Pod], tuple[object, ...]]


def _largest_first(pod: Pod) -> tuple[object, ...]:
    return (-pod.requests.cpu_millicores, -pod.requests.memory_bytes, pod.key)


def _mixed(salt: bytes) -> Order:
    return lambda pod: (blake2b(pod.key.encode(), digest_size=8, salt=salt).digest(),)


@dataclass(frozen=True, slots=True)
class Run:
    """One way that things may go."""

    order: Order
    """In which the pods of a drained node are scheduled again."""
    is_ahead: bool
    """Whether every launch is Ready before the first drain; else those of a move before its own drains."""


SETTLED = Run(_largest_first, is_ahead=True)
"""Pods placed once, the largest first."""
RUNS = (
    Run(_mixed(b"a"), is_ahead=True),
    Run(_mixed(b"b"), is_ahead=False),
    Run(_mixed(b"c"), is_ahead=True),
    Run(_mixed(b"d"), is_ahead=False),
    Run(_largest_first, is_ahead=False),
)
RUNS_WHEN_LARGE = RUNS[:2]
"""With thousands of pods one order is much like another."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A move of a rehearsal that left pods without a node."""

    move: int
    """Index of the move."""
    homeless: tuple[Pod, ...]


class Rehearsal:
    """A cluster in which moves are carried out, one run."""

    def __init__(
        self,
        objects: ClusterObjects,
        closed: Iterable[str],
        run: Run,
        *,
        wants: Callable[[Pod, Node], bool] | None = None,
    ) -> None:
        self._wants = wants
        """Given where pods are placed as policy wants it; kube-scheduler knows nothing of that."""
        self._view = ClusterView.of(objects)
        self._closed = set(closed)
        """Nodes that take no pods: cordoned or not ready."""
        self._run = run
        self._names = list(self._view.node_names)
        self._at = {name: i for i, name in enumerate(self._names)}
        # Rows of CPU and memory; growing in steps would copy them, so that all nodes are entered at once.
        nodes = [self._view.node(name) for name in self._names]
        self._room = np.array([_amounts(n) for n in nodes], dtype=np.float64).reshape(-1, 2)
        free = [self._view.free(name) for name in self._names]
        self._free = np.array([(f.cpu_millicores, f.memory_bytes) for f in free], dtype=np.float64).reshape(
            -1, 2
        )
        self._slots = np.array([self._view.free_pods(name) for name in self._names], dtype=np.int64)
        for name in self._closed:
            if name in self._at:
                self._slots[self._at[name]] = 0

    def play(
        self, cuts: Sequence[Cut], new: Mapping[str, StandingNode], pending: Iterable[Pod]
    ) -> list[Trouble]:
        """Carry out the moves; give those that leave pods without a node, as if these pods went away.

        Pods that wait today may go on waiting: that they find nothing is no move's fault.
        """
        found: list[Trouble] = []
        if self._run.is_ahead:
            self.launch(new[name] for move in cuts for name in move.launches)
        waiting = list(pending)
        for number, move in enumerate(cuts):
            if not self._run.is_ahead:
                self.launch(new[name] for name in move.launches)
            waiting = self.schedule(waiting)
            refused = self.tight(move.drains)
            homeless = self.drain(move.drains)
            if refused or homeless:
                found.append(Trouble(number, tuple(refused or homeless)))
        return found

    def launch(self, nodes: Iterable[StandingNode]) -> None:
        """Add nodes that turned Ready, with their daemons."""
        for standing in nodes:
            node = standing.node
            self._view.add_node(node)
            self._at[node.name] = len(self._names)
            self._names.append(node.name)
            amounts = np.array([_amounts(node)], dtype=np.float64)
            self._room = np.concatenate([self._room, amounts])
            self._free = np.concatenate([self._free, amounts])
            self._slots = np.append(self._slots, node.max_pods)
            for pod in standing.pods:
                if pod.is_daemon:
                    self._place(pod, node.name)

    def schedule(self, pods: Iterable[Pod]) -> list[Pod]:
        """Place pods that wait; give those that fit nowhere."""
        waiting, progress = sorted(pods, key=self._run.order), True
        while waiting and progress:
            left = [pod for pod in waiting if not self._schedule(pod)]
            progress, waiting = len(left) < len(waiting), left
        return waiting

    def drain(self, names: Sequence[str]) -> list[Pod]:
        """Cordon all of the nodes, empty one after the other; give the pods that fit nowhere."""
        self._closed.update(names)
        for name in names:
            self._slots[self._at[name]] = 0
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
        if all(_is_plain(p) for p in moving):
            return self._first_fit(moving, names)
        return [u.pod for u in pods_all_fit(moving, self._view, exclude=(*names, *sorted(self._closed)))]

    def _first_fit(self, moving: Sequence[Pod], leaving: Sequence[str]) -> list[Pod]:
        """Do what pods_all_fit does, for pods that stand in nobody's way but by what they request."""
        free, slots = self._free.copy(), self._slots.copy()
        slots[[self._at[name] for name in leaving]] = 0
        left = []
        for pod in sorted(moving, key=_largest_first):
            asked = np.array([pod.requests.cpu_millicores, pod.requests.memory_bytes], dtype=np.float64)
            able = np.flatnonzero((free >= asked).all(axis=1) & (slots > 0)).tolist()
            at = next((i for i in able if self._view.fits(pod, self._names[i])), None)
            if at is None:
                left.append(pod)
            else:
                free[at] -= asked
                slots[at] -= 1
        return left

    def _schedule(self, pod: Pod) -> bool:
        asked = np.array([pod.requests.cpu_millicores, pod.requests.memory_bytes], dtype=np.float64)
        able = np.flatnonzero((self._free >= asked).all(axis=1) & (self._slots > 0))
        if len(able) == 0:
            return False
        room = np.maximum(self._room[able], 1)
        score = ((self._free[able] - asked) * 100 // room).sum(axis=1) // 2
        for i in able[np.lexsort((able, -score))].tolist():
            name = self._names[i]
            if self._wants is not None and not self._wants(pod, self._view.node(name)):
                continue
            if self._view.fits(pod, name):
                self._place(pod, name)
                return True
        return False

    def node_of(self, pod: Pod) -> str | None:
        """Name the node that a pod has found."""
        return self._view.node_of(pod.key)

    def _place(self, pod: Pod, name: str) -> None:
        self._view.place(pod, name)
        at = self._at[name]
        self._free[at] -= (pod.requests.cpu_millicores, pod.requests.memory_bytes)
        self._slots[at] -= 1


def _is_plain(pod: Pod) -> bool:
    r = pod.requests
    return not (
        pod.pod_affinity
        or pod.pod_anti_affinity
        or pod.topology_spread
        or pod.host_ports
        or pod.claims
        or r.ephemeral_storage_bytes
        or any(r.extended.values())
    )


def _amounts(node: Node) -> tuple[int, int]:
    return node.allocatable.cpu_millicores, node.allocatable.memory_bytes
