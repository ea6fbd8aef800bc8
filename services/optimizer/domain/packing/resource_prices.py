"""What a core, a byte and a pod slot are worth: the highest prices at which no offer is worth more than it costs.

At those prices a perfectly filled, perfectly suited node is worth its price, and they prove a lower bound:
whatever the fleet, its nodes cost at least what their loads are worth.
"""

import numpy as np

from services.optimizer.domain.packing.classes import CPU, MEMORY, PODS, Floats, Ints

DIRECTIONS = 48
REFINEMENTS = 3
SLOT_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75)


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
