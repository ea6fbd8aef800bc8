"""Find the columns that would lower the linear program, and what bounds all that were not found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns import knapsack
from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.master import Column
from services.optimizer.domain.columns.reduced import Reduced

TOPPING_STEPS = 300


@dataclass(frozen=True, slots=True)
class Priced:
    """The best load of each offer looked at."""

    loads: Ints
    """Offer x shape."""
    bounds: Ints
    """Per offer: what no load is worth more than; never below its price."""


class Pricer:
    """Asks the knapsacks, for the pods that are left."""

    def __init__(self, reduced: Reduced) -> None:
        self._reduced = reduced
        self._limited = reduced.limited
        offers, shapes = reduced.allowed.shape
        self._loads = np.zeros((offers, shapes), dtype=np.int64)
        self._worths = np.zeros(offers, dtype=np.int64)
        self._bounds = np.zeros(offers, dtype=np.int64)

    def price(
        self,
        worths: Ints,
        rents: Ints | None,
        counts: Ints,
        rows: Ints,
        steps: int,
        *,
        any_load: bool = False,
    ) -> Priced:
        """Fill a node of each of the offers `rows` with what is worth most.

        Args:
            worths: per shape.
            rents: per limited offer, what a copy must earn beside its price; None: nothing.
            counts: per shape, how many pods are left.
            rows: the offers to look at.
            steps: of search per offer.
            any_load: give the best load even where it is worth less than its node.
        """
        floors = self._reduced.nano_usd.copy()
        if rents is not None:
            floors[self._limited] += rents
        if any_load:
            floors[:] = 0
        self._loads[rows] = 0
        self._bounds[:] = floors
        knapsack.best_loads(
            worths,
            self._reduced.pod_nano_usd,
            self._reduced.requests,
            np.minimum(counts, self._reduced.per_node),
            self._reduced.room,
            self._reduced.allowed,
            floors,
            rows,
            steps,
            self._loads,
            self._worths,
            self._bounds,
        )
        return Priced(self._loads, self._bounds)

    def topping(self, offer: int, held: Ints, left: Ints, worths: Ints) -> Ints:
        """Give what else to put on a node that holds something, of the pods that are left."""
        reduced = self._reduced
        values = np.where(reduced.allowed[offer], worths, 0)
        if reduced.pod_nano_usd.size:
            values = values - reduced.pod_nano_usd[offer]
        load = np.zeros_like(held)
        knapsack.best_load(
            values,
            reduced.requests,
            np.minimum(left, reduced.per_node - held),
            reduced.room[offer] - held @ reduced.requests,
            0,
            TOPPING_STEPS,
            load,
        )
        return load

    def improving(self, rows: Ints, worths: Ints, rents: Ints) -> list[Column]:
        """Give the loads of the last pricing that lower the linear program at these prices."""
        loads = self._loads[rows]
        prices = self.cost(rows, loads)
        gains = loads @ worths - prices
        rent_of = dict(zip(self._limited.tolist(), rents.tolist(), strict=True))
        found = []
        for i, o in enumerate(rows.tolist()):
            if gains[i] - rent_of.get(o, 0) > prices[i] >> 30:
                found.append(Column(o, loads[i].copy(), int(prices[i])))
        return found

    def cost(self, rows: Ints, loads: Ints) -> Ints:
        """Give what nodes with their pods cost."""
        prices: Ints = self._reduced.nano_usd[rows]
        if self._reduced.pod_nano_usd.size:
            prices = prices + (self._reduced.pod_nano_usd[rows] * loads).sum(axis=1)
        return prices

    def columns(self, rows: Sequence[int], loads: Ints) -> list[Column]:
        """Give columns of given loads."""
        at = np.array(rows, dtype=np.int64)
        prices = self.cost(at, loads)
        return [Column(int(o), loads[i].copy(), int(prices[i])) for i, o in enumerate(at.tolist())]
