"""Ask the column solver for the nodes that a demand needs; it holds all but limits per spot pool.

Where such limits bind, their replicas would be refused a node afterwards: then nothing is asked.
"""

from collections.abc import Callable

import numpy as np

from services.optimizer.domain.columns.problem import UNBOUNDED, Effort, FleetProblem
from services.optimizer.domain.columns.solve import never, solve_fleet
from services.optimizer.domain.packing.classes import Ints
from services.optimizer.domain.packing.fill import Demand, Load, Supply


def problem_of(supply: Supply, demand: Demand) -> FleetProblem:
    """Put a demand and a supply as the solver takes them."""
    risk = np.floor(supply.risk_micro_usd).astype(np.int64)
    return FleetProblem(
        requests=demand.requests,
        counts=demand.counts,
        room=np.maximum(supply.room, 0),
        micro_usd=supply.micro_usd,
        allowed=demand.allowed,
        per_node=np.minimum(demand.per_node, UNBOUNDED),
        pod_micro_usd=np.repeat(risk[:, None], len(demand.counts), axis=1),
    )


def loads(
    supply: Supply,
    demand: Demand,
    *,
    effort: Effort | None = None,
    should_stop: Callable[[], bool] = never,
) -> tuple[list[Load], Ints] | None:
    """Give the nodes to launch and the pods of each class without one; None when a limit per pool may bind."""
    on_spot = demand.allowed[supply.is_spot].any(axis=0)
    if (on_spot & (demand.per_spot_pool < demand.counts)).any():
        return None
    solution = solve_fleet(problem_of(supply, demand), effort=effort, should_stop=should_stop)
    return [Load(node.offer, node.counts) for node in solution.nodes], solution.unplaced
