"""Which pods take the places that a fleet has for their kind in each zone, so that every spread over zones is kept.

The solver holds all spreads over the same zones together, and says how many pods of a shape a zone has room for. A
linear program deals each spread's classes out to those places; what it says in fractions is rounded down first, and
then filled up as far as places and levels let.
"""

from collections.abc import Sequence

import numpy as np

from services.optimizer.domain.columns import linear
from services.optimizer.domain.columns.problem import PlannedNode
from services.optimizer.domain.packing.classes import UNLIMITED, Ints
from services.optimizer.domain.packing.demand import Demand

SHORT = 10.0
"""What one pod less than a zone needs costs, in pods without a place."""
ROUNDING = 1e-6


def quotas(demand: Demand, members: Sequence[Sequence[int]], nodes: Sequence[PlannedNode]) -> Ints:
    """Give class x zone: how many pods may go there; unlimited for classes that no level is about."""
    zones = int(demand.zone.max(initial=-1)) + 1
    found = np.full((len(demand.counts), max(zones, 1)), UNLIMITED, dtype=np.int64)
    live = sorted({c for level in demand.levels for c in (*level.own, *level.others)})
    if not live:
        return found
    places = np.zeros((zones, len(members)), dtype=np.int64)
    for node in nodes:
        places[demand.zone[node.offer]] += node.counts
    shape_of = {c: s for s, classes in enumerate(members) for c in classes}
    shape = np.array([shape_of[c] for c in live], dtype=np.int64)
    at = {c: i for i, c in enumerate(live)}
    dealt = _dealt(demand, live, at, shape, places.T)
    found[live] = _filled(demand, live, at, shape, places.T, dealt)
    return found


def _dealt(demand: Demand, live: Sequence[int], at: dict[int, int], shape: Ints, places: Ints) -> Ints:
    classes, zones = len(live), places.shape[1]
    cell = np.arange(classes * zones, dtype=np.int32).reshape(classes, zones)
    lower: list[float] = []
    upper: list[float] = []
    entries: list[Ints] = []

    def add(cells: Ints, least: float, most: float) -> None:
        lower.append(least)
        upper.append(most)
        entries.append(cells.ravel())

    shorts: list[tuple[int, float]] = []
    for i, c in enumerate(live):
        add(cell[i], 0.0, float(demand.counts[c]))
    for s in np.unique(shape).tolist():
        for z in range(zones):
            add(cell[shape == s, z], 0.0, float(places[s, z]))
    for level in demand.levels:
        own = [at[c] for c in level.own]
        counted = [*own, *(at[c] for c in level.others)]
        for z in range(zones):
            if level.others:
                add(cell[own, z], 0.0, float(level.most_own[z]))
            shorts.append((len(lower), float(level.least[z])))
            add(cell[counted, z], float(level.least[z]), float(level.most[z]))
    lp = linear.program()
    none = np.zeros(0, dtype=np.int32)
    lp.addRows(len(lower), np.array(lower), np.array(upper), 0, none, none, np.zeros(0))
    rows = np.repeat(np.arange(len(entries)), [len(e) for e in entries]).astype(np.int32)
    cells = np.concatenate(entries)
    order = np.lexsort((rows, cells))
    sizes = np.bincount(cells, minlength=cell.size)
    # Only places that there are: a column for each of the others would say nothing.
    n = cell.size
    lp.addCols(
        n,
        np.full(n, -1.0),
        np.zeros(n),
        np.minimum(np.array([demand.counts[c] for c in live])[:, None], places[shape]).ravel().astype(float),
        len(cells),
        (np.cumsum(sizes) - sizes).astype(np.int32),
        rows[order],
        np.ones(len(cells)),
    )
    m = len(shorts)
    lp.addCols(
        m,
        np.full(m, SHORT),
        np.zeros(m),
        np.array([least for _, least in shorts]),
        m,
        np.arange(m, dtype=np.int32),
        np.array([row for row, _ in shorts], dtype=np.int32),
        np.ones(m),
    )
    linear.solve(lp)
    values = np.array(lp.getSolution().col_value[:n], dtype=np.float64).reshape(classes, zones)
    found: Ints = np.floor(np.maximum(values, 0.0) + ROUNDING).astype(np.int64)
    return found


def _filled(
    demand: Demand, live: Sequence[int], at: dict[int, int], shape: Ints, places: Ints, dealt: Ints
) -> Ints:
    """Give free places to pods that have none."""
    free = places.copy()
    np.subtract.at(free, shape, dealt)
    left = np.array([demand.counts[c] for c in live], dtype=np.int64) - dealt.sum(axis=1)
    for level in demand.levels:
        own = [at[c] for c in level.own]
        others = [at[c] for c in level.others]
        room_own = level.most_own - dealt[own].sum(axis=0)
        room = level.most - dealt[[*own, *others]].sum(axis=0)
        for i in (*own, *others):
            for z in range(places.shape[1]):
                most = min(left[i], free[shape[i], z], room[z], room_own[z] if i in own else UNLIMITED)
                if most > 0:
                    dealt[i, z] += most
                    left[i] -= most
                    free[shape[i], z] -= most
                    room[z] -= most
                    room_own[z] -= most if i in own else 0
    return dealt
