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
from services.optimizer.domain.staging import RULED, Stage, amounts
from shared.kernel.scheduling import ClusterView
from shared.kernel.scheduling.placement import size
from shared.kernel.workload import Node, Pod

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
    *(Run(_mixed(bytes([number])), is_ahead=number % 2 == 0) for number in range(12)),
)
SMALL_CLUSTER_PODS = 200
LARGE_CLUSTER_PODS = 500


def runs_for(pods: int) -> Sequence[Run]:
    """Give the runs to rehearse with: among few pods much depends on their order, and a run takes milliseconds."""
    if pods <= SMALL_CLUSTER_PODS:
        return RUNS
    return RUNS[:2] if pods > LARGE_CLUSTER_PODS else RUNS[:5]


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
    free: Ints,
    slots: Ints,
    room: Ints,
    cpu: int,
    memory: int,
    pools: Ints,
    is_open: Bools,
    permitted: Bools,
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
        permitted: per node: whether it may be there.
    """
    best, best_score = -1, -1
    for n in range(len(slots)):
        if slots[n] <= 0 or free[n, 0] < cpu or free[n, 1] < memory:
            continue
        if not (is_open[pools[n]] and permitted[n]):
            continue
        score = (free[n, 0] - cpu) * 100 // max(room[n, 0], 1)
        score += (free[n, 1] - memory) * 100 // max(room[n, 1], 1)
        score //= 2
        if score > best_score:
            best, best_score = n, score
    return best


@compiled
def first_that_fits(free: Ints, slots: Ints, cpu: int, memory: int, permitted: Bools, start: int) -> int:
    """Give the first permitted node from `start` on that has room for a pod of that size; -1: none."""
    for n in range(start, len(slots)):
        if slots[n] > 0 and free[n, 0] >= cpu and free[n, 1] >= memory and permitted[n]:
            return n
    return -1


@compiled
def settle(asked: Ints, kinds: Ints, free: Ints, slots: Ints, room: Ints, permitted: Bools) -> Ints:
    """Place pods one after the other on the least allocated node; give the node of each, -1: none.

    Args:
        asked: pod x (millicores, bytes).
        kinds: per pod: its row of `permitted`.
        free: as for least_allocated; what the pods take is taken off, as of the slots.
        slots: likewise.
        room: likewise.
        permitted: kind x node.
    """
    found = np.full(len(kinds), -1, dtype=np.int64)
    pools, is_open = np.zeros(len(slots), dtype=np.int64), np.ones(1, dtype=np.bool_)
    for i in range(len(kinds)):
        cpu, memory, row = asked[i, 0], asked[i, 1], permitted[kinds[i]]
        at = least_allocated(free, slots, room, cpu, memory, pools, is_open, row)
        if at >= 0:
            free[at, 0] -= cpu
            free[at, 1] -= memory
            slots[at] -= 1
            found[i] = at
    return found


@compiled
def fill(asked: Ints, kinds: Ints, free: Ints, slots: Ints, permitted: Bools) -> Ints:
    """Do as settle does, each pod on the first node that it fits."""
    found = np.full(len(kinds), -1, dtype=np.int64)
    for i in range(len(kinds)):
        at = first_that_fits(free, slots, asked[i, 0], asked[i, 1], permitted[kinds[i]], 0)
        if at >= 0:
            free[at, 0] -= asked[i, 0]
            free[at, 1] -= asked[i, 1]
            slots[at] -= 1
            found[i] = at
    return found


@dataclass(frozen=True, slots=True)
class Trouble:
    """A move of a rehearsal that left pods without a node."""

    move: int
    """Index of the move."""
    homeless: tuple[Pod, ...]


class Rehearsal:
    """A cluster in which moves are carried out, one run."""

    def __init__(self, stage: Stage, closed: Iterable[str], run: Run, *, wants: Wants | None = None) -> None:
        self._wants = wants
        """Given where pods are placed as policy wants it; kube-scheduler knows nothing of that."""
        self._stage = stage
        self._view = stage.view.copy()
        """Of the pods that rules between pods are about."""
        self._plain = {name: list(pods) for name, pods in stage.plain.items()}
        """All other pods, by node."""
        self._found: dict[str, str] = {}
        """Node by key of the pods that were placed one by one."""
        self._closed = set(closed)
        """Nodes that take no pods: cordoned or not ready."""
        self._run = run
        self._names = [n.name for n in stage.nodes]
        self._at = {name: i for i, name in enumerate(self._names)}
        # Rows of CPU and memory; growing in steps would copy them, so that all nodes are entered at once.
        self._room, self._free, self._slots = stage.room, stage.free.copy(), stage.slots.copy()
        self._pools = np.array([self._pool(n) for n in stage.nodes], dtype=np.int64)
        self._permitted = np.zeros((0, len(self._names)), dtype=np.bool_)
        """Kind x node."""
        self._new: list[Node] = []
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
        whole = np.array([amounts(n.node) for n in new], dtype=np.int64).reshape(-1, 2)
        self._room = np.concatenate([self._room, whole])
        self._free = np.concatenate([self._free, whole])
        self._slots = np.append(self._slots, np.array([n.node.max_pods for n in new], dtype=np.int64))
        pools = np.array([self._pool(n.node) for n in new], dtype=np.int64)
        self._pools = np.concatenate([self._pools, pools])
        more = [self._stage.permits(kind, [n.node for n in new]) for kind in range(len(self._permitted))]
        self._permitted = np.hstack(
            [self._permitted, np.array(more, dtype=np.bool_).reshape(len(more), len(new))]
        )
        for standing in new:
            node = standing.node
            self._new.append(node)
            self._view.add_node(node)
            self._plain[node.name] = []
            self._at[node.name] = len(self._names)
            self._names.append(node.name)
            for pod in standing.pods:
                if pod.is_daemon:
                    self._place(pod, len(self._names) - 1)

    def schedule(self, pods: Iterable[Pod]) -> list[Pod]:
        """Place pods that wait; give those that fit nowhere."""
        waiting, progress = sorted(pods, key=self._run.order), True
        kinds = [self._stage.kind_of(p) for p in waiting]
        if self._wants is None and RULED not in kinds:
            asked, rows, permitted = self._as_numbers(waiting, kinds)
            places = settle(asked, rows, self._free, self._slots, self._room, permitted).tolist()
            for pod, at in zip(waiting, places, strict=True):
                if at >= 0:
                    self._plain[self._names[at]].append(pod)
            return [pod for pod, at in zip(waiting, places, strict=True) if at < 0]
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
            evicted = [*self._view.remove_node(name), *self._plain.pop(name)]
            homeless += self.schedule(
                p for p in evicted if not (p.is_daemon or p.is_mirror or p.is_terminating)
            )
        return homeless

    def tight(self, names: Sequence[str]) -> list[Pod]:
        """Give the pods of these nodes for which a scheduler that fills node by node finds no room.

        The executor asks the same before it drains: a move that it would refuse is not worth proposing.
        """
        moving = [
            p
            for name in names
            for p in (*self._view.pods_on(name), *self._plain[name])
            if not (p.is_daemon or p.is_mirror or p.is_terminating)
        ]
        free, slots = self._free.copy(), self._slots.copy()
        slots[[self._at[name] for name in names]] = 0
        # As pods_all_fit does it, which the executor asks.
        waiting, progress = sorted(moving, key=size, reverse=True), True
        kinds = [self._stage.kind_of(p) for p in waiting]
        if RULED not in kinds:
            asked, rows, permitted = self._as_numbers(waiting, kinds)
            places = fill(asked, rows, free, slots, permitted).tolist()
            return [pod for pod, at in zip(waiting, places, strict=True) if at < 0]
        trial = self._view.copy()
        for name in {*names, *self._closed}.intersection(trial.node_names):
            trial.remove_node(name)
        while waiting and progress:
            left = [pod for pod in waiting if not self._takes(pod, trial, free, slots)]
            progress, waiting = len(left) < len(waiting), left
        return waiting

    def _as_numbers(self, pods: Sequence[Pod], kinds: Sequence[int]) -> tuple[Ints, Ints, Bools]:
        """Give what pods ask for that no rule is about, their kinds, and where these may be."""
        asked = [(p.requests.cpu_millicores, p.requests.memory_bytes) for p in pods]
        permitted = self._permitted_up_to(max(kinds, default=-1))
        return (
            np.array(asked, dtype=np.int64).reshape(-1, 2),
            np.array(kinds, dtype=np.int64),
            permitted,
        )

    def _takes(self, pod: Pod, trial: ClusterView, free: Ints, slots: Ints) -> bool:
        """Place a pod on the first node that it fits, if there is one."""
        cpu, memory = pod.requests.cpu_millicores, pod.requests.memory_bytes
        kind, permitted = self._stage.kind_of(pod), self._where_permitted(pod)
        at = first_that_fits(free, slots, cpu, memory, permitted, 0)
        while kind == RULED and at >= 0 and not trial.fits(pod, self._names[at]):
            at = first_that_fits(free, slots, cpu, memory, permitted, at + 1)
        if at < 0:
            return False
        if kind == RULED:
            trial.place(pod, self._names[at])
        free[at] -= (cpu, memory)
        slots[at] -= 1
        return True

    def _schedule(self, pod: Pod) -> bool:
        cpu, memory = pod.requests.cpu_millicores, pod.requests.memory_bytes
        is_open = ANY_POOL if self._wants is None else self._wants.open_pools(pod)
        permitted = self._where_permitted(pod)
        best = least_allocated(
            self._free, self._slots, self._room, cpu, memory, self._pools, is_open, permitted
        )
        if best < 0:
            return False
        if self._stage.kind_of(pod) != RULED or self._view.fits(pod, self._names[best]):
            self._place(pod, best)
            return True
        asked = np.array([cpu, memory], dtype=np.int64)
        able = np.flatnonzero((self._free >= asked).all(axis=1) & (self._slots > 0) & is_open[self._pools])
        room = np.maximum(self._room[able], 1)
        score = ((self._free[able] - asked) * 100 // room).sum(axis=1) // 2
        for at in able[np.lexsort((able, -score))].tolist():
            if at != best and self._view.fits(pod, self._names[at]):
                self._place(pod, at)
                return True
        return False

    def _where_permitted(self, pod: Pod) -> Bools:
        """Say of each node whether labels and taints permit the pod there; of a ruled one the view says it."""
        kind = self._stage.kind_of(pod)
        return (
            np.ones(len(self._names), dtype=np.bool_) if kind == RULED else self._permitted_up_to(kind)[kind]
        )

    def _permitted_up_to(self, kind: int) -> Bools:
        """Say it for kinds up to this, a row each."""
        known = len(self._permitted)
        if kind >= known:
            rows = [
                np.concatenate([self._stage.permitted(k), self._stage.permits(k, self._new)])
                for k in range(known, kind + 1)
            ]
            self._permitted = np.vstack([self._permitted, *rows])
        return self._permitted

    def _pool(self, node: Node) -> int:
        return 0 if self._wants is None else self._wants.pool_of(node)

    def node_of(self, pod: Pod) -> str | None:
        """Name the node that a pod has found, where policy had a say in it."""
        return self._found.get(pod.key)

    def _place(self, pod: Pod, at: int) -> None:
        name = self._names[at]
        if self._stage.kind_of(pod) == RULED:
            self._view.place(pod, name)
        else:
            self._plain[name].append(pod)
        self._found[pod.key] = name
        self._free[at] -= (pod.requests.cpu_millicores, pod.requests.memory_bytes)
        self._slots[at] -= 1
