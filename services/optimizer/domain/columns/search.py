"""The search for the load that loses least, with bounds that see that items come whole."""

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.compiled import compiled


@compiled
def least_losses(
    losses: Ints, weights: Ints, most: Ints, prices: Ints, room: Ints, units: Ints, size: int
) -> Ints:
    """Tell what the items from each place on lose at least, for each amount of one resource that is left.

    All other resources are charged at their prices; the one is counted in whole `units`, rounded down for
    items, so that no load is lost. Add what the amount left costs at its price.

    Returns:
        Resource x place x units left.
    """
    n = len(losses)
    tables = np.zeros((len(units), n + 1, size + 1), dtype=np.int64)
    for k in range(len(units)):
        most_left = room[k] // units[k]
        for p in range(n - 1, -1, -1):
            table = tables[k, p]
            table[:] = tables[k, p + 1]
            if losses[p] > 0:
                table += losses[p] * most[p]
            gain = losses[p] + prices[k] * weights[p, k]
            if gain <= 0:
                continue
            weight = weights[p, k] // units[k]
            if weight == 0:
                table -= gain * most[p]
                continue
            # Any number up to `most` is a sum of these parts, each taken or not.
            left, part = most[p], 1
            while left > 0:
                part = min(part, left)
                span = part * weight
                for c in range(most_left, span - 1, -1):
                    table[c] = min(table[c], table[c - span] - gain * part)
                left -= part
                part *= 2
    return tables


@compiled
def searched(
    losses: Ints,
    weights: Ints,
    most: Ints,
    room: Ints,
    prices: Ints,
    budget: int,
    enough: int,
    limit: int,
    units: Ints,
    tables: Ints,
    best: Ints,
) -> tuple[int, int, bool]:
    """Look, depth first, for the load that loses least and less than `budget`.

    Args:
        losses: per item: positive, lost by leaving one out; negative, lost by taking one.
        weights: item x resource.
        most: how many of each there are.
        room: what the node has.
        prices: per unit of each resource; what unused room loses.
        budget: what a load must lose less than.
        enough: a load that loses no more ends the search.
        limit: steps that may be taken.
        units: per table, what its steps are worth in its resource.
        tables: from `least_losses`, one for each of the first resources; none: bound by prices alone.
        best: out, the load found.

    Returns:
        What the best load loses (`budget` if there is none), the steps taken, and whether the search was complete.
    """
    n, r = weights.shape
    taken = np.zeros(n, dtype=np.int64)
    fits = np.zeros(n, dtype=np.int64)
    is_new = np.ones(n, dtype=np.bool_)
    left = np.zeros((n + 1, r), dtype=np.int64)
    left[0] = room
    lost = np.zeros(n + 1, dtype=np.int64)
    after = np.zeros((n + 1, r), dtype=np.int64)
    for j in range(n - 1, -1, -1):
        for k in range(r):
            after[j, k] = after[j + 1, k] + most[j] * weights[j, k]
    steps = 0
    if n == 0:
        unused = 0
        for k in range(r):
            unused += prices[k] * room[k]
        return min(unused, budget), 0, True
    p = 0
    while p >= 0:
        if is_new[p]:
            fit = most[p]
            for k in range(r):
                if weights[p, k] > 0:
                    fit = min(fit, left[p, k] // weights[p, k])
            fits[p] = fit
            taken[p] = fit if losses[p] >= 0 else 0
            is_new[p] = False
        elif losses[p] >= 0:
            taken[p] -= 1
        else:
            taken[p] += 1
        if taken[p] < 0 or taken[p] > fits[p]:
            is_new[p] = True
            p -= 1
            continue
        here = lost[p]
        here += losses[p] * (most[p] - taken[p]) if losses[p] >= 0 else -losses[p] * taken[p]
        if here >= budget:
            is_new[p] = True
            p -= 1
            continue
        steps += 1
        if steps > limit:
            return budget, steps, False
        unused = 0
        for k in range(r):
            left[p + 1, k] = left[p, k] - taken[p] * weights[p, k]
            unused += prices[k] * max(left[p + 1, k] - after[p + 1, k], 0)
        if here + unused >= budget:
            if losses[p] >= 0:
                is_new[p] = True
                p -= 1
            continue
        is_hopeless = False
        for k in range(len(units)):
            bound = here + prices[k] * left[p + 1, k] + tables[k, p + 1, left[p + 1, k] // units[k]]
            is_hopeless = is_hopeless or bound >= budget
        if is_hopeless:
            continue
        if p + 1 == n:
            budget = here + unused
            best[:] = taken
            if budget <= enough:
                return budget, steps, True
        else:
            lost[p + 1] = here
            p += 1
    return budget, steps, True
