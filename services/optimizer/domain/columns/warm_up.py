"""Compile everything before it is needed: the first plan of a process should not wait for a compiler."""

import numpy as np

from services.optimizer.domain.columns.problem import Effort, FleetProblem, FleetSolution
from services.optimizer.domain.columns.solve import solve_fleet


def warm_up() -> FleetSolution:
    """Solve a problem so small that only compiling takes time, by every kernel there is."""
    return solve_fleet(
        FleetProblem(
            requests=np.array([[700, 900, 1], [1100, 300, 1], [310, 2100, 1]], dtype=np.int64),
            counts=np.array([5, 4, 3], dtype=np.int64),
            room=np.array([[1900, 3000, 8], [3900, 7000, 20], [3900, 3000, 20]], dtype=np.int64),
            micro_usd=np.array([90_000, 190_000, 150_000], dtype=np.int64),
            allowed=np.ones((3, 3), dtype=np.bool_),
        ),
        effort=Effort(tolerance_ratio=0.0),
    )
