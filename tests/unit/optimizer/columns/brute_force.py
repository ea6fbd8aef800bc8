"""The cheapest fleet by trying everything: slow, obvious, and sharing nothing with the solver."""

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from services.optimizer.domain.columns.problem import FleetProblem

TOO_MUCH = 10**15


def cheapest(problem: FleetProblem) -> int | None:
    """Give the least that holds all pods, in micro-USD; None when nothing does."""
    offers = len(problem.micro_usd)
    copies = tuple(int(c) for c in problem.copies) if problem.copies.size else (10**9,) * offers
    options = [list(loads(problem, o)) for o in range(offers)]

    @functools.cache
    def best(left: tuple[int, ...], spare: tuple[int, ...], amounts: tuple[int, ...]) -> int:
        if not any(left):
            return 0
        first = next(i for i, n in enumerate(left) if n)
        least = TOO_MUCH
        for o in range(offers):
            if spare[o] == 0:
                continue
            after = tuple(n - (i == o and n < 10**9) for i, n in enumerate(spare))
            for load, price in options[o]:
                if load[first] and all(a <= b for a, b in zip(load, left, strict=True)):
                    rest = tuple(b - a for a, b in zip(load, left, strict=True))
                    less = _amounts_after(problem, o, load, amounts)
                    if min(less, default=0) >= 0:
                        least = min(least, price + best(rest, after, less))
        return least

    amounts = tuple(int(a) for limit in problem.limits for a in limit.at_most)
    found = best(tuple(int(c) for c in problem.counts), copies, amounts)
    return None if found >= TOO_MUCH else found


def _amounts_after(
    problem: FleetProblem, offer: int, load: tuple[int, ...], amounts: tuple[int, ...]
) -> tuple[int, ...]:
    less, start = list(amounts), 0
    for limit in problem.limits:
        group = int(limit.group[offer])
        if group >= 0:
            less[start + group] -= sum(int(w) * n for w, n in zip(limit.weights, load, strict=True))
        start += len(limit.at_most)
    return tuple(less)


def loads(problem: FleetProblem, offer: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Give everything one node may hold, and what it costs with it."""
    own = problem.own[offer] if problem.own.size else np.zeros_like(problem.counts)
    for load in itertools.product(*(range(int(c) + 1) for c in problem.counts)):
        counts = np.array(load)
        more = counts - own
        if not counts.any() or (more < 0).any() or (more[~problem.allowed[offer]] > 0).any():
            continue
        if (more @ problem.requests > problem.room[offer]).any():
            continue
        if problem.per_node.size and ((counts > problem.per_node) & (more > 0)).any():
            continue
        price = int(problem.micro_usd[offer])
        if problem.pod_micro_usd.size:
            price += int(problem.pod_micro_usd[offer] @ counts)
        yield load, price
