"""Ask the column solver for the nodes that a demand needs, and deal its pods out to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain.columns.problem import Effort, Ending, PlannedNode
from services.optimizer.domain.columns.proofs import Proofs
from services.optimizer.domain.columns.solve import never, solve_fleet
from services.optimizer.domain.packing.classes import UNLIMITED, Ints, NodeLimit
from services.optimizer.domain.packing.demand import Demand, Load, Supply
from services.optimizer.domain.packing.merging import merged

SHAPES_FOR_ALL_EFFORT = 50
ROUNDS, IMPROVEMENTS = 40, 8
"""Of effort for more shapes: rounds take longer there, and gain little of what rounding loses."""


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
    proofs: Proofs | None = None,
) -> Loads:
    """Give the nodes to launch."""
    asked = merged(supply, demand)
    effort = effort or Effort()
    if len(asked.members) > SHAPES_FOR_ALL_EFFORT:
        effort = replace(
            effort, rounds=min(effort.rounds, ROUNDS), improvements=min(effort.improvements, IMPROVEMENTS)
        )
    solution = solve_fleet(asked.problem, effort=effort, should_stop=should_stop, proofs=proofs)
    dealer = _Dealer(supply, demand, asked.members)
    nodes = tuple(dealer.load(node) for node in solution.nodes)
    return Loads(tuple(n for n in nodes if n.counts.any()), dealer.left, solution.ended_by)


class _Here:
    """What limits per node have on one node."""

    def __init__(self) -> None:
        self._pods: dict[NodeLimit, int] = {}
        self._holders: set[NodeLimit] = set()

    def most(self, held: Sequence[NodeLimit], counted: Sequence[NodeLimit]) -> int:
        """Give how many more pods may come that hold some limits and are counted by others."""
        most = UNLIMITED
        for limit in held:
            most = min(most, limit.at_most - self._pods.get(limit, 0))
        for limit in counted:
            if limit in self._holders:
                most = min(most, limit.at_most - self._pods.get(limit, 0))
        return most

    def take(self, held: Sequence[NodeLimit], counted: Sequence[NodeLimit], pods: int) -> None:
        """Count pods that came."""
        self._holders.update(held)
        for limit in (*held, *counted):
            self._pods[limit] = self._pods.get(limit, 0) + pods


class _Dealer:
    """Deals the pods of each shape's classes out to nodes, within limits per node and per spot pool."""

    def __init__(self, supply: Supply, demand: Demand, members: Sequence[Sequence[int]]) -> None:
        self._supply, self._demand = supply, demand
        self.left = demand.counts.copy()
        self._used = demand.used.copy()
        # Those that hold limits choose first: whom they count keeps away from their nodes then.
        holds = [any(demand.node_limits[c] for c in m) for m in members]
        self._order = np.array(sorted(range(len(members)), key=lambda s: not holds[s]), dtype=np.int64)
        self._members = [list(m) for m in members]

    def load(self, node: PlannedNode) -> Load:
        """Give a planned node's pods by class; it may get fewer than planned."""
        counts = np.zeros(len(self.left), dtype=np.int64)
        here = _Here()
        for s in self._order[np.flatnonzero(node.counts[self._order])].tolist():
            wanted = int(node.counts[s])
            members = self._members[s]
            # Those of which most are left first: what is limited then runs out evenly.
            for c in sorted(members, key=lambda c: (-int(self.left[c]), c)) if len(members) > 1 else members:
                held, counted = self._demand.node_limits[c], self._demand.counted[c]
                taken = min(wanted, int(self.left[c]), here.most(held, counted), self._most(c, node.offer))
                if taken <= 0:
                    continue
                counts[c] += taken
                self.left[c] -= taken
                wanted -= taken
                here.take(held, counted, taken)
                if self._demand.workload[c] >= 0:
                    self._used[node.offer, self._demand.workload[c]] += taken
                if not wanted:
                    break
        return Load(node.offer, counts)

    def _most(self, c: int, offer: int) -> int:
        w = int(self._demand.workload[c])
        if w < 0 or not self._supply.is_spot[offer]:
            return UNLIMITED
        return int(self._demand.per_spot_pool[c] - self._used[offer, w])
