"""The baseline: max-fill first-fit-decreasing, as Karpenter's documentation and design notes describe it.

Pods go, largest first, to the first planned node that some instance type could still be; else to a new one. At
the end each node becomes the cheapest type that holds its pods. Pods of one shape are placed at once, which
gives the same fleet as one by one.
"""

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.problem import FleetProblem


def first_fit(problem: FleetProblem) -> tuple[int, int]:
    """Give the micro-USD an hour and the nodes of the fleet."""
    requests, counts = problem.requests, problem.counts
    order = np.lexsort((-requests[:, 1], -requests[:, 0], -requests[:, 3]))
    used: list[Ints] = []
    types: list[Ints] = []
    for s in order.tolist():
        left = int(counts[s])
        at = 0
        while left > 0:
            if at == len(used):
                used.append(np.zeros(requests.shape[1], dtype=np.int64))
                types.append(np.flatnonzero(problem.allowed[:, s]))
            possible = types[at][problem.allowed[types[at], s]]
            fit = _fit(problem.room[possible] - used[at], requests[s])
            most = min(int(fit.max(initial=0)), left)
            if most > 0:
                used[at] = used[at] + most * requests[s]
                types[at] = possible[fit >= most]
                left -= most
            elif not used[at].any():
                raise ValueError(f"a pod of {requests[s].tolist()} fits nowhere")
            at += 1
    return sum(int(problem.micro_usd[t].min()) for t in types), len(types)


def _fit(free: Ints, request: Ints) -> Ints:
    needed = np.flatnonzero(request)
    fit: Ints = (free[:, needed] // request[needed]).min(axis=1) if len(free) else np.zeros(0, dtype=np.int64)
    return fit
