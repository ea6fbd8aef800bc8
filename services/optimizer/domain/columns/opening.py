"""A first fleet and a first bound, in a moment: what resources are worth, and nodes filled by that."""

import numpy as np

from services.optimizer.domain.columns import linear
from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.master import Column
from services.optimizer.domain.columns.pricing import Pricer
from services.optimizer.domain.columns.problem import UNBOUNDED
from services.optimizer.domain.columns.reduced import NANO, Reduced


def resource_worths(reduced: Reduced) -> Ints:
    """Give per shape the sum of what its resources are worth, when nodes could be bought by the slice.

    Limited offers count as unlimited here: these prices prove no more than that.
    """
    shapes, resources = reduced.requests.shape
    if shapes == 0:
        return np.zeros(0, dtype=np.int64)
    scale = np.maximum(reduced.room.max(axis=0), 1).astype(np.float64)
    lp = linear.program()
    demand = (reduced.counts[:, None] * reduced.requests).sum(axis=0) / scale
    none = np.zeros(0, dtype=np.int32)
    lp.addRows(resources, demand, np.full(resources, linear.INFINITE), 0, none, none, np.zeros(0))
    offers = len(reduced.nano_usd)
    lp.addCols(
        offers,
        np.maximum(reduced.nano_usd, NANO) * 1e-9,
        np.zeros(offers),
        np.full(offers, linear.INFINITE),
        offers * resources,
        np.arange(offers, dtype=np.int32) * resources,
        np.tile(np.arange(resources, dtype=np.int32), offers),
        (reduced.room / scale).ravel(),
    )
    lp.run()
    duals = np.maximum(np.array(lp.getSolution().row_dual), 0.0) / scale
    worths: Ints = np.maximum(np.rint(reduced.requests @ duals * 1e9), 1).astype(np.int64)
    # Whatever a pod costs where it costs least, it costs beside its share of a node.
    return worths + _extremes(reduced)[0]


def _extremes(reduced: Reduced) -> tuple[Ints, Ints]:
    """Give per shape what a pod costs at least and at most beside its node, over the offers that may hold it."""
    if not reduced.pod_nano_usd.size:
        nothing = np.zeros(len(reduced.counts), dtype=np.int64)
        return nothing, nothing
    least = np.where(reduced.allowed, reduced.pod_nano_usd, np.iinfo(np.int64).max).min(axis=0)
    most = np.where(reduced.allowed, reduced.pod_nano_usd, 0).max(axis=0)
    return least, most


def greedy(reduced: Reduced, pricer: Pricer, worths: Ints) -> list[tuple[Column, int]]:
    """Choose again and again the node whose load is worth most for its price, as often as pods last."""
    least, most = _extremes(reduced)
    worths = worths + most - least  # every pod is worth placing, wherever that may be
    left, copies = reduced.counts.copy(), reduced.copies.copy()
    fleet: list[tuple[Column, int]] = []
    rows = np.flatnonzero(copies > 0)
    while left.any() and len(rows):
        loads = pricer.price(worths, None, left, rows, 0, any_load=True).loads[rows]
        prices = np.maximum(pricer.cost(rows, loads), 1)
        score = np.rint((loads @ worths) / prices * 1e6).astype(np.int64)
        # Of equals the larger node: it settles more pods at once.
        order = np.lexsort((np.arange(len(rows)), -reduced.nano_usd[rows], -score))
        best = int(order[0])
        load = loads[best]
        held = load > 0
        if not held.any():
            break
        offer = int(rows[best])
        times = min(int((left[held] // load[held]).min()), int(copies[offer]))
        fleet.append((pricer.columns([offer], load[None, :])[0], times))
        left = left - times * load
        if copies[offer] < UNBOUNDED:
            copies[offer] -= times
        rows = rows[copies[rows] > 0]
    return fleet
