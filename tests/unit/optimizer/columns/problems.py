"""Problems to draw from, and what must hold of every answer."""

import numpy as np
from hypothesis import strategies as st

from services.optimizer.domain.columns.problem import UNBOUNDED, FleetProblem, FleetSolution


@st.composite
def problems(draw: st.DrawFn, *, pods: int = 6, plain: bool = False) -> FleetProblem:
    """Give small problems; plain ones have neither limits nor costs per pod, and take every pod somewhere."""
    shapes = draw(st.integers(1, 3))
    offers = draw(st.integers(1, 4))
    requests = [[draw(st.integers(1, 9)), draw(st.integers(0, 9)), 1] for _ in range(shapes)]
    counts = [draw(st.integers(0, max(pods // shapes, 1))) for _ in range(shapes)]
    room = [
        [draw(st.integers(1, 20)), draw(st.integers(1, 20)), draw(st.integers(1, 6))] for _ in range(offers)
    ]
    prices = [draw(st.integers(1, 60)) for _ in range(offers)]
    allowed = [[draw(st.booleans()) or draw(st.booleans()) for _ in range(shapes)] for _ in range(offers)]
    if plain:
        room[0], allowed[0] = [20, 20, 6], [True] * shapes
        return made(requests, counts, room, prices, allowed)
    per_node = [draw(st.sampled_from([1, 2, UNBOUNDED])) for _ in range(shapes)]
    copies = [draw(st.sampled_from([1, 2, UNBOUNDED, UNBOUNDED])) for _ in range(offers)]
    costs = [[draw(st.integers(0, 9)) for _ in range(shapes)] for _ in range(offers)]
    return made(
        requests,
        counts,
        room,
        prices,
        allowed,
        per_node=per_node if draw(st.booleans()) else None,
        copies=copies if draw(st.booleans()) else None,
        costs=costs if draw(st.booleans()) else None,
    )


def made(
    requests: list[list[int]],
    counts: list[int],
    room: list[list[int]],
    prices: list[int],
    allowed: list[list[bool]] | None = None,
    *,
    per_node: list[int] | None = None,
    copies: list[int] | None = None,
    costs: list[list[int]] | None = None,
) -> FleetProblem:
    """Give a problem from lists."""
    everywhere = [[True] * len(counts) for _ in prices]
    return FleetProblem(
        requests=np.array(requests, dtype=np.int64),
        counts=np.array(counts, dtype=np.int64),
        room=np.array(room, dtype=np.int64),
        micro_usd=np.array(prices, dtype=np.int64),
        allowed=np.array(everywhere if allowed is None else allowed, dtype=np.bool_),
        per_node=np.array(per_node or [], dtype=np.int64),
        copies=np.array(copies or [], dtype=np.int64),
        pod_micro_usd=np.array(costs or np.zeros((0, 0)), dtype=np.int64),
    )


def wrongs(problem: FleetProblem, solution: FleetSolution) -> list[str]:
    """Say what is wrong with an answer; nothing must be."""
    found = []
    placed = np.zeros_like(problem.counts)
    used = np.zeros(len(problem.micro_usd), dtype=np.int64)
    cost = 0
    for node in solution.nodes:
        placed += node.counts
        used[node.offer] += 1
        cost += int(problem.micro_usd[node.offer])
        if problem.pod_micro_usd.size:
            cost += int(problem.pod_micro_usd[node.offer] @ node.counts)
        if (node.counts @ problem.requests > problem.room[node.offer]).any():
            found.append(f"{node} holds more than it has room for")
        if (node.counts < 0).any() or not node.counts.any():
            found.append(f"{node} holds nothing, or less")
        if (node.counts[~problem.allowed[node.offer]] > 0).any():
            found.append(f"{node} holds what may not run there")
        if problem.per_node.size and (node.counts > problem.per_node).any():
            found.append(f"{node} holds too many of a kind")
    if problem.copies.size and (used > problem.copies).any():
        found.append("more copies than there are")
    if (placed + solution.unplaced != problem.counts).any() or (solution.unplaced < 0).any():
        found.append("pods were lost or invented")
    if cost != solution.micro_usd:
        found.append(f"costs {cost}, not {solution.micro_usd}")
    if solution.lower_bound_micro_usd > solution.micro_usd:
        found.append(f"bound {solution.lower_bound_micro_usd} above {solution.micro_usd}")
    return found
