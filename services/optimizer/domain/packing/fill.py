"""Choose nodes greedily: always the node whose load is worth most for its price.

What a pod is worth follows from resource prices: the highest price per core, byte and slot at which no
offer is worth more than it costs. At those prices a perfectly filled, perfectly suited node scores 1. They
also prove a lower bound: whatever the fleet, its nodes cost at least what their loads are worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.packing.classes import CPU, MEMORY, PODS, STORAGE, Bools, Floats, Ints

DIRECTIONS = 48
REFINEMENTS = 3
CANDIDATES = 8
"""Loads looked at in each round and order of filling."""
NEARLY_AS_GOOD = 0.95
"""Scores from there on count as equal: then the larger load is taken, since fewer nodes are less to run."""
SLOT_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Supply:
    """What can be launched: a row an offer."""

    room: Ints
    """Free for pods, daemons taken off."""
    micro_usd: Ints
    risk_micro_usd: Floats
    """Expected cost of interruptions per pod and hour."""
    is_spot: Bools

    def only(self, rows: Sequence[int]) -> "Supply":
        """Give the numbers of some of the offers."""
        at = np.array(rows, dtype=np.int64)
        return Supply(self.room[at], self.micro_usd[at], self.risk_micro_usd[at], self.is_spot[at])


@dataclass(frozen=True, slots=True)
class Demand:
    """What must run: a row a class."""

    requests: Ints
    counts: Ints
    allowed: Bools
    """Offer x class."""
    per_node: Ints
    per_spot_pool: Ints
    workload: Ints
    """Index of the controller that a limit per spot pool is shared within; -1: none."""


@dataclass(frozen=True, slots=True)
class Load:
    """One node to launch, and how many of each class it holds."""

    offer: int
    counts: Ints


def resource_prices(room: Ints, prices: Ints, demand: Ints) -> Floats:
    """Find prices per unit at which `demand` is worth most, and no room is worth more than its price.

    Searches directions over CPU, memory and pod slots, each stretched until the first offer binds.
    """
    worth = np.zeros(room.shape[1])
    if len(room) == 0 or demand[CPU] + demand[MEMORY] == 0:
        return worth
    room, prices = _cheapest_of_each(room, prices)
    scale = np.array([room[:, CPU].max(), room[:, MEMORY].max(), room[:, PODS].max()], dtype=np.float64)
    scale[scale == 0] = 1
    kinds = [CPU, MEMORY, PODS]
    amounts, wanted = room[:, kinds] / scale, demand[kinds] / scale
    low, high = 0.0, np.pi / 2
    best, best_value = np.zeros(3), -1.0
    shares = np.array(SLOT_SHARES)
    for _ in range(REFINEMENTS):
        angles = np.linspace(low, high, DIRECTIONS)
        flat = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        directions = np.concatenate(
            [np.column_stack([flat * (1 - s), np.full(len(flat), s)]) for s in shares], axis=0
        )
        needs = directions @ amounts.T
        with np.errstate(divide="ignore"):
            stretch = np.where(needs > 0, prices / needs, np.inf).min(axis=1)
        stretch[~np.isfinite(stretch)] = 0
        values = stretch * (directions @ wanted)
        at = int(np.argmax(values))
        if values[at] > best_value:
            best_value, best = float(values[at]), directions[at] * stretch[at]
        step = (high - low) / (DIRECTIONS - 1)
        middle = angles[at % DIRECTIONS]
        low, high = max(0.0, middle - step), min(np.pi / 2, middle + step)
    worth[kinds] = best / scale
    return worth


def _cheapest_of_each(room: Ints, prices: Ints) -> tuple[Ints, Ints]:
    """Leave one row of those with the same room: a type has it in every zone, however it is bought."""
    order = np.lexsort((prices, *room.T))
    room, prices = room[order], prices[order]
    first = np.ones(len(room), dtype=np.bool_)
    first[1:] = (room[1:] != room[:-1]).any(axis=1)
    return room[first], prices[first]


def device_prices(room: Ints, prices: Ints, worth: Floats) -> Floats:
    """Add what a device is worth: what the cheapest offer of it costs beyond its cores and memory."""
    full = worth.copy()
    for column in range(STORAGE + 2, room.shape[1]):
        has = room[:, column] > 0
        if has.any():
            beyond = (prices[has] - room[has] @ worth) / room[has, column]
            full[column] = max(float(beyond.min()), float(prices[has].min()) * 0.1)
    return full


def orders(demand: Demand, worth: Floats) -> list[Ints]:
    """Give the orders in which classes are tried when a node is filled."""
    value = demand.requests @ worth
    cpu = demand.requests[:, CPU] * max(worth[CPU], 1e-12)
    memory = demand.requests[:, MEMORY] * max(worth[MEMORY], 1e-18)
    lean = cpu / (cpu + memory + 1e-12)
    index = np.arange(len(value))
    return [
        np.lexsort((index, -value)),
        np.lexsort((index, -value, -np.round(lean, 6))),
        np.lexsort((index, -value, np.round(lean, 6))),
    ]


def greedy(supply: Supply, demand: Demand, worth: Floats, used: Ints) -> tuple[list[Load], Ints]:
    """Cover the demand; return the nodes and what could not be covered.

    `used` counts, by offer and workload, the replicas that stand in the pool already.
    """
    left = demand.counts.copy()
    used = used.copy()
    loads: list[Load] = []
    value = np.maximum(demand.requests @ worth, 1e-6)
    sequences = orders(demand, worth)
    while left.any():
        limit = _limits(supply, demand, left, used)
        live = np.flatnonzero(limit.any(axis=1))
        before = len(loads)
        for load in _best(supply, demand, live, limit, [s[left[s] > 0] for s in sequences], value):
            times = _repeats(supply, demand, load, left, used)
            for _ in range(times):
                loads.append(load)
                left -= load.counts
                _count(used, demand, load)
        if len(loads) == before:
            break
    return loads, left


def _best(
    supply: Supply, demand: Demand, live: Ints, limit: Ints, sequences: list[Ints], value: Floats
) -> list[Load]:
    """Give the loads that are about as good as the best one, the largest of them first."""
    if len(live) == 0:
        return []
    found: list[tuple[float, float, int, Ints]] = []
    for sequence in sequences:
        counts = _fill(supply.room[live], demand, limit[live], sequence)
        pods = counts.sum(axis=1)
        worth = counts @ value
        cost = supply.micro_usd[live] + supply.risk_micro_usd[live] * pods
        score = np.round(np.where(pods > 0, worth, 0) / cost, 9)
        first = np.lexsort((live, -score))[:CANDIDATES]
        found += [(float(score[i]), float(worth[i]), int(live[i]), counts[i]) for i in first if score[i] > 0]
    top = max((f[0] for f in found), default=0.0)
    good = [f for f in found if f[0] >= top * NEARLY_AS_GOOD]
    good.sort(key=lambda f: (-round(f[1], 3), -f[0], f[2]))
    return [Load(offer, counts) for _, _, offer, counts in good]


def _limits(supply: Supply, demand: Demand, left: Ints, used: Ints) -> Ints:
    limit = np.minimum(left, demand.per_node)[None, :] * demand.allowed
    shared = demand.workload >= 0
    if shared.any() and supply.is_spot.any():
        spot = np.flatnonzero(supply.is_spot)
        room = demand.per_spot_pool[shared][None, :] - used[np.ix_(spot, demand.workload[shared])]
        limit[np.ix_(spot, np.flatnonzero(shared))] = np.minimum(
            limit[np.ix_(spot, np.flatnonzero(shared))], np.maximum(room, 0)
        )
    return limit


def _fill(room: Ints, demand: Demand, limit: Ints, sequence: Ints) -> Ints:
    free = np.ascontiguousarray(room.T)
    limits = np.ascontiguousarray(limit.T)
    counts = np.zeros(limits.shape, dtype=np.int64)
    for c in sequence:
        taken = limits[c]
        if not taken.any():
            continue
        request = [(column, amount) for column, amount in enumerate(demand.requests[c].tolist()) if amount]
        for column, amount in request:
            taken = np.minimum(taken, free[column] // amount)
        counts[c] = taken
        for column, amount in request:
            free[column] -= taken * amount
    return counts.T


def _repeats(supply: Supply, demand: Demand, load: Load, left: Ints, used: Ints) -> int:
    held = np.flatnonzero(load.counts)
    times = int((left[held] // load.counts[held]).min())
    shared = held[demand.workload[held] >= 0]
    if supply.is_spot[load.offer] and len(shared):
        room = demand.per_spot_pool[shared] - used[load.offer, demand.workload[shared]]
        times = min(times, int((np.maximum(room, 0) // load.counts[shared]).min()))
    return times


def _count(used: Ints, demand: Demand, load: Load) -> None:
    shared = np.flatnonzero((demand.workload >= 0) & (load.counts > 0))
    np.add.at(used[load.offer], demand.workload[shared], load.counts[shared])
