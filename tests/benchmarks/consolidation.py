"""Consolidation as Karpenter's documentation describes it, to compare with: nothing of the product is in it.

Empty nodes go. Then several nodes at once: in order of how many pods they disturb, the longest row of nodes, found
by bisection, whose pods fit on the others and at most one new node that costs less than they do together. Then
single nodes likewise. A spot node gives way to one other spot node only if 15 types are cheaper. Every command is
carried out before the next is looked for; it ends when there is none.
"""

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from tests.benchmarks.cluster import Cluster
from tests.benchmarks.market import Market

MOST_AT_ONCE = 100
CHEAPER_SPOT_TYPES = 15
NONE = -1


class Consolidation:
    """A cluster while it is consolidated."""

    def __init__(self, cluster: Cluster, market: Market) -> None:
        self.offers = cluster.offers.copy()
        self.counts = cluster.counts.copy()
        self.moved = 0
        self._requests = cluster.requests
        self._market = market
        self._names = np.array(market.names)
        self._room = market.room[:, :3]
        self._may_run = market.room[:, 3] == 0
        self._free = self._room[self.offers] - self.counts @ self._requests
        self._order = np.lexsort((-self._requests[:, 1], -self._requests[:, 0])).tolist()

    @property
    def micro_usd(self) -> int:
        """Give what the nodes cost an hour."""
        return int(self._market.micro_usd[self.offers].sum())

    def run(self) -> None:
        """Carry out commands until there is none."""
        self._keep(self.counts.sum(axis=1) > 0)
        at = 0
        while True:
            if self._several():
                at = 0
                continue
            order = self._by_disruption()
            failed = 0
            while failed < len(order):
                if self._try(order[[at % len(order)]]):
                    break
                at, failed = at + 1, failed + 1
            if failed >= len(order):
                return

    def _by_disruption(self) -> Ints:
        pods = self.counts.sum(axis=1)
        return np.lexsort((np.arange(len(pods)), pods)).astype(np.int64)

    def _several(self) -> bool:
        order = self._by_disruption()[:MOST_AT_ONCE]
        low, high, best = 2, len(order), 0
        while low <= high:
            middle = (low + high) // 2
            if self._found(order[:middle]) is not None:
                best, low = middle, middle + 1
            else:
                high = middle - 1
        return best > 0 and self._try(order[:best])

    def _try(self, group: Ints) -> bool:
        found = self._found(group)
        if found is None:
            return False
        added, rest, offer = found
        self.moved += int(self.counts[group].sum())
        self.counts += added
        is_kept = np.ones(len(self.offers), dtype=np.bool_)
        is_kept[group] = False
        self._keep(is_kept)
        if offer != NONE:
            self.offers = np.append(self.offers, offer)
            self.counts = np.vstack([self.counts, rest])
        self._free = self._room[self.offers] - self.counts @ self._requests
        return True

    def _keep(self, is_kept: Bools) -> None:
        self.offers, self.counts = self.offers[is_kept], self.counts[is_kept]
        self._free = self._free[is_kept]

    def _found(self, group: Ints) -> tuple[Ints, Ints, int] | None:
        """Give what goes to which other node, what is on a new one, and its offer; None when it does not pay."""
        free = self._free.copy()
        free[group] = 0
        rest = self.counts[group].sum(axis=0)
        added = np.zeros_like(self.counts)
        for shape in self._order:
            if rest[shape]:
                fit = (free // self._requests[shape]).min(axis=1)
                before = np.cumsum(fit) - fit
                taken = np.clip(rest[shape] - before, 0, fit)
                added[:, shape] = taken
                free -= taken[:, None] * self._requests[shape]
                rest[shape] -= taken.sum()
        if not rest.any():
            return added, rest, NONE
        price = int(self._market.micro_usd[self.offers[group]].sum())
        holds = self._may_run & (rest @ self._requests <= self._room).all(axis=1)
        cheaper = np.flatnonzero(holds & (self._market.micro_usd < price))
        if len(group) == 1 and self._market.is_spot[self.offers[group]].all():
            spot = cheaper[self._market.is_spot[cheaper]]
            cheaper = cheaper[~self._market.is_spot[cheaper]]
            if len(set(self._names[spot].tolist())) >= CHEAPER_SPOT_TYPES:
                cheaper = np.concatenate([cheaper, spot])
        if not len(cheaper):
            return None
        return added, rest, int(cheaper[np.argmin(self._market.micro_usd[cheaper])])
