"""A packing under way: what is placed, what waits, which nodes are to be launched."""

from collections.abc import Iterator, Sequence

import numpy as np

from services.optimizer.domain.packing.classes import Columns, Ints, PodClass
from services.optimizer.domain.packing.shelf import Shelf
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects, Node, Pod, Volume


class Scene:
    """The cluster that stays, with what is added to it."""

    def __init__(
        self,
        shelf: Shelf,
        kept: ClusterObjects,
        classes: Sequence[PodClass],
        columns: Columns,
        names: Iterator[str],
    ) -> None:
        self.shelf = shelf
        self.kept = kept
        self.columns = columns
        self.view = ClusterView.of(kept)
        self.claims: dict[str, Volume] | None = {v.key: v for v in kept.volumes} or None
        self.classes = list(classes)
        self.left: list[list[Pod]] = [list(c.pods) for c in classes]
        """Pods that wait, by class."""
        self.onto_kept: dict[str, str] = {}
        """Node name by pod key."""
        self.new: dict[str, tuple[Node, int]] = {}
        """Node and row of the shelf, by name."""
        self.held: dict[str, list[Pod]] = {}
        self._names = names

    @property
    def waiting(self) -> int:
        """Count the pods without a node."""
        return sum(map(len, self.left))

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

    def put_onto_kept(self, pod: Pod, name: str) -> None:
        """Place a pod on a node that stays."""
        self.view.place(pod, name)
        self.onto_kept[pod.key] = name

    def free(self, names: Sequence[str]) -> Ints:
        """Give what is free on nodes, a row each; never negative."""
        rows = [self.columns.of_room(self.view.free(n), self.view.free_pods(n)) for n in names]
        found: Ints = np.array(rows, dtype=np.int64).reshape(len(rows), 4 + len(self.columns.extended))
        return np.maximum(found, 0)
