"""Ask the column solver for the nodes that a demand needs, and deal its pods out to them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain.columns import solve
from services.optimizer.domain.columns.problem import Effort, Ending
from services.optimizer.domain.columns.proofs import Proofs
from services.optimizer.domain.columns.solve import never, solve_fleet
from services.optimizer.domain.packing.classes import Ints
from services.optimizer.domain.packing.dealing import Dealer
from services.optimizer.domain.packing.demand import Demand, Load, Supply
from services.optimizer.domain.packing.merging import merged
from services.optimizer.domain.packing.quotas import quotas

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
    dealer = Dealer(supply, demand, asked.members, quotas(demand, asked.members, solution.nodes))
    nodes = dealer.deal(solution.nodes)
    return Loads(tuple(n for n in nodes if n.counts.any()), dealer.left, solution.ended_by)


def outlook(
    supply: Supply,
    demand: Demand,
    zones: int,
    *,
    effort: Effort,
    should_stop: Callable[[], bool] = never,
    proofs: Proofs | None = None,
) -> Ints:
    """Give class x zone: in thousandths, how many pods go there in a relaxation."""
    asked = merged(supply, demand)
    told = solve.outlook(
        asked.problem, demand.zone, zones, effort=effort, should_stop=should_stop, proofs=proofs
    )
    found = np.zeros((len(demand.counts), zones), dtype=np.int64)
    for shape, members in enumerate(asked.members):
        counts = demand.counts[list(members)]
        found[list(members)] = told[shape] * counts[:, None] // max(int(counts.sum()), 1)
    return found
