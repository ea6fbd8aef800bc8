"""The most valuable loads of many offers: each a knapsack, with its own pods, costs and limits."""

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.columns.compiled import compiled
from services.optimizer.domain.columns.knapsack import best_load
from services.optimizer.domain.columns.limits import Rows, bound_room_for, due_for

IMPOSSIBLE = np.iinfo(np.int64).min // 2


@compiled
def best_loads(
    values: Ints,
    costs: Ints,
    weights: Ints,
    counts: Ints,
    per_node: Ints,
    room: Ints,
    allowed: Bools,
    own: Ints,
    limits: Rows,
    is_bound: Bools,
    left: Ints,
    dues: Ints,
    floors: Ints,
    places: Ints,
    limit: int,
    loads: Ints,
    worths: Ints,
    bounds: Ints,
) -> None:
    """Find the best load of each of the offers at `places`, its own pods in it.

    What an item costs on that offer, and what it pays for its rows of limits, is taken off its value. An offer
    whose own pods are not all left gets no load.

    Args:
        values: per item.
        costs: offer x item; no rows when items cost nothing.
        weights: item x resource.
        counts: per item, how many are left.
        per_node: per item, how many one node may hold.
        room: offer x resource.
        allowed: offer x item.
        own: offer x item; no rows when there are none.
        limits: the rows of limits.
        is_bound: per row, whether it binds: others hold back nothing, as offers that they make worth a look are
            not looked at yet.
        left: per row, what is left of it.
        dues: per row, what using it costs; empty: nothing.
        floors: per offer, what a load must be worth more than.
        places: which offers to look at.
        limit: steps of search per offer.
        loads: out, offer x item.
        worths: out, per offer, what that load is worth.
        bounds: out, per offer, what no load is worth more than; never below its floor.
    """
    value = np.empty(len(values), dtype=np.int64)
    most = np.empty(len(values), dtype=np.int64)
    for o in places:
        base = _offered(
            o, values, costs, counts, per_node, allowed, own, limits, is_bound, left, dues, value, most
        )
        loads[o] = 0
        worths[o] = 0
        bounds[o] = floors[o]
        if base > IMPOSSIBLE:
            worth, extra = best_load(value, weights, most, room[o], max(floors[o] - base, 0), limit, loads[o])
            worths[o] = base + worth
            bounds[o] = max(floors[o], base + extra)
            if len(own) > 0:
                loads[o] += own[o]


@compiled
def _offered(
    offer: int,
    values: Ints,
    costs: Ints,
    counts: Ints,
    per_node: Ints,
    allowed: Bools,
    own: Ints,
    limits: Rows,
    is_bound: Bools,
    left: Ints,
    dues: Ints,
    value: Ints,
    most: Ints,
) -> int:
    """Say what items are worth on one offer and how many may be added; give what its own are worth.

    Returns:
        IMPOSSIBLE when those are not all left.
    """
    base = 0
    for j in range(len(values)):
        value[j] = values[j]
        if len(costs) > 0:
            value[j] -= costs[offer, j]
        most[j] = min(counts[j], per_node[j])
        if limits.starts[j + 1] > limits.starts[j]:
            if len(dues) > 0:
                value[j] -= due_for(limits, dues, offer, j)
            most[j] = min(most[j], bound_room_for(limits, is_bound, left, offer, j))
        if len(own) > 0 and own[offer, j] > 0:
            if own[offer, j] > counts[j]:
                return IMPOSSIBLE
            base += value[j] * own[offer, j]
            most[j] -= own[offer, j]
        if not allowed[offer, j] or most[j] <= 0:
            value[j] = 0
    return base


@compiled
def different_loads(
    values: Ints,
    costs: Ints,
    weights: Ints,
    counts: Ints,
    per_node: Ints,
    room: Ints,
    allowed: Bools,
    own: Ints,
    limits: Rows,
    is_bound: Bools,
    left: Ints,
    dues: Ints,
    floors: Ints,
    places: Ints,
    limit: int,
    loads: Ints,
    offers: Ints,
) -> int:
    """Find loads worth more than their floor, for each offer one after the other without the items of those before.

    Where a node holds few items of many kinds, one load an offer would tell little of most kinds.

    All is as for `best_loads`, but that `loads` is load x item, no more being found than fit, and that `offers` is
    told the offer of each; gives how many were found.
    """
    value = np.empty(len(values), dtype=np.int64)
    most = np.empty(len(values), dtype=np.int64)
    load = np.empty(len(values), dtype=np.int64)
    found = 0
    for o in places:
        base = _offered(
            o, values, costs, counts, per_node, allowed, own, limits, is_bound, left, dues, value, most
        )
        if base <= IMPOSSIBLE:
            continue
        floor = max(floors[o] - base, 0)
        while found < len(loads):
            worth, _ = best_load(value, weights, most, room[o], floor, limit, load)
            if worth <= floor:
                break
            offers[found] = o
            for j in range(len(values)):
                loads[found, j] = load[j]
                if load[j] > 0:
                    value[j] = 0
                if len(own) > 0:
                    loads[found, j] += own[o, j]
            found += 1
    return found
