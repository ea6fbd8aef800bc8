"""Deal the pods of each shape's classes out to planned nodes, within limits per node, spot pool and zone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns.problem import PlannedNode
from services.optimizer.domain.packing.classes import UNLIMITED, Ints, NodeLimit
from services.optimizer.domain.packing.demand import Demand, Load, Supply

SWAPS_TRIED = 400
"""Nodes of a zone that a pod without a place is tried on in the place of another."""


class _Here:
    """What is on one node."""

    def __init__(self, offer: int, demand: Demand) -> None:
        self.offer = offer
        self.counts: dict[int, int] = {}
        """Pods by class."""
        self._demand = demand
        self._pods: dict[NodeLimit, int] = {}
        self._holders: dict[NodeLimit, int] = {}

    def most(self, c: int) -> int:
        """Give how many more pods of a class may come by limits per node."""
        most = UNLIMITED
        for limit in self._demand.node_limits[c]:
            most = min(most, limit.at_most - self._pods.get(limit, 0))
        for limit in self._demand.counted[c]:
            if self._holders.get(limit, 0):
                most = min(most, limit.at_most - self._pods.get(limit, 0))
        return most

    def take(self, c: int, pods: int) -> None:
        """Count pods that came, or that left where there are fewer than none."""
        held, counted = self._demand.node_limits[c], self._demand.counted[c]
        for limit in held:
            self._holders[limit] = self._holders.get(limit, 0) + pods
        for limit in (*held, *counted):
            self._pods[limit] = self._pods.get(limit, 0) + pods
        self.counts[c] = self.counts.get(c, 0) + pods


@dataclass(frozen=True, slots=True)
class _Free:
    """A place on a node that nobody could take."""

    node: int
    shape: int


class Dealer:
    """Says which pods the planned nodes hold."""

    def __init__(self, supply: Supply, demand: Demand, members: Sequence[Sequence[int]], quota: Ints) -> None:
        self._supply, self._demand = supply, demand
        self._zone = demand.zone if demand.levels else np.zeros(len(supply.micro_usd), dtype=np.int64)
        self._quota = quota
        self.left = demand.counts.copy()
        """Pods without a node, by class."""
        self._used = demand.used.copy()
        # Those that hold limits choose first: whom they count keeps away from their nodes then.
        holds = [any(demand.node_limits[c] for c in m) for m in members]
        self._order = np.array(sorted(range(len(members)), key=lambda s: not holds[s]), dtype=np.int64)
        self._members = [list(m) for m in members]
        self._free: list[_Free] = []

    def deal(self, nodes: Sequence[PlannedNode]) -> list[Load]:
        """Give what each planned node holds; it may get fewer pods than planned."""
        here = [_Here(node.offer, self._demand) for node in nodes]
        for i, node in enumerate(nodes):
            self._fill(i, node, here[i])
        self._swap(here)
        loads = []
        for place in here:
            counts = np.zeros(len(self.left), dtype=np.int64)
            for c, pods in place.counts.items():
                counts[c] = pods
            loads.append(Load(place.offer, counts))
        return loads

    def _fill(self, at: int, node: PlannedNode, here: _Here) -> None:
        quota = self._quota[:, self._zone[node.offer]]
        for s in self._order[np.flatnonzero(node.counts[self._order])].tolist():
            wanted = int(node.counts[s])
            members = self._members[s]
            # Those of which most are left first: what is limited then runs out evenly.
            if len(members) > 1:
                may = np.minimum(self.left[members], quota[members])
                members = [members[i] for i in np.argsort(-may, kind="stable").tolist()]
            for c in members:
                taken = min(wanted, int(self.left[c]), int(quota[c]), here.most(c), self._most(c, node.offer))
                if taken <= 0:
                    continue
                self._put(here, c, taken)
                wanted -= taken
                if not wanted:
                    break
            self._free += [_Free(at, s)] * wanted

    def _swap(self, here: Sequence[_Here]) -> None:
        """Have a pod without a place take that of another, which goes to the place that nobody could take."""
        if not self._free or not self.left.any():
            return
        by_class: dict[tuple[int, int], list[int]] = {}
        for i, node in enumerate(here):
            for c in node.counts:
                by_class.setdefault((int(self._zone[node.offer]), c), []).append(i)
        for free in self._free:
            node = here[free.node]
            zone = int(self._zone[node.offer])
            members = self._members[free.shape]
            for c in members:
                if (
                    self.left[c] > 0
                    and self._quota[c, zone] > 0
                    and self._swapped(here, node, c, by_class, members)
                ):
                    break

    def _swapped(
        self,
        here: Sequence[_Here],
        node: _Here,
        c: int,
        by_class: dict[tuple[int, int], list[int]],
        members: Sequence[int],
    ) -> bool:
        if node.most(c) > 0 and self._most(c, node.offer) > 0:
            self._put(node, c, 1)
            return True
        zone = int(self._zone[node.offer])
        tried = 0
        for other in members:
            if other == c or node.most(other) <= 0 or self._most(other, node.offer) <= 0:
                continue
            for i in by_class.get((zone, other), ()):
                place = here[i]
                if place is node or place.counts.get(other, 0) <= 0:
                    continue
                tried += 1
                if tried > SWAPS_TRIED:
                    return False
                self._put(place, other, -1)
                if place.most(c) > 0 and self._most(c, place.offer) > 0:
                    self._put(place, c, 1)
                    self._put(node, other, 1)
                    by_class.setdefault((zone, c), []).append(i)
                    return True
                self._put(place, other, 1)
        return False

    def _put(self, here: _Here, c: int, pods: int) -> None:
        here.take(c, pods)
        self.left[c] -= pods
        self._quota[c, self._zone[here.offer]] -= pods
        if self._demand.workload[c] >= 0:
            self._used[here.offer, self._demand.workload[c]] += pods

    def _most(self, c: int, offer: int) -> int:
        w = int(self._demand.workload[c])
        if w < 0 or not self._supply.is_spot[offer]:
            return UNLIMITED
        return int(self._demand.per_spot_pool[c] - self._used[offer, w])
