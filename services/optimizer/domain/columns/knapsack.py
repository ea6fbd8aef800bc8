"""What is the most valuable load of one node: a bounded knapsack over all its resources.

Values, requests and room are whole numbers. Prices per unit of each resource (from the knapsack's own linear
relaxation) turn every load's value into `root - loss`: what an item that pays is left out, what an item that
does not pay is taken, and what room is left unused, each lose a known amount. The most valuable load loses
least. Only loads worth more than a floor matter, so most nodes are settled by `root` alone, and the search
only looks at items that could be chosen against their price within what may be lost. The prices come from
floating point, but the bound holds for any prices, and it is added up in whole numbers.
"""

import numpy as np

from services.optimizer.domain.columns.arrays import Floats, Ints
from services.optimizer.domain.columns.compiled import compiled
from services.optimizer.domain.columns.relaxation import relaxed
from services.optimizer.domain.columns.search import least_losses, searched

STAGES = 4
QUICK_STEPS = 400
TABLED = 2
"""Resources that get a table: CPU and memory come first."""
TABLE_CELLS, FINEST, COARSEST = 1 << 18, 4096, 64
MOST_TABLED = 160
"""Items beyond which tables take long, and prices alone bound well enough: some item always fits."""
FEW = 16
"""A resource of which a node has no more, such as GPUs, is counted in every table."""
ENOUGH = 17
"""A load within 2^-17 of the bound is looked no further for."""


@compiled
def best_load(
    values: Ints,
    weights: Ints,
    most: Ints,
    room: Ints,
    floor: int,
    limit: int,
    load: Ints,
) -> tuple[int, int]:
    """Find a most valuable load of one node.

    Args:
        values: what one of each item is worth; only positive ones are taken.
        weights: item x resource.
        most: how many of each there are.
        room: what the node has.
        floor: loads that are worth no more are of no interest.
        limit: steps of search; 0 fills greedily only.
        load: out, how many of each are taken.

    Returns:
        What the load is worth, and a proven upper bound of what any load is worth; never below `floor`.
    """
    load[:] = 0
    r = len(room)
    top = np.zeros(len(values), dtype=np.int64)
    n = 0
    for j in range(len(values)):
        if values[j] <= 0:
            continue
        fit = most[j]
        for k in range(r):
            if weights[j, k] > 0:
                fit = min(fit, room[k] // weights[j, k])
        if fit > 0:
            top[j] = fit
            n += 1
    if n == 0:
        return 0, floor
    at = np.flatnonzero(top)
    v = np.empty(n)
    w = np.zeros((n, r))
    u = np.empty(n, dtype=np.int64)
    total = 0.0
    for i in range(n):
        v[i] = float(values[at[i]])
        u[i] = top[at[i]]
        total += v[i] * u[i]
        for k in range(r):
            if room[k] > 0:
                w[i, k] = weights[at[i], k] / room[k]
    levels = np.zeros(n)
    shares = np.zeros(r)
    relaxed(v, w, u, levels, shares)
    scale = 1 << 20
    while scale > 1 and total * scale > 2.0**60:
        scale >>= 1
    prices = np.zeros(r, dtype=np.int64)
    root = 0
    for k in range(r):
        if room[k] > 0:
            prices[k] = np.int64(np.rint(min(shares[k], total) * scale / room[k]))
            root += prices[k] * room[k]
    losses = np.empty(n, dtype=np.int64)
    for i in range(n):
        charged = 0
        for k in range(r):
            charged += prices[k] * weights[at[i], k]
        losses[i] = values[at[i]] * scale - charged
        if losses[i] > 0:
            root += losses[i] * u[i]
    bound = root // scale
    if bound <= floor:
        return 0, floor
    worth = _filled(values, weights, at, u, room, levels, losses, scale, load)
    if limit == 0 or worth >= bound:
        return worth, bound
    return _improved(
        values, weights, at, u, room, losses, prices, root, scale, floor, limit, load, worth, bound
    )


@compiled
def _filled(
    values: Ints,
    weights: Ints,
    at: Ints,
    most: Ints,
    room: Ints,
    levels: Floats,
    losses: Ints,
    scale: int,
    load: Ints,
) -> int:
    n, r = len(at), len(room)
    left = room.copy()
    worth = 0
    keys = np.empty(n)
    for i in range(n):
        # What is lost per unit of value: the items that pay best fill what the relaxation leaves.
        keys[i] = -float(losses[i]) / (float(values[at[i]]) * scale)
        count = min(np.int64(np.floor(levels[i] + 1e-7)), most[i])
        for k in range(r):
            if weights[at[i], k] > 0:
                count = min(count, left[k] // weights[at[i], k])
        load[at[i]] = count
        worth += count * values[at[i]]
        for k in range(r):
            left[k] -= count * weights[at[i], k]
    for i in np.argsort(keys, kind="mergesort"):
        more = most[i] - load[at[i]]
        for k in range(r):
            if weights[at[i], k] > 0:
                more = min(more, left[k] // weights[at[i], k])
        load[at[i]] += more
        worth += more * values[at[i]]
        for k in range(r):
            left[k] -= more * weights[at[i], k]
    return worth


@compiled
def _improved(
    values: Ints,
    weights: Ints,
    at: Ints,
    most: Ints,
    room: Ints,
    losses: Ints,
    prices: Ints,
    root: int,
    scale: int,
    floor: int,
    limit: int,
    load: Ints,
    worth: int,
    bound: int,
) -> tuple[int, int]:
    n, r = len(at), len(room)
    # A load is of interest when it is worth more than the floor and than what was found already.
    span = root - max(worth, floor) * scale
    steps = 0
    for stage in range(STAGES):
        budget = span >> (2 * (STAGES - 1 - stage))
        left = room.copy()
        core = np.zeros(n, dtype=np.bool_)
        count = 0
        is_possible = True
        for i in range(n):
            if abs(losses[i]) < budget:
                core[i] = True
                count += 1
            elif losses[i] > 0:
                for k in range(r):
                    left[k] -= most[i] * weights[at[i], k]
                    is_possible = is_possible and left[k] >= 0
        if is_possible:
            inner = np.flatnonzero(core)
            keys = np.empty(count, dtype=np.int64)
            for c in range(count):
                keys[c] = -abs(losses[inner[c]])
            inner = inner[np.argsort(keys, kind="mergesort")]
            found = np.zeros(count, dtype=np.int64)
            lost, used, proven = _searched_twice(
                losses[inner],
                weights[at[inner]],
                most[inner],
                left,
                prices,
                budget,
                root >> ENOUGH,
                limit - steps if stage == STAGES - 1 else (limit - steps) // 2,
                found,
            )
            steps += used
            # An item outside the core loses the budget at least when it goes against its price.
            bound = max(min(bound, (root - min(proven, budget)) // scale), floor)
            if lost < budget:
                gained = 0
                for i in range(n):
                    load[at[i]] = most[i] if losses[i] > 0 and not core[i] else 0
                for c in range(count):
                    load[at[inner[c]]] = found[c]
                for i in range(n):
                    gained += load[at[i]] * values[at[i]]
                return gained, bound
        else:
            bound = max(min(bound, (root - budget) // scale), floor)
    return worth, bound


@compiled
def _searched_twice(
    losses: Ints,
    weights: Ints,
    most: Ints,
    room: Ints,
    prices: Ints,
    budget: int,
    enough: int,
    limit: int,
    best: Ints,
) -> tuple[int, int, int]:
    """Search by prices alone, as that settles most; with tables where it does not and they stay small.

    Returns:
        What the best load loses (`budget` if there is none), the steps taken, and what every load loses at least.
    """
    device, devices = -1, 0
    for k in range(len(room)):
        if 0 < room[k] <= FEW and prices[k] > 0:
            device, devices = k, room[k]
    size = min(TABLE_CELLS // ((len(losses) + 1) * (devices + 1)), FINEST)
    is_small = size >= COARSEST and len(losses) <= MOST_TABLED and limit > QUICK_STEPS
    units = np.zeros(0, dtype=np.int64)
    tables = np.zeros((0, 0, 0), dtype=np.int64)
    quick = QUICK_STEPS if is_small else limit
    lost, used, is_complete = searched(
        losses, weights, most, room, prices, budget, enough, quick, units, -1, 0, tables, best
    )
    if is_complete:
        return lost, used, lost
    if not is_small or lost <= enough:
        return lost, used, 0
    units = np.empty(min(TABLED, len(room)), dtype=np.int64)
    for k in range(len(units)):
        units[k] = room[k] // size + 1
    tables = least_losses(losses, weights, most, prices, room, units, device, size)
    least = 0
    for k in range(len(units)):
        if k != device:
            at = room[k] // units[k] + devices * size
            extra = prices[device] * devices if device >= 0 else 0
            least = max(least, tables[k, 0, at] + prices[k] * room[k] + extra)
    if least >= lost:
        return lost, used, lost
    better, more, is_complete = searched(
        losses, weights, most, room, prices, lost, enough, limit - used, units, device, size, tables, best
    )
    return better, used + more, better if is_complete else least
