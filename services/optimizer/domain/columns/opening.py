"""A first fleet and a first bound, in a moment: what resources are worth, and nodes filled by that."""

from collections.abc import Sequence

import numpy as np

from services.optimizer.domain.columns import linear
from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.frontier import Frontier
from services.optimizer.domain.columns.generate import first_prices
from services.optimizer.domain.columns.limits import Slack
from services.optimizer.domain.columns.master import Column, Prices
from services.optimizer.domain.columns.pricing import Pricer
from services.optimizer.domain.columns.problem import UNBOUNDED
from services.optimizer.domain.columns.reduced import NANO, Reduced

LOOKED_AT_AT_ONCE = 32
"""Offers that are filled anew together, to find the best."""


def resource_worths(reduced: Reduced) -> Ints:
    """Give per shape the sum of what its resources are worth, when nodes could be bought by the slice.

    Limited offers count as unlimited here: these prices prove no more than that.
    """
    shapes, resources = reduced.requests.shape
    if shapes == 0:
        return np.zeros(0, dtype=np.int64)
    room = reduced.total_room
    scale = np.maximum(room.max(axis=0), 1).astype(np.float64)
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
        (room / scale).ravel(),
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
    dear = np.where(reduced.allowed, reduced.pod_nano_usd, np.iinfo(np.int64).max).min(axis=0)
    # A shape that nothing may be launched for runs where it runs already: no offer says what it costs there.
    least = np.where(reduced.allowed.any(axis=0), dear, 0)
    most = np.where(reduced.allowed, reduced.pod_nano_usd, 0).max(axis=0)
    return least, most


def kept(reduced: Reduced, slack: Slack) -> list[tuple[Column, int]]:
    """Choose all nodes that hold pods already, with no others, as far as limits let them be."""
    fleet = []
    for offer in np.flatnonzero(reduced.has_own).tolist():
        own = reduced.own_of(offer)
        times = 0
        while times < int(reduced.copies[offer]) and slack.take(offer, own):
            times += 1
        if times:
            price = int(reduced.nano_usd[offer])
            price += int(reduced.pod_nano_usd[offer] @ own) if reduced.pod_nano_usd.size else 0
            fleet.append((Column(offer, own.copy(), price), times))
    return fleet


def greedy(
    reduced: Reduced,
    frontier: Frontier,
    pricer: Pricer,
    worths: Ints,
    slack: Slack,
    first: Sequence[tuple[Column, int]] = (),
) -> list[tuple[Column, int]]:
    """Choose again and again the node whose load is worth most for its price, as often as pods last.

    Those in `first` are chosen already, and taken off `slack`.
    """
    least, most = _extremes(reduced)
    # Every pod is worth placing, wherever that may be.
    prices = first_prices(reduced, worths + most - least)
    left, copies = reduced.counts.copy(), reduced.copies.copy()
    fleet = list(first)
    for column, times in fleet:
        left -= times * column.counts
        if copies[column.offer] < UNBOUNDED:
            copies[column.offer] -= times
    places = _open(reduced, frontier.offers, left, copies)
    # As pods run out no load gets more valuable: what was found earlier says which offers can be the best now.
    scores = np.full(len(reduced.nano_usd), UNBOUNDED, dtype=np.int64)
    while left.any() and len(places):
        best, load = _best(pricer, prices, left, slack, places, scores, reduced.nano_usd)
        offer = int(places[best])
        # Rows of limits that are used up call for offers that were superfluous before.
        if frontier.bind(slack.broken_by(offer, load)):
            places = _open(reduced, frontier.offers, left, copies)
            continue
        clipped = slack.clipped(offer, load, reduced.own_of(offer))
        if clipped is None or not clipped.any():
            places = np.delete(places, best)
            continue
        load = clipped
        held = load > 0
        times, most_times = 0, min(int((left[held] // load[held]).min()), int(copies[offer]))
        while times < most_times and slack.take(offer, load):
            times += 1
        fleet.append((pricer.columns([offer], load[None, :])[0], times))
        left = left - times * load
        if copies[offer] < UNBOUNDED:
            copies[offer] -= times
        places = _open(reduced, places, left, copies)
    return fleet


def _best(
    pricer: Pricer, prices: Prices, left: Ints, slack: Slack, places: Ints, scores: Ints, nano_usd: Ints
) -> tuple[int, Ints]:
    """Give the place among `places` of the offer whose load is worth most for its price, and the load.

    `scores` are what the loads of each offer were worth when it was last looked at, brought up to date.
    """
    fresh = np.zeros(len(places), dtype=np.bool_)
    while True:
        # Of equals the larger node: it settles more pods at once.
        order = np.lexsort((np.arange(len(places)), -nano_usd[places], -scores[places]))
        if fresh[order[0]]:
            best = int(order[0])
            return best, pricer.last.loads[places[best]].copy()
        now = order[:LOOKED_AT_AT_ONCE]
        now = np.sort(now[~fresh[now]])
        asked = places[now]
        loads = pricer.price(prices, left, slack.left, asked, 0, any_load=True).loads[asked]
        costs = np.maximum(pricer.cost(asked, loads), 1)
        scores[asked] = np.rint((loads @ prices.worths) / costs * 1e6).astype(np.int64)
        fresh[now] = True


def _open(reduced: Reduced, places: Ints, left: Ints, copies: Ints) -> Ints:
    is_open = copies[places] > 0
    if reduced.own.size:
        is_open &= (reduced.own[places] <= left).all(axis=1)
    return places[is_open]
