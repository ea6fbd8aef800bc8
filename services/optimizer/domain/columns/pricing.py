"""Find the columns that would lower the linear program, and what bounds all that were not found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns import knapsack
from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.columns.frontier import Frontier
from services.optimizer.domain.columns.limits import due_of_loads
from services.optimizer.domain.columns.loads import Search, best_loads, different_loads
from services.optimizer.domain.columns.master import Column, Prices
from services.optimizer.domain.columns.reduced import Reduced

TOPPING_STEPS = 300
LOADS_PER_SHAPE = 2
"""So many loads for every shape are the most that are looked for at once."""


@dataclass(frozen=True, slots=True)
class Priced:
    """The best load of each offer looked at."""

    loads: Ints
    """Offer x shape."""
    worths: Ints
    """Per offer: what that load is worth, its costs and dues taken off."""
    bounds: Ints
    """Per offer: what no load is worth more than; never below its price."""


class Pricer:
    """Asks the knapsacks, for the pods that are left."""

    def __init__(self, reduced: Reduced, frontier: Frontier) -> None:
        self._reduced = reduced
        self._frontier = frontier
        self._limited = reduced.limited
        offers, shapes = reduced.allowed.shape
        self._loads = np.zeros((offers, shapes), dtype=np.int64)
        self._worths = np.zeros(offers, dtype=np.int64)
        self._bounds = np.zeros(offers, dtype=np.int64)
        self._many = np.zeros((LOADS_PER_SHAPE * shapes, shapes), dtype=np.int64)
        self._many_offers = np.zeros(len(self._many), dtype=np.int64)
        self._total_room = reduced.total_room
        self._dues = np.zeros(len(reduced.at_most), dtype=np.int64)

    def price(
        self,
        prices: Prices,
        counts: Ints,
        left: Ints,
        places: Ints,
        steps: int,
        *,
        any_load: bool = False,
    ) -> Priced:
        """Fill a node of each of the offers at `places` with what is worth most.

        Args:
            prices: of pods, copies and rows.
            counts: per shape, how many pods are left.
            left: per row of limits, what is left of it.
            places: the offers to look at.
            steps: of search per offer.
            any_load: give the best load even where it is worth less than its node.
        """
        reduced = self._reduced
        floors = reduced.nano_usd.copy()
        floors[self._limited] += prices.rents
        if any_load:
            floors[:] = 0
        search = self._search(prices, counts, left, floors)
        best_loads(search, places, steps, self._loads, self._worths, self._bounds)
        return self.last

    @property
    def last(self) -> Priced:
        """Give what the last pricing found."""
        return Priced(self._loads, self._worths, self._bounds)

    def different(self, prices: Prices, counts: Ints, left: Ints, places: Ints, steps: int) -> list[Column]:
        """Give columns that lower the linear program, many of an offer but no shape twice.

        Args:
            prices: of pods, copies and rows.
            counts: per shape, how many pods are left.
            left: per row of limits, what is left of it.
            places: the offers to look at.
            steps: of search per load.
        """
        reduced = self._reduced
        floors = reduced.nano_usd + (reduced.nano_usd >> 30)
        floors[self._limited] += prices.rents
        search = self._search(prices, counts, left, floors)
        found = different_loads(search, places, steps, self._many, self._many_offers)
        return self.columns(self._many_offers[:found].tolist(), self._many[:found])

    def _search(self, prices: Prices, counts: Ints, left: Ints, floors: Ints) -> Search:
        reduced = self._reduced
        return Search(
            values=prices.worths,
            costs=reduced.pod_nano_usd,
            weights=reduced.requests,
            counts=counts,
            per_node=reduced.per_node,
            room=reduced.room,
            allowed=reduced.allowed,
            own=reduced.own,
            limits=reduced.rows,
            is_bound=self._frontier.is_bound,
            left=left,
            dues=self._due(prices),
            floors=floors,
        )

    def _due(self, prices: Prices) -> Ints:
        if not prices.dues.any():
            return self._dues[:0]
        self._dues[:] = 0
        self._dues[prices.binding] = prices.dues
        return self._dues

    def topping(self, offer: int, held: Ints, left: Ints, worths: Ints) -> Ints:
        """Give what else to put on a node that holds something, of the pods that are left; limits aside."""
        reduced = self._reduced
        values = np.where(reduced.allowed[offer], worths, 0)
        if reduced.pod_nano_usd.size:
            values = values - reduced.pod_nano_usd[offer]
        load = np.zeros_like(held)
        knapsack.best_load(
            values,
            reduced.requests,
            np.maximum(np.minimum(left, reduced.per_node - held), 0),
            self._total_room[offer] - held @ reduced.requests,
            0,
            TOPPING_STEPS,
            load,
        )
        return load

    def improving(self, places: Ints, prices: Prices) -> list[Column]:
        """Give the loads of the last pricing that lower the linear program at these prices."""
        loads = self._loads[places]
        found = np.flatnonzero(self._gains(places, loads, prices))
        return self.columns(places[found].tolist(), loads[found])

    def gaining(self, columns: Sequence[Column], prices: Prices) -> list[Column]:
        """Give the columns that lower the linear program at these prices."""
        if not columns:
            return []
        places = np.array([c.offer for c in columns], dtype=np.int64)
        gains = self._gains(places, np.array([c.counts for c in columns], dtype=np.int64), prices)
        return [columns[i] for i in np.flatnonzero(gains).tolist()]

    def losses(self, columns: Sequence[Column], prices: Prices) -> list[int]:
        """Give what each column costs over what its pods are worth, the dues that they pay taken off that."""
        if not columns:
            return []
        places = np.array([c.offer for c in columns], dtype=np.int64)
        loads = np.array([c.counts for c in columns], dtype=np.int64)
        losses = np.array([c.nano_usd for c in columns], dtype=np.int64) - loads @ prices.worths
        due = self._due(prices)
        if len(due):
            losses += due_of_loads(self._reduced.rows, due, places, loads)
        found: list[int] = losses.tolist()
        return found

    def _gains(self, places: Ints, loads: Ints, prices: Prices) -> Bools:
        costs = self.cost(places, loads)
        gains = loads @ prices.worths - costs
        due = self._due(prices)
        if len(due):
            gains -= due_of_loads(self._reduced.rows, due, places, loads)
        rents = np.zeros(len(self._reduced.nano_usd), dtype=np.int64)
        rents[self._limited] = prices.rents
        return (gains - rents[places] > costs >> 30) & loads.any(axis=1)

    def cost(self, places: Ints, loads: Ints) -> Ints:
        """Give what nodes with their pods cost."""
        costs: Ints = self._reduced.nano_usd[places]
        if self._reduced.pod_nano_usd.size:
            costs = costs + (self._reduced.pod_nano_usd[places] * loads).sum(axis=1)
        return costs

    def columns(self, places: Sequence[int], loads: Ints) -> list[Column]:
        """Give columns of given loads."""
        at = np.array(places, dtype=np.int64)
        costs = self.cost(at, loads)
        return [Column(int(o), loads[i].copy(), int(costs[i])) for i, o in enumerate(at.tolist())]
