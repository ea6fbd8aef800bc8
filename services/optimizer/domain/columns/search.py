"""The search for the load that loses least, with bounds that see that items come whole."""

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.compiled import compiled


@compiled
def least_losses(
    losses: Ints, weights: Ints, most: Ints, prices: Ints, room: Ints, units: Ints, device: int, size: int
) -> Ints:
    """Tell what the items from each place on lose at least, for each amount of two resources that is left.

    All others are charged at their prices. One of the two is counted in whole `units`, rounded down for items,
    so that no load is lost. What the amounts left cost at their prices is to be added.

    Args:
        losses: per item, as for `searched`.
        weights: item x resource.
        most: how many of each there are.
        prices: per unit of each resource.
        room: per resource; of the second resource there are few.
        units: per first resource, what its steps are worth.
        device: the second resource, -1 for none.
        size: steps there may be at most, and one more.

    Returns:
        First resource x place x (second left x size + steps of the first left).
    """
    n = len(losses)
    devices = room[device] if device >= 0 else 0
    tables = np.zeros((len(units), n + 1, (devices + 1) * size), dtype=np.int64)
    for k in range(len(units)):
        if k == device:
            continue
        steps = room[k] // units[k]
        for p in range(n - 1, -1, -1):
            table = tables[k, p]
            table[:] = tables[k, p + 1]
            if losses[p] > 0:
                table += losses[p] * most[p]
            gain = losses[p] + prices[k] * weights[p, k]
            each = 0
            if device >= 0:
                gain += prices[device] * weights[p, device]
                each = weights[p, device]
            if gain <= 0:
                continue
            weight = weights[p, k] // units[k]
            # Any number up to `most` is a sum of these parts, each taken or not.
            left, part = most[p], 1
            while left > 0:
                part = min(part, left)
                span = part * weight
                if weight == 0 and each == 0:
                    table -= gain * part
                else:
                    for d in range(devices, part * each - 1, -1):
                        here, there = d * size, (d - part * each) * size - span
                        for c in range(steps, span - 1, -1):
                            table[here + c] = min(table[here + c], table[there + c] - gain * part)
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
    device: int,
    size: int,
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
        units: as given to `least_losses`; none: bound by prices alone.
        device: likewise.
        size: likewise.
        tables: what it gave.
        best: out, the load found.

    Returns:
        What the best load loses (`budget` if there is none), the steps taken, and whether no load loses less.
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
            if k == device:
                continue
            at = left[p + 1, k] // units[k]
            bound = here + prices[k] * left[p + 1, k]
            if device >= 0:
                at += left[p + 1, device] * size
                bound += prices[device] * left[p + 1, device]
            is_hopeless = is_hopeless or bound + tables[k, p + 1, at] >= budget
        if is_hopeless:
            continue
        if p + 1 == n:
            budget = here + unused
            best[:] = taken
            if budget <= enough:
                return budget, steps, False
        else:
            lost[p + 1] = here
            p += 1
    return budget, steps, True
