"""What Savings Plans still pay for, put on offer: their dollars go to the launches that they save most on.

A dollar of a commitment that is left is paid for anyway; what it is worth depends on what else could be bought for
the same pods. At a price l per committed dollar, an on-demand offering that a plan has a rate for costs
min(list price, l x rate), any number of times. The higher l, the fewer dollars the cheapest fleet takes of the
commitment; the highest at which it still takes all of them is looked for by halving. The launches of that fleet which
the plans pay for, as AWS bills them, are put on offer at what they add to the bill, so many times.

The same prices prove a bound (Lagrangian relaxation of "no more dollars than committed"): whatever a fleet covers, it
costs no less than at those prices, less l times the dollars that are left.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from services.optimizer.domain import commitments
from services.optimizer.domain.columns.problem import Effort
from services.optimizer.domain.columns.solve import never
from services.optimizer.domain.commitments import LimitedOffer
from services.optimizer.domain.offers import MICRO, usd
from services.optimizer.domain.packing import by_columns, grouping
from services.optimizer.domain.packing.classes import UNLIMITED, Bools, Ints, PodClass, columns_for, rows
from services.optimizer.domain.packing.demand import Demand, Load, Supply
from services.optimizer.domain.packing.grouping import Grouper
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.packing.wishing import Wishes
from services.optimizer.domain.rules import SavingsPlan
from shared.kernel.workload import Pod

PARTS = 1024
"""A price per committed dollar is a whole number of these parts."""
HALVINGS = 10
TRIED = 4
"""Fleets that are tried, of those at the highest prices."""
SHARES = ((100, 100, 100), (100, 50, 25), (75, 50, 25))
"""Ways to spend what is left of the dollars; which serves best is found out by trying."""
EFFORT = Effort(rounds=40, improvements=0, proves=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """What commitments that are left pay for."""

    offers: tuple[LimitedOffer, ...] = ()
    """On offer beside those at list price; together they use up no more dollars than are left."""
    at_dollar_price: Shelf
    """The shelf without those, what the plans have rates for at its price in committed dollars: for the bound."""
    prepaid_micro_usd: int = 0
    """What a bound from those prices has to be lowered by."""


def cover(
    pods: Sequence[Pod],
    shelf: Shelf,
    plans: Sequence[SavingsPlan],
    grouper: Grouper,
    *,
    should_stop: Callable[[], bool] = never,
) -> Cover:
    """Put on offer what Savings Plans have left.

    Args:
        pods: that may get new nodes.
        shelf: what there is at list price, and what reservations leave.
        plans: with the dollars that they have left.
        grouper: tells pods apart.
        should_stop: asked often; once told to, what has been found until then is put on offer.
    """
    if not plans or not pods:
        return Cover(at_dollar_price=shelf)
    search = _Search(shelf, plans, grouper, pods, should_stop)
    if not search.rates:
        return Cover(at_dollar_price=shelf)
    # A rate of less than a micro-dollar counts as none.
    low, high = 1, max(-(-shelf.offers[i].micro_usd * PARTS // max(r, 1)) for i, r in search.rates.items())
    fleets = [search.launches(low)]
    for _ in range(HALVINGS):
        if should_stop() or high - low <= 1:
            break
        middle = (low + high) // 2
        found = search.launches(middle)
        if search.spent(found).unspent:
            high = middle
        else:
            low = middle
            fleets.append(found)
    committed = sum(round(p.usd_per_hour * MICRO) for p in plans)
    choices = [search.offered(fleet) for fleet in fleets[-TRIED:]]
    for shares in SHARES if low > 1 else ():
        if should_stop():
            break
        choices.append(search.offered(search.whole(fleets[-1], low, shares)))
    choices = list(dict.fromkeys(choices))
    return Cover(
        offers=min(choices, key=search.cost) if len(choices) > 1 else choices[0],
        at_dollar_price=search.priced(low),
        prepaid_micro_usd=-(-committed * low // PARTS),
    )


@dataclass(slots=True)
class _Search:
    """Asks for the cheapest fleet at one price of a committed dollar after the other."""

    shelf: Shelf
    plans: Sequence[SavingsPlan]
    grouper: Grouper
    pods: Sequence[Pod]
    should_stop: Callable[[], bool]
    rates: dict[int, int] = field(init=False)
    """By row of the shelf that a plan has a rate for: that, in micro-dollars."""
    classes: list[PodClass] = field(init=False)
    _allowed: Bools = field(init=False)
    _requests: Ints = field(init=False)
    _counts: Ints = field(init=False)
    _supply: Supply = field(init=False)
    _wishes: Ints = field(init=False)

    def __post_init__(self) -> None:
        found = (
            (i, commitments.rate(o, self.plans))
            for i, o in enumerate(self.shelf.offers)
            if self.shelf.copies[i] is None
        )
        self.rates = {i: rate for i, rate in found if rate is not None}
        self.classes = self.grouper.classes(self.pods)
        columns = columns_for(self.pods)
        self._supply = self.shelf.supply(columns, self.grouper.rules)
        self._allowed = grouping.allowed_rows(self.classes, self.shelf, self._supply.is_spot, None)
        self._requests = rows(columns, self.classes)
        self._wishes = Wishes(self.classes, self.grouper.rules).on(self.shelf.nodes)
        self._counts = np.array([len(c.pods) for c in self.classes], dtype=np.int64)

    def at(self, parts: int) -> dict[int, int]:
        """Give, by row that is cheaper then, what it costs at a price per committed dollar; rounded down."""
        prices = {i: rate * parts // PARTS for i, rate in self.rates.items()}
        return {i: micro for i, micro in prices.items() if micro < self.shelf.offers[i].micro_usd}

    def priced(self, parts: int) -> Shelf:
        """Give the shelf at a price per committed dollar."""
        prices = self.at(parts)
        return self.shelf.repriced(
            replace(o, usd_per_hour=usd(prices[i]), is_stale=False) if i in prices else o
            for i, o in enumerate(self.shelf.offers)
        )

    def launches(
        self, parts: int, held: Ints | None = None, dollars: Sequence[SavingsPlan] | None = None
    ) -> list[Load]:
        """Give the nodes of the cheapest fleet that a plan would pay for at that price of its dollar.

        Where so many pods of each class are `held` elsewhere, and plans have only so many `dollars` left, these are
        the nodes for the others, and each costs less only if the dollars are enough for it.
        """
        prices = self.at(parts)
        if dollars is not None:
            prices = {i: micro for i, micro in prices.items() if self._is_enough(i, dollars)}
        micro_usd = self._supply.micro_usd.copy()
        micro_usd[list(prices)] = list(prices.values())
        supply = replace(self._supply, micro_usd=micro_usd)
        counts = self._counts if held is None else self._counts - held
        found = self._loads(supply, self._demand(counts, len(micro_usd)))
        return [x for x in found.nodes if x.offer in prices]

    def _demand(self, counts: Ints, offers: int) -> Demand:
        classes = self.classes
        return Demand(
            requests=self._requests,
            counts=counts,
            allowed=self._allowed,
            # Where limits per pool, zones and rules between pods come in, the packing has the last word.
            per_spot_pool=np.full(len(classes), UNLIMITED, dtype=np.int64),
            workload=np.full(len(classes), -1, dtype=np.int64),
            node_limits=tuple(c.node_limits for c in classes),
            counted=grouping.counted_by(classes),
            used=np.zeros((offers, 1), dtype=np.int64),
            interruption_micro_usd=grouping.interruption_costs(classes, self.grouper.judge),
            preference_micro_usd=self._wishes,
        )

    def _loads(self, supply: Supply, demand: Demand) -> by_columns.Loads:
        return by_columns.loads(supply, demand, effort=EFFORT, should_stop=self.should_stop)

    def spent(self, launches: Iterable[Load]) -> commitments.Spent:
        """Give what the plans cover of some launches."""
        return commitments.spent([self.shelf.offers[x.offer] for x in launches], self.plans)

    def whole(self, launches: Sequence[Load], parts: int, shares: Sequence[int]) -> list[Load]:
        """Give launches that the plans pay for as a whole, as far as their dollars go, and one more for the rest.

        Where the dollars left are too few for the launches of one round, those of the next are smaller, at such a
        share, in percent, of the price of a dollar: what is not spent would be lost.
        """
        taken: list[Load] = []
        held = np.zeros_like(self._counts)
        for share in (*shares, 0):
            extra = self.spent([*taken, *launches]).extra_micro_usd[len(taken) :]
            whole = [x for x, micro in zip(launches, extra, strict=True) if micro == 0]
            taken += whole
            held += sum((x.counts for x in whole), np.zeros_like(held))
            left = self.spent(taken).unspent
            if not left or not (held < self._counts).any() or self.should_stop():
                return taken
            launches = self.launches(max(parts * share // 100, 1), held, left if share else None)
        smallest = min(launches, key=lambda x: (self.rates[x.offer], x.offer), default=None)
        return taken if smallest is None else [*taken, smallest]

    def cost(self, offers: Sequence[LimitedOffer]) -> tuple[int, int]:
        """Give how many pods the cheapest fleet leaves out, and what it costs, where these are on offer too."""
        at = {o.pool: i for i, o in enumerate(self.shelf.offers) if self.shelf.copies[i] is None}
        like = [*range(len(self.shelf.offers)), *(at[x.offer.pool] for x in offers)]
        there = self._supply
        copies = there.copies if there.copies.size else np.full(len(there.micro_usd), UNLIMITED, np.int64)
        supply = Supply(
            room=there.room[like],
            micro_usd=np.append(there.micro_usd, [x.offer.micro_usd for x in offers]).astype(np.int64),
            chance=there.chance[like],
            is_spot=there.is_spot[like],
            copies=np.append(copies, [x.copies for x in offers]).astype(np.int64),
        )
        demand = self._demand(self._counts, len(like))
        wishes = self._wishes[like] if self._wishes.size else self._wishes
        found = self._loads(supply, replace(demand, allowed=self._allowed[like], preference_micro_usd=wishes))
        costs = np.floor(supply.chance[:, None] * demand.interruption_micro_usd[None, :]).astype(np.int64)
        if wishes.size:
            costs += wishes
        total = sum(int(supply.micro_usd[x.offer] + costs[x.offer] @ x.counts) for x in found.nodes)
        return int(found.left.sum()), total

    def _is_enough(self, row: int, dollars: Sequence[SavingsPlan]) -> bool:
        own = (p for p in dollars if commitments.rate(self.shelf.offers[row], (p,)) == self.rates[row])
        return any(round(p.usd_per_hour * MICRO) >= self.rates[row] for p in own)

    def offered(self, launches: Sequence[Load]) -> tuple[LimitedOffer, ...]:
        """Give what the plans pay for of some launches, dealt out to the zones that would do for their pods."""
        copies: dict[tuple[int, int], int] = {}
        dealt: dict[int, int] = {}
        for node, micro in zip(launches, self.spent(launches).extra_micro_usd, strict=True):
            if micro is None:
                continue
            row = min(self._twins(node), key=lambda i: (dealt.get(i, 0), self.shelf.offers[i].pool))
            dealt[row] = dealt.get(row, 0) + 1
            copies[row, micro] = copies.get((row, micro), 0) + 1
        offers = self.shelf.offers
        found = [LimitedOffer(commitments.at_extra(offers[i], m), n) for (i, m), n in copies.items()]
        return tuple(sorted(found, key=lambda x: (x.offer.pool, x.offer.micro_usd)))

    def _twins(self, node: Load) -> list[int]:
        """Give the rows of the same type at the same price that take the same pods: other zones."""
        asked = self.shelf.offers[node.offer]
        held = np.flatnonzero(node.counts)
        return [
            i
            for i in self.rates
            if self.shelf.offers[i].pool.instance_type == asked.pool.instance_type
            and self.shelf.offers[i].micro_usd == asked.micro_usd
            and self._allowed[i, held].all()
        ]
