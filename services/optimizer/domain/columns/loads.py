"""The most valuable loads of many offers: each a knapsack, with its own pods, costs and limits."""

from typing import NamedTuple

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.columns.compiled import compiled
from services.optimizer.domain.columns.knapsack import best_load
from services.optimizer.domain.columns.limits import Rows, bound_room_for, due_for

IMPOSSIBLE = np.iinfo(np.int64).min // 2


class Search(NamedTuple):
    """What loads are made of, for all offers at once."""

    values: Ints
    """Per item."""
    costs: Ints
    """Offer x item; no rows when items cost nothing."""
    weights: Ints
    """Item x resource."""
    counts: Ints
    """Per item, how many are left."""
    per_node: Ints
    """Per item, how many one node may hold."""
    room: Ints
    """Offer x resource."""
    allowed: Bools
    """Offer x item."""
    own: Ints
    """Offer x item; no rows when there are none."""
    limits: Rows
    is_bound: Bools
    """Per row of limits, whether it binds: others hold back nothing, as offers that they make worth a look are not
    looked at yet."""
    left: Ints
    """Per row, what is left of it."""
    dues: Ints
    """Per row, what using it costs; empty: nothing."""
    floors: Ints
    """Per offer, what a load must be worth more than."""


@compiled
def best_loads(search: Search, places: Ints, limit: int, loads: Ints, worths: Ints, bounds: Ints) -> None:
    """Find the best load of each of the offers at `places`, its own pods in it.

    What an item costs on that offer, and what it pays for its rows of limits, is taken off its value. An offer
    whose own pods are not all left gets no load.

    Args:
        search: what loads are made of.
        places: which offers to look at.
        limit: steps of search per offer.
        loads: out, offer x item.
        worths: out, per offer, what that load is worth.
        bounds: out, per offer, what no load is worth more than; never below its floor.
    """
    value = np.empty(len(search.values), dtype=np.int64)
    most = np.empty(len(search.values), dtype=np.int64)
    for o in places:
        base = _offered(o, search, value, most)
        floor = search.floors[o]
        loads[o] = 0
        worths[o] = 0
        bounds[o] = floor
        if base > IMPOSSIBLE:
            worth, extra = best_load(
                value, search.weights, most, search.room[o], max(floor - base, 0), limit, loads[o]
            )
            worths[o] = base + worth
            bounds[o] = max(floor, base + extra)
            if len(search.own) > 0:
                loads[o] += search.own[o]


@compiled
def _offered(offer: int, search: Search, value: Ints, most: Ints) -> int:
    """Say what items are worth on one offer and how many may be added; give what its own are worth.

    Returns:
        IMPOSSIBLE when those are not all left.
    """
    base = 0
    limits, own = search.limits, search.own
    for j in range(len(search.values)):
        value[j] = search.values[j]
        if len(search.costs) > 0:
            value[j] -= search.costs[offer, j]
        most[j] = min(search.counts[j], search.per_node[j])
        if limits.starts[j + 1] > limits.starts[j]:
            if len(search.dues) > 0:
                value[j] -= due_for(limits, search.dues, offer, j)
            most[j] = min(most[j], bound_room_for(limits, search.is_bound, search.left, offer, j))
        if len(own) > 0 and own[offer, j] > 0:
            if own[offer, j] > search.counts[j]:
                return IMPOSSIBLE
            base += value[j] * own[offer, j]
            most[j] -= own[offer, j]
        if not search.allowed[offer, j] or most[j] <= 0:
            value[j] = 0
    return base


@compiled
def different_loads(search: Search, places: Ints, limit: int, loads: Ints, offers: Ints) -> int:
    """Find loads worth more than their floor, for each offer one after the other without the items of those before.

    Where a node holds few items of many kinds, one load an offer would tell little of most kinds.

    All is as for `best_loads`, but that `loads` is load x item, no more being found than fit, and that `offers` is
    told the offer of each; gives how many were found.
    """
    items = len(search.values)
    value = np.empty(items, dtype=np.int64)
    most = np.empty(items, dtype=np.int64)
    load = np.empty(items, dtype=np.int64)
    found = 0
    for o in places:
        base = _offered(o, search, value, most)
        if base <= IMPOSSIBLE:
            continue
        floor = max(search.floors[o] - base, 0)
        while found < len(loads):
            worth, _ = best_load(value, search.weights, most, search.room[o], floor, limit, load)
            if worth <= floor:
                break
            offers[found] = o
            for j in range(items):
                loads[found, j] = load[j]
                if load[j] > 0:
                    value[j] = 0
                if len(search.own) > 0:
                    loads[found, j] += search.own[o, j]
            found += 1
    return found
