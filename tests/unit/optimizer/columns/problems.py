"""Problems to draw from, and what must hold of every answer."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from services.optimizer.domain.columns.problem import UNBOUNDED, FleetProblem, FleetSolution, Limit


@st.composite
def problems(draw: st.DrawFn, *, pods: int = 6, plain: bool = False, limited: bool = False) -> FleetProblem:
    """Give small problems.

    Plain ones have neither limits nor costs per pod, and take every pod somewhere; limited ones have limits, and
    often nodes with pods of their own.
    """
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
    own: list[list[int]] | None = None
    has_copies = draw(st.booleans())
    if limited and draw(st.booleans()):
        has_copies = True
        free = list(counts)
        own = [[0] * shapes for _ in range(offers)]
        for o in range(offers):
            if copies[o] < UNBOUNDED:
                own[o] = [draw(st.integers(0, n // copies[o])) for n in free]
                free = [n - copies[o] * h for n, h in zip(free, own[o], strict=True)]
                prices[o] = draw(st.sampled_from([prices[o], 0]))
    return made(
        requests,
        counts,
        room,
        prices,
        allowed,
        per_node=per_node if draw(st.booleans()) else None,
        copies=copies if has_copies else None,
        costs=costs if draw(st.booleans()) else None,
        own=own,
        limits=[draw(limits(shapes, offers)) for _ in range(draw(st.integers(1, 3)))] if limited else (),
    )


@st.composite
def limits(draw: st.DrawFn, shapes: int, offers: int) -> Limit:
    """Give limits over one to three groups."""
    groups = draw(st.integers(1, 3))
    return limit(
        [draw(st.sampled_from([0, 1, 1, 3])) for _ in range(shapes)],
        [draw(st.integers(-1, groups - 1)) for _ in range(offers)],
        [draw(st.integers(0, 6)) for _ in range(groups)],
    )


def limit(weights: list[int], group: list[int], at_most: list[int]) -> Limit:
    """Give a limit from lists."""
    return Limit(
        weights=np.array(weights, dtype=np.int64),
        group=np.array(group, dtype=np.int64),
        at_most=np.array(at_most, dtype=np.int64),
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
    own: list[list[int]] | None = None,
    limits: Sequence[Limit] = (),
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
        own=np.array(own or np.zeros((0, 0)), dtype=np.int64),
        limits=tuple(limits),
    )


def crowded() -> FleetProblem:
    """Give sixty workloads of twelve replicas, of which no pool of four hundred may hold more than four."""
    rng = np.random.default_rng(3)
    workloads, offers = 60, 400
    requests = np.stack([rng.integers(1, 16, workloads) * 100, rng.integers(1, 16, workloads) * 256], axis=1)
    cpu = rng.integers(2, 33, offers) * 1000
    pool = np.arange(offers)
    return FleetProblem(
        requests=requests,
        counts=np.full(workloads, 12, dtype=np.int64),
        room=np.stack([cpu, cpu * rng.integers(2, 9, offers)], axis=1),
        micro_usd=cpu * rng.integers(30, 60, offers) // 10,
        allowed=np.ones((offers, workloads), dtype=np.bool_),
        limits=tuple(
            Limit(
                weights=(np.arange(workloads) == w).astype(np.int64),
                group=pool,
                at_most=np.full(offers, 4, dtype=np.int64),
            )
            for w in range(workloads)
        ),
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
        own = problem.own[node.offer] if problem.own.size else np.zeros_like(node.counts)
        more = node.counts - own
        if (more @ problem.requests > problem.room[node.offer]).any():
            found.append(f"{node} holds more than it has room for")
        if (more < 0).any() or not node.counts.any():
            found.append(f"{node} holds nothing, or less than its own pods")
        if (more[~problem.allowed[node.offer]] > 0).any():
            found.append(f"{node} holds what may not run there")
        if problem.per_node.size and ((node.counts > problem.per_node) & (more > 0)).any():
            found.append(f"{node} holds too many of a kind")
    for limit in problem.limits:
        for group, at_most in enumerate(limit.at_most):
            held = sum(int(limit.weights @ n.counts) for n in solution.nodes if limit.group[n.offer] == group)
            if held > at_most:
                found.append(f"{held} in group {group} of {limit}")
    if problem.copies.size and (used > problem.copies).any():
        found.append("more copies than there are")
    if (placed + solution.unplaced != problem.counts).any() or (solution.unplaced < 0).any():
        found.append("pods were lost or invented")
    if cost != solution.micro_usd:
        found.append(f"costs {cost}, not {solution.micro_usd}")
    if solution.lower_bound_micro_usd > solution.micro_usd:
        found.append(f"bound {solution.lower_bound_micro_usd} above {solution.micro_usd}")
    return found
