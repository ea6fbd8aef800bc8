"""A packing under way: what is placed, what waits, which nodes are to be launched."""

from collections.abc import Iterator, Sequence

import numpy as np

from services.optimizer.domain.diversification import Shares, pool_name
from services.optimizer.domain.packing.aims import Aims
from services.optimizer.domain.packing.classes import UNLIMITED, Columns, Ints, PodClass
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.rules import PlanRules
from shared.kernel.pools import CapacityType
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects, Node, Pod, Volume

WORKLOADS = "workload"
"""The limits on how many replicas of a workload a spot pool may hold."""


class Scene:
    """The cluster that stays, with what is added to it."""

    def __init__(
        self,
        shelf: Shelf,
        kept: ClusterObjects,
        classes: Sequence[PodClass],
        columns: Columns,
        names: Iterator[str],
        rules: PlanRules,
        *,
        like: ClusterView | None = None,
    ) -> None:
        """Place nothing yet; `like` is a view of a cluster with the same volumes and namespaces."""
        self.shelf = shelf
        self.kept = kept
        self.columns = columns
        self.view = ClusterView.of(kept, like=like)
        self.claims: dict[str, Volume] | None = {v.key: v for v in kept.volumes} or None
        self.classes = list(classes)
        self.left: list[list[Pod]] = [list(c.pods) for c in classes]
        """Pods that wait, by class."""
        self.onto_kept: dict[str, str] = {}
        """Node name by pod key."""
        self.new: dict[str, tuple[Node, int]] = {}
        """Node and row of the shelf, by name."""
        self.held: dict[str, list[Pod]] = {}
        self.aims = Aims()
        """How zones are to be level."""
        self._names = names
        self._in_pool: dict[tuple[str, str], int] = {}
        """Replicas by controller and spot pool, of the controllers that have a limit per spot pool."""
        self._limited = {c.workload for c in classes if c.workload is not None}
        self._holds_workloads = True
        standing = [p for p in kept.pods if not (p.is_daemon or p.is_mirror or p.is_finished)]
        all_pods = [*standing, *(p for c in classes for p in c.pods)]
        self.shares = Shares(rules, sum(p.requests.cpu_millicores for p in all_pods))
        by_name = {n.name: n for n in kept.nodes} if self.has_limits else {}
        for pod in standing:
            if pod.node_name in by_name:
                self._count(pod, by_name[pod.node_name])

    @property
    def waiting(self) -> int:
        """Count the pods without a node."""
        return sum(map(len, self.left))

    def pool_room(self, kind: PodClass, node: Node) -> int:
        """Give how many more pods of the class the node's pool and zone may hold."""
        shared = self.shares.room(node, kind.sample.requests.cpu_millicores) if self.shares else None
        room = UNLIMITED if shared is None else shared
        if self.aims:
            room = min(room, self.aims.room(kind.sample, node.zone_id))
        if not self._holds_workloads or node.capacity_type is not CapacityType.SPOT:
            return room
        if kind.workload not in self._limited:
            return room
        return min(room, kind.per_spot_pool - self._in_pool.get((kind.workload, pool_name(node)), 0))

    @property
    def has_limits(self) -> bool:
        """Whether some pool or zone is limited."""
        return bool(self._limited or self.shares)

    def liftings(self) -> Iterator[frozenset[str]]:
        """Give which limits to lift, one way after the other: what matters least first, all of them last."""
        kinds = (*self.shares.kinds, *([WORKLOADS] if self._limited else []))
        # Two that matter less are lifted before one that matters more: the loss of a pool must not take a workload.
        for number in range(1, 2 ** len(kinds)):
            yield frozenset(kind for bit, kind in enumerate(kinds) if number >> bit & 1)

    def lift(self, kinds: frozenset[str]) -> None:
        """Hold pods to none of these limits from now on, and to all others."""
        self.shares.lift(kinds)
        self._holds_workloads = WORKLOADS not in kinds

    def _count(self, pod: Pod, node: Node, number: int = 1) -> None:
        self.shares.add(node, number * pod.requests.cpu_millicores)
        if pod.owner is None or node.capacity_type is not CapacityType.SPOT:
            return
        workload = f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}"
        if workload in self._limited:
            key = (workload, pool_name(node))
            self._in_pool[key] = self._in_pool.get(key, 0) + number

    def copies_left(self, row: int) -> int:
        """Give how many more nodes of an offer there may be."""
        most = self.shelf.copies[row]
        return UNLIMITED if most is None else most - sum(r == row for _, r in self.new.values())

    def launch(self, row: int) -> str:
        """Add a node of an offer, with its daemons; give its name."""
        name = next(self._names)
        node = self.shelf.node(row, name)
        self.view.add_node(node)
        for pod in self.shelf.daemons_on(row, node):
            self.view.place(pod, name)
        self.new[name] = (node, row)
        self.held[name] = []
        return name

    def withdraw(self, name: str) -> None:
        """Take a node back that holds nothing."""
        self.view.remove_node(name)
        del self.new[name], self.held[name]

    def put(self, pod: Pod, name: str) -> None:
        """Place a pod on a node to launch."""
        self.view.place(pod, name)
        self.held[name].append(pod)
        node = self.new[name][0]
        self._count(pod, node)
        if self.aims:
            self.aims.take(pod, node.zone_id)

    def put_onto_kept(self, pod: Pod, name: str) -> None:
        """Place a pod on a node that stays."""
        self.view.place(pod, name)
        self.onto_kept[pod.key] = name
        if self.has_limits:
            self._count(pod, self.view.node(name))
        if self.aims:
            self.aims.take(pod, self.view.node(name).zone_id)

    def take_back(self, pod: Pod, name: str) -> None:
        """Take a pod off a node to launch; not where zones are to be level."""
        self.view.remove(pod.key)
        self.held[name] = [p for p in self.held[name] if p.key != pod.key]
        self._count(pod, self.new[name][0], -1)

    def take_back_from_kept(self, pod: Pod, name: str) -> None:
        """Take a pod off a node that stays, where it was placed; not where zones are to be level."""
        self.view.remove(pod.key)
        del self.onto_kept[pod.key]
        if self.has_limits:
            self._count(pod, self.view.node(name), -1)

    def free(self, names: Sequence[str]) -> Ints:
        """Give what is free on nodes, a row each; never negative."""
        rows = [self.columns.of_room(self.view.free(n), self.view.free_pods(n)) for n in names]
        found: Ints = np.array(rows, dtype=np.int64).reshape(len(rows), 4 + len(self.columns.extended))
        return np.maximum(found, 0)
