"""What is the most valuable load of one node: a bounded knapsack over all its resources.

Values, requests and room are whole numbers. Prices per unit of each resource (from the knapsack's own linear
relaxation) turn every load's value into `root - loss`: what an item that pays is left out, what an item that
does not pay is taken, and what room is left unused, each lose a known amount. The most valuable load loses
least. Only loads worth more than a floor matter, so most nodes are settled by `root` alone, and the search
only looks at items that could be chosen against their price within what may be lost. The prices come from
floating point, but the bound holds for any prices, and it is added up in whole numbers.
"""

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Floats, Ints
from services.optimizer.domain.columns.compiled import compiled

STAGES = 4
ENOUGH = 17
"""A load within 2^-17 of the bound is looked no further for."""
EPSILON = 1e-9


@compiled
def relaxed(values: Floats, weights: Floats, most: Ints, levels: Floats, prices: Floats) -> None:
    """Solve the relaxation by the bounded simplex method; room is 1 in every resource.

    Args:
        values: what one of each item is worth.
        weights: item x resource, as a share of the room.
        most: how many of each there are.
        levels: out, how many of each are taken.
        prices: out, what the whole room of each resource is worth; never negative.
    """
    n, r = weights.shape
    inverse = np.eye(r)
    basis = np.arange(n, n + r)
    inside = np.ones(r)
    is_basic = np.zeros(n + r, dtype=np.bool_)
    is_basic[n:] = True
    at_upper = np.zeros(n, dtype=np.bool_)
    column = np.empty(r)
    top = 1e-30
    for j in range(n):
        top = max(top, values[j] * most[j])
    for _ in range(60 + 6 * n):
        for k in range(r):
            total = 0.0
            for i in range(r):
                if basis[i] < n:
                    total += values[basis[i]] * inverse[i, k]
            prices[k] = total
        best, entering, is_rising = top * EPSILON, -1, True
        for j in range(n):
            if is_basic[j]:
                continue
            gain = values[j]
            for k in range(r):
                gain -= prices[k] * weights[j, k]
            if at_upper[j]:
                gain = -gain
            if gain * most[j] > best:
                best, entering, is_rising = gain * most[j], j, not at_upper[j]
        for k in range(r):
            if not is_basic[n + k] and -prices[k] > best:
                best, entering, is_rising = -prices[k], n + k, True
        if entering < 0:
            break
        for i in range(r):
            total = 0.0
            if entering < n:
                for k in range(r):
                    total += inverse[i, k] * weights[entering, k]
            else:
                total = inverse[i, entering - n]
            column[i] = total if is_rising else -total
        step = float(most[entering]) if entering < n else np.inf
        leaving, leaves_above = -1, False
        for i in range(r):
            if column[i] > EPSILON:
                ratio = max(inside[i], 0.0) / column[i]
                if ratio < step:
                    step, leaving, leaves_above = ratio, i, False
            elif column[i] < -EPSILON and basis[i] < n:
                ratio = max(most[basis[i]] - inside[i], 0.0) / -column[i]
                if ratio < step:
                    step, leaving, leaves_above = ratio, i, True
        if step == np.inf:
            break
        for i in range(r):
            inside[i] -= step * column[i]
        if leaving < 0:
            at_upper[entering] = is_rising
            continue
        if basis[leaving] < n:
            at_upper[basis[leaving]] = leaves_above
        is_basic[basis[leaving]] = False
        is_basic[entering] = True
        start = 0.0 if is_rising else float(most[entering])
        inside[leaving] = start + step if is_rising else start - step
        basis[leaving] = entering
        pivot = column[leaving] if is_rising else -column[leaving]
        for k in range(r):
            inverse[leaving, k] /= pivot
        for i in range(r):
            if i != leaving:
                factor = column[i] if is_rising else -column[i]
                for k in range(r):
                    inverse[i, k] -= factor * inverse[leaving, k]
    for j in range(n):
        levels[j] = float(most[j]) if at_upper[j] and not is_basic[j] else 0.0
    for i in range(r):
        if basis[i] < n:
            levels[basis[i]] = inside[i]
    for k in range(r):
        prices[k] = max(prices[k], 0.0)


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
        if p + 1 == n:
            budget = here + unused
            best[:] = taken
            if budget <= enough:
                return budget, steps, True
        else:
            lost[p + 1] = here
            p += 1
    return budget, steps, True


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
            lost, used, is_complete = searched(
                losses[inner],
                weights[at[inner]],
                most[inner],
                left,
                prices,
                budget,
                root >> ENOUGH,
                limit - steps,
                found,
            )
            steps += used
            if lost < budget:
                gained = 0
                for i in range(n):
                    load[at[i]] = most[i] if losses[i] > 0 and not core[i] else 0
                for c in range(count):
                    load[at[inner[c]]] = found[c]
                for i in range(n):
                    gained += load[at[i]] * values[at[i]]
                worth = gained
                if lost <= root >> ENOUGH or not is_complete:
                    return worth, bound
                return worth, max(worth, floor)
            if not is_complete:
                return worth, bound
        bound = max((root - budget) // scale, floor)
    return worth, bound


@compiled
def best_loads(
    values: Ints,
    costs: Ints,
    weights: Ints,
    most: Ints,
    room: Ints,
    allowed: Bools,
    floors: Ints,
    rows: Ints,
    limit: int,
    loads: Ints,
    worths: Ints,
    bounds: Ints,
) -> None:
    """Find the best load of each of the offers `rows`; an offer's own cost per item is taken off its value.

    Args:
        values: per item.
        costs: offer x item; no rows when items cost nothing.
        weights: item x resource.
        most: item; how many one node may hold.
        room: offer x resource.
        allowed: offer x item.
        floors: per offer, what a load must be worth more than.
        rows: which offers to look at.
        limit: steps of search per offer.
        loads: out, offer x item.
        worths: out, per offer.
        bounds: out, per offer.
    """
    worth_here = np.empty(len(values), dtype=np.int64)
    for o in rows:
        for j in range(len(values)):
            worth_here[j] = values[j] if allowed[o, j] else 0
            if len(costs) > 0:
                worth_here[j] -= costs[o, j]
        worths[o], bounds[o] = best_load(worth_here, weights, most, room[o], floors[o], limit, loads[o])
