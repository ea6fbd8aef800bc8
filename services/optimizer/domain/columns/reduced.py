"""The problem without what cannot matter, in an order that does not depend on how it was given.

An offer is left out when another has as much room of everything, takes as many kinds of pods, costs no more
and is unlimited: whatever it holds, the other holds. Requests are counted in their greatest common divisor.
"""

from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.columns.problem import UNBOUNDED, FleetProblem

NANO = 1000
"""Inside the solver money is counted in 1e-9 USD, so that what a small pod is worth has digits enough."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """The arrays that the solver works on."""

    requests: Ints
    counts: Ints
    per_node: Ints
    room: Ints
    nano_usd: Ints
    allowed: Bools
    copies: Ints
    pod_nano_usd: Ints
    shapes: Ints
    """Which shape of the problem each row is."""
    offers: Ints
    """Which offer of the problem each row is."""

    @property
    def limited(self) -> Ints:
        """Give the offers of which there are only so many."""
        return np.flatnonzero(self.copies < UNBOUNDED)


def reduce(problem: FleetProblem) -> Reduced:
    """Leave out what cannot matter, and settle the order."""
    if problem.own.size or problem.limits:
        raise ValueError("own pods and limits are not solved for yet")
    offers, shapes = len(problem.micro_usd), len(problem.counts)
    per_node = problem.per_node if problem.per_node.size else np.full(shapes, UNBOUNDED, dtype=np.int64)
    copies = problem.copies if problem.copies.size else np.full(offers, UNBOUNDED, dtype=np.int64)
    holds = problem.allowed & (per_node > 0) & (copies > 0)[:, None]
    for r in range(problem.requests.shape[1]):
        holds &= problem.requests[:, r] <= problem.room[:, r][:, None]
    live = np.flatnonzero(holds.any(axis=0) & (problem.counts > 0))
    useful = np.flatnonzero(holds[:, live].any(axis=1))
    live = live[_order(_shape_keys(problem, live, per_node, holds[useful]))]
    holds = holds[np.ix_(useful, live)]
    costs = problem.pod_micro_usd[np.ix_(useful, live)] if problem.pod_micro_usd.size else None
    useful_order = _order(_offer_keys(problem, useful, copies, holds, problem.requests[live]))
    useful, holds = useful[useful_order], holds[useful_order]
    costs = None if costs is None else costs[useful_order]
    kept = _undominated(problem.room[useful], problem.micro_usd[useful], copies[useful], holds, costs)
    useful, holds = useful[kept], holds[kept]
    requests, room = _scaled(problem.requests[live], problem.room[useful])
    return Reduced(
        requests=requests,
        counts=problem.counts[live].astype(np.int64),
        per_node=per_node[live],
        room=room,
        nano_usd=problem.micro_usd[useful] * NANO,
        allowed=np.ascontiguousarray(holds),
        copies=copies[useful],
        pod_nano_usd=np.zeros((0, 0), dtype=np.int64) if costs is None else costs[kept] * NANO,
        shapes=live,
        offers=useful,
    )


def _order(keys: list[Ints]) -> Ints:
    return np.lexsort(keys[::-1]).astype(np.int64)


def _shape_keys(problem: FleetProblem, live: Ints, per_node: Ints, holds: Bools) -> list[Ints]:
    columns = [-problem.requests[live, r] for r in range(problem.requests.shape[1])]
    prices = problem.micro_usd @ problem.allowed[:, live]
    return [*columns, per_node[live], problem.counts[live], prices, holds[:, live].sum(axis=0)]


def _offer_keys(
    problem: FleetProblem, useful: Ints, copies: Ints, holds: Bools, requests: Ints
) -> list[Ints]:
    columns = [-problem.room[useful, r] for r in range(problem.room.shape[1])]
    # Which shapes an offer takes, as numbers that do not depend on how the shapes were numbered.
    taken = holds.astype(np.int64) @ requests
    return [
        problem.micro_usd[useful],
        *columns,
        -copies[useful],
        *(-taken[:, r] for r in range(taken.shape[1])),
    ]


def _undominated(room: Ints, prices: Ints, copies: Ints, holds: Bools, costs: Ints | None) -> Ints:
    # In order of price, so that only earlier ones can be better.
    kept: list[int] = []
    better: list[int] = []
    for o in range(len(prices)):
        if better:
            rivals = np.array(better, dtype=np.int64)
            rivals = rivals[(room[rivals] >= room[o]).all(axis=1)]
            rivals = rivals[(holds[rivals] | ~holds[o]).all(axis=1)]
            if costs is not None and len(rivals):
                rivals = rivals[(costs[rivals] <= costs[o]).all(axis=1)]
            if len(rivals):
                continue
        kept.append(o)
        if copies[o] >= UNBOUNDED:
            better.append(o)
    return np.array(kept, dtype=np.int64)


def _scaled(requests: Ints, room: Ints) -> tuple[Ints, Ints]:
    requests, room = requests.astype(np.int64), room.astype(np.int64)
    used = [r for r in range(requests.shape[1]) if len(requests) and requests[:, r].any()]
    requests, room = requests[:, used], room[:, used]
    for r in range(len(used)):
        divisor = int(np.gcd.reduce(requests[:, r]))
        requests[:, r] //= divisor
        room[:, r] //= divisor
    return np.ascontiguousarray(requests), np.ascontiguousarray(room)
