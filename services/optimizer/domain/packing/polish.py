"""Make a greedy fleet cheaper: smaller nodes where a load allows, fewer nodes where loads can be joined."""

from collections.abc import Sequence

import numpy as np

from services.optimizer.domain.packing.classes import Bools, Ints
from services.optimizer.domain.packing.fill import Demand, Load, Supply

ROUNDS = 3
EMPTIED_AT_MOST = 80
"""Nodes, the least used ones, that are tried to be given up in a round."""
JOINED_AT_MOST = 24
"""Nodes, the worst used ones, of which pairs are tried as one."""


def polish(loads: Sequence[Load], supply: Supply, demand: Demand, used: Ints) -> list[Load]:
    """Give a fleet that holds the same pods and costs no more."""
    best = list(loads)
    for _ in range(ROUNDS):
        before = cost(best, supply)
        pools = _Pools(best, supply, demand, used)
        best = [_downsized(load, supply, demand, pools) for load in best]
        best = _emptied(best, supply, demand, pools)
        best = _joined(best, supply, demand, pools)
        if cost(best, supply) >= before:
            break
    return best


def cost(loads: Sequence[Load], supply: Supply) -> int:
    """Give price and risk of a fleet in micro-dollars."""
    return sum(_cost(supply, load.offer, int(load.counts.sum())) for load in loads)


def _cost(supply: Supply, offer: int, pods: int) -> int:
    return int(supply.micro_usd[offer]) + round(float(supply.risk_micro_usd[offer]) * pods)


class _Pools:
    """How many replicas of each limited controller stand in each spot pool."""

    def __init__(self, loads: Sequence[Load], supply: Supply, demand: Demand, used: Ints) -> None:
        self._demand, self._supply = demand, supply
        self._used = used.copy()
        for load in loads:
            self.change(load, 1)

    def change(self, load: Load, sign: int) -> None:
        shared = np.flatnonzero((self._demand.workload >= 0) & (load.counts > 0))
        np.add.at(self._used[load.offer], self._demand.workload[shared], sign * load.counts[shared])

    def may_take(self, counts: Ints) -> Bools:
        """Say which offers may take these pods beside what their pools hold."""
        shared = np.flatnonzero((self._demand.workload >= 0) & (counts > 0))
        if len(shared) == 0:
            return np.ones(len(self._used), dtype=np.bool_)
        taken = np.zeros(self._used.shape[1], dtype=np.int64)
        limit = np.full(self._used.shape[1], np.iinfo(np.int64).max // 4)
        np.add.at(taken, self._demand.workload[shared], counts[shared])
        limit[self._demand.workload[shared]] = self._demand.per_spot_pool[shared]
        within = (self._used + taken <= limit) | (taken == 0)
        result: Bools = within.all(axis=1) | ~self._supply.is_spot
        return result


def _holders(counts: Ints, supply: Supply, demand: Demand, pools: _Pools) -> Bools:
    held = np.flatnonzero(counts)
    total = counts @ demand.requests
    result: Bools = (
        (supply.room >= total).all(axis=1) & demand.allowed[:, held].all(axis=1) & pools.may_take(counts)
    )
    return result


def _cheapest(counts: Ints, supply: Supply, demand: Demand, pools: _Pools) -> int | None:
    if (counts > demand.per_node).any():
        return None
    found = np.flatnonzero(_holders(counts, supply, demand, pools))
    if len(found) == 0:
        return None
    price = supply.micro_usd[found] + np.round(supply.risk_micro_usd[found] * counts.sum()).astype(np.int64)
    return int(found[np.lexsort((found, price))[0]])


def _downsized(load: Load, supply: Supply, demand: Demand, pools: _Pools) -> Load:
    pools.change(load, -1)
    pods = int(load.counts.sum())
    offer = _cheapest(load.counts, supply, demand, pools)
    better = load
    if offer is not None and _cost(supply, offer, pods) < _cost(supply, load.offer, pods):
        better = Load(offer, load.counts)
    pools.change(better, 1)
    return better


def _emptied(loads: list[Load], supply: Supply, demand: Demand, pools: _Pools) -> list[Load]:
    """Give up nodes whose pods fit into the room that the others have left, the least used first."""
    value = demand.requests[:, :2] / np.maximum(supply.room[:, :2].max(axis=0), 1)
    order = sorted(
        range(len(loads)),
        key=lambda i: (float((loads[i].counts @ value).sum()) / int(supply.micro_usd[loads[i].offer]), i),
    )
    alive = dict(enumerate(loads))
    free = {i: supply.room[x.offer] - x.counts @ demand.requests for i, x in alive.items()}
    for i in order[:EMPTIED_AT_MOST]:
        spread = _spread(alive[i], i, alive, free, supply, demand)
        if spread is None:
            continue
        moved = {j: Load(alive[j].offer, alive[j].counts + added) for j, added in spread.items()}
        pools.change(alive[i], -1)
        if not all(bool(pools.may_take(added)[alive[j].offer]) for j, added in spread.items()):
            pools.change(alive[i], 1)
            continue
        del alive[i]
        for j, load in moved.items():
            pools.change(alive[j], -1)
            pools.change(load, 1)
            alive[j] = load
            free[j] = supply.room[load.offer] - load.counts @ demand.requests
    return list(alive.values())


def _spread(
    load: Load, own: int, alive: dict[int, Load], free: dict[int, Ints], supply: Supply, demand: Demand
) -> dict[int, Ints] | None:
    others = [j for j in alive if j != own]
    if not others:
        return None
    room = np.array([free[j] for j in others], dtype=np.int64)
    if (room.sum(axis=0) < load.counts @ demand.requests).any():
        return None
    allowed = demand.allowed[[alive[j].offer for j in others]]
    held = np.array([alive[j].counts for j in others], dtype=np.int64)
    added = np.zeros_like(held)
    classes = sorted(np.flatnonzero(load.counts), key=lambda c: (-int(demand.requests[c].max()), int(c)))
    for c in classes:
        request = demand.requests[c]
        asked = np.flatnonzero(request)
        fits = (room[:, asked] // request[asked]).min(axis=1)
        fits = np.where(allowed[:, c], np.minimum(fits, demand.per_node[c] - held[:, c]), 0)
        # As many on each as fit, in order, until none is left.
        before = np.concatenate([[0], np.cumsum(fits)[:-1]])
        taken = np.clip(int(load.counts[c]) - before, 0, fits)
        if int(taken.sum()) < int(load.counts[c]):
            return None
        room -= taken[:, None] * request
        added[:, c] = taken
    return {j: added[at] for at, j in enumerate(others) if added[at].any()}


def _joined(loads: list[Load], supply: Supply, demand: Demand, pools: _Pools) -> list[Load]:
    """Replace two nodes by one where that is cheaper."""
    loads = list(loads)
    fill = [float((x.counts @ demand.requests)[:2].sum() / supply.room[x.offer][:2].sum()) for x in loads]
    worst = sorted(range(len(loads)), key=lambda i: (round(fill[i], 9), i))[:JOINED_AT_MOST]
    gone: set[int] = set()
    for at, i in enumerate(worst):
        for j in worst[at + 1 :]:
            if i in gone or j in gone:
                continue
            both = loads[i].counts + loads[j].counts
            pools.change(loads[i], -1)
            pools.change(loads[j], -1)
            offer = _cheapest(both, supply, demand, pools)
            if offer is not None and _cost(supply, offer, int(both.sum())) < cost(
                [loads[i], loads[j]], supply
            ):
                loads[i] = Load(offer, both)
                gone.add(j)
                pools.change(loads[i], 1)
            else:
                pools.change(loads[i], 1)
                pools.change(loads[j], 1)
    return [load for i, load in enumerate(loads) if i not in gone]
