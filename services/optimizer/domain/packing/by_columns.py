"""Ask the column solver for the nodes that a demand needs, and deal its pods out to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns.problem import Effort, Ending, PlannedNode
from services.optimizer.domain.columns.solve import never, solve_fleet
from services.optimizer.domain.packing.classes import Ints, NodeLimit
from services.optimizer.domain.packing.demand import Demand, Load, Supply
from services.optimizer.domain.packing.merging import merged


@dataclass(frozen=True, slots=True)
class Loads:
    """Nodes to launch with what each holds."""

    nodes: tuple[Load, ...]
    left: Ints
    """Per class: pods without a node."""
    ended_by: Ending


def loads(
    supply: Supply,
    demand: Demand,
    *,
    effort: Effort | None = None,
    should_stop: Callable[[], bool] = never,
) -> Loads:
    """Give the nodes to launch."""
    asked = merged(supply, demand)
    solution = solve_fleet(asked.problem, effort=effort, should_stop=should_stop)
    dealer = _Dealer(supply, demand, asked.members)
    nodes = tuple(dealer.load(node) for node in solution.nodes)
    return Loads(tuple(n for n in nodes if n.counts.any()), dealer.left, solution.ended_by)


class _Dealer:
    """Deals the pods of each shape's classes out to nodes, within limits per node and per spot pool."""

    def __init__(self, supply: Supply, demand: Demand, members: Sequence[Sequence[int]]) -> None:
        self._supply, self._demand, self._members = supply, demand, members
        self.left = demand.counts.copy()
        self._used = demand.used.copy()

    def load(self, node: PlannedNode) -> Load:
        """Give a planned node's pods by class; it may get fewer than planned."""
        counts = np.zeros(len(self.left), dtype=np.int64)
        here: dict[NodeLimit, int] = {}
        for s in np.flatnonzero(node.counts).tolist():
            wanted = int(node.counts[s])
            # Those of which most are left first: what is limited then runs out evenly.
            order = sorted(self._members[s], key=lambda c: (-int(self.left[c]), c))
            for c in order:
                taken = min(wanted, int(self.left[c]), self._most(c, node.offer, here))
                if taken <= 0:
                    continue
                counts[c] += taken
                self.left[c] -= taken
                wanted -= taken
                self._count(c, node.offer, taken, here)
                if not wanted:
                    break
        return Load(node.offer, counts)

    def _most(self, c: int, offer: int, here: dict[NodeLimit, int]) -> int:
        most = int(self._demand.counts[c])
        for limit in self._demand.node_limits[c]:
            most = min(most, limit.at_most - here.get(limit, 0))
        w = int(self._demand.workload[c])
        if w >= 0 and self._supply.is_spot[offer]:
            most = min(most, int(self._demand.per_spot_pool[c] - self._used[offer, w]))
        return most

    def _count(self, c: int, offer: int, taken: int, here: dict[NodeLimit, int]) -> None:
        for limit in self._demand.node_limits[c]:
            here[limit] = here.get(limit, 0) + taken
        w = int(self._demand.workload[c])
        if w >= 0:
            self._used[offer, w] += taken
