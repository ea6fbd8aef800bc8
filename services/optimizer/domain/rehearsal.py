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
from typing import Protocol

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.columns.compiled import compiled
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


ANY_POOL: Bools = np.ones(1, dtype=np.bool_)


class Wants(Protocol):
    """What policy permits, by pool of nodes."""

    def pool_of(self, node: Node) -> int:
        """Number the pool of a node."""
        ...

    def open_pools(self, pod: Pod) -> Bools:
        """Say for each number whether the pod may go there."""
        ...


@compiled
def least_allocated(
    free: Ints, slots: Ints, room: Ints, cpu: int, memory: int, pools: Ints, is_open: Bools
) -> int:
    """Give the node with the largest share left once a pod of that size is there, of equals the first; -1: none.

    Args:
        free: node x (millicores, bytes).
        slots: per node: how many more pods it takes.
        room: node x (millicores, bytes) allocatable.
        cpu: what the pod asks for in millicores.
        memory: the same in bytes.
        pools: per node: the number of its pool.
        is_open: per pool: whether the pod may go there.
    """
    best, best_score = -1, -1
    for n in range(len(slots)):
        if slots[n] <= 0 or free[n, 0] < cpu or free[n, 1] < memory or not is_open[pools[n]]:
            continue
        score = (free[n, 0] - cpu) * 100 // max(room[n, 0], 1)
        score += (free[n, 1] - memory) * 100 // max(room[n, 1], 1)
        score //= 2
        if score > best_score:
            best, best_score = n, score
    return best


@compiled
def first_that_fits(free: Ints, slots: Ints, cpu: int, memory: int, start: int) -> int:
    """Give the first node from `start` on that has room for a pod of that size; -1: none."""
    for n in range(start, len(slots)):
        if slots[n] > 0 and free[n, 0] >= cpu and free[n, 1] >= memory:
            return n
    return -1


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
        wants: Wants | None = None,
        view: ClusterView | None = None,
    ) -> None:
        self._wants = wants
        """Given where pods are placed as policy wants it; kube-scheduler knows nothing of that."""
        self._view = ClusterView.of(objects) if view is None else view.copy()
        self._closed = set(closed)
        """Nodes that take no pods: cordoned or not ready."""
        self._run = run
        self._names = list(self._view.node_names)
        self._at = {name: i for i, name in enumerate(self._names)}
        # Rows of CPU and memory; growing in steps would copy them, so that all nodes are entered at once.
        nodes = [self._view.node(name) for name in self._names]
        self._room = np.array([_amounts(n) for n in nodes], dtype=np.int64).reshape(-1, 2)
        self._pools = np.array([self._pool(n) for n in nodes], dtype=np.int64)
        free = [self._view.free(name) for name in self._names]
        self._free = np.array([(f.cpu_millicores, f.memory_bytes) for f in free], dtype=np.int64).reshape(
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
        new = list(nodes)
        amounts = np.array([_amounts(n.node) for n in new], dtype=np.int64).reshape(-1, 2)
        self._room = np.concatenate([self._room, amounts])
        self._free = np.concatenate([self._free, amounts])
        self._slots = np.append(self._slots, np.array([n.node.max_pods for n in new], dtype=np.int64))
        pools = np.array([self._pool(n.node) for n in new], dtype=np.int64)
        self._pools = np.concatenate([self._pools, pools])
        for standing in new:
            node = standing.node
            self._view.add_node(node)
            self._at[node.name] = len(self._names)
            self._names.append(node.name)
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
            cpu, memory = pod.requests.cpu_millicores, pod.requests.memory_bytes
            at = first_that_fits(free, slots, cpu, memory, 0)
            while at >= 0 and not self._view.fits(pod, self._names[at]):
                at = first_that_fits(free, slots, cpu, memory, at + 1)
            if at < 0:
                left.append(pod)
            else:
                free[at, 0] -= cpu
                free[at, 1] -= memory
                slots[at] -= 1
        return left

    def _schedule(self, pod: Pod) -> bool:
        cpu, memory = pod.requests.cpu_millicores, pod.requests.memory_bytes
        is_open = ANY_POOL if self._wants is None else self._wants.open_pools(pod)
        best = least_allocated(self._free, self._slots, self._room, cpu, memory, self._pools, is_open)
        if best < 0:
            return False
        if self._view.fits(pod, self._names[best]):
            self._place(pod, self._names[best])
            return True
        asked = np.array([cpu, memory], dtype=np.int64)
        able = np.flatnonzero((self._free >= asked).all(axis=1) & (self._slots > 0) & is_open[self._pools])
        room = np.maximum(self._room[able], 1)
        score = ((self._free[able] - asked) * 100 // room).sum(axis=1) // 2
        for at in able[np.lexsort((able, -score))].tolist():
            if at != best and self._view.fits(pod, self._names[at]):
                self._place(pod, self._names[at])
                return True
        return False

    def _pool(self, node: Node) -> int:
        return 0 if self._wants is None else self._wants.pool_of(node)

    def node_of(self, pod: Pod) -> str | None:
        """Name the node that a pod has found."""
        return self._view.node_of(pod.key)

    def _place(self, pod: Pod, name: str) -> None:
        self._view.place(pod, name)
        at = self._at[name]
        self._free[at, 0] -= pod.requests.cpu_millicores
        self._free[at, 1] -= pod.requests.memory_bytes
        self._slots[at] -= 1


def prepared(objects: ClusterObjects) -> ClusterView:
    """Give a view in which all that the pods' rules ask for is counted already: its copies need not do so again."""
    view = ClusterView.of(objects)
    for pod in objects.pods:
        view.first_fit(pod, ())
    return view


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
