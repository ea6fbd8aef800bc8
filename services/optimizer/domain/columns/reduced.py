"""The problem without what cannot matter, in an order that does not depend on how it was given.

Offers that others make superfluous are left out (`dominance`), as long as no limit can make a difference between
them. Requests are counted in their greatest common divisor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.columns.dominance import undominated
from services.optimizer.domain.columns.limits import Rows, no_rows
from services.optimizer.domain.columns.problem import UNBOUNDED, FleetProblem, Limit

NANO = 1000
"""Inside the solver money is counted in 1e-9 USD, so that what a small pod is worth has digits enough."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """The arrays that the solver works on."""

    requests: Ints
    counts: Ints
    per_node: Ints
    room: Ints
    """What a node has beside its own pods."""
    nano_usd: Ints
    allowed: Bools
    copies: Ints
    pod_nano_usd: Ints
    own: Ints
    """Offer x shape; no rows when no offer has own pods."""
    rows: Rows
    """Of limits."""
    at_most: Ints
    """Per row of limits."""
    group_sizes: Ints
    """Per grouping of the limits: how many groups there are."""
    shapes: Ints
    """Which shape of the problem each row is."""
    offers: Ints
    """Which offer of the problem each row is."""

    @property
    def limited(self) -> Ints:
        """Give the offers of which there are only so many."""
        return np.flatnonzero(self.copies < UNBOUNDED)

    @property
    def has_own(self) -> Bools:
        """Tell which offers have own pods."""
        if not self.own.size:
            return np.zeros(len(self.offers), dtype=np.bool_)
        return np.asarray(self.own.any(axis=1))

    @property
    def total_room(self) -> Ints:
        """Give per offer what a node has for its own pods and others."""
        return self.room + self.own @ self.requests if self.own.size else self.room

    def own_of(self, offer: int) -> Ints:
        """Give the pods that each copy of an offer holds already."""
        return self.own[offer] if self.own.size else np.zeros_like(self.counts)

    def kept(self, is_kept: Bools, active: Bools) -> Bools:
        """Tell which offers matter beside those marked, when those groups of the limits do.

        Args:
            is_kept: per offer.
            active: per group of each grouping.
        """
        is_kept = is_kept.copy()
        undominated(
            is_kept,
            self.nano_usd,
            self.room,
            self.allowed,
            self.pod_nano_usd,
            np.minimum(_most_pods(self.requests, self.room), self.counts.sum()),
            (self.copies >= UNBOUNDED) & ~self.has_own,
            ~self.has_own,
            self.rows.groups,
            np.cumsum(self.group_sizes) - self.group_sizes,
            active,
        )
        return is_kept

    def of_offers(self, places: Ints) -> "Reduced":
        """Give the same for some of the offers."""
        groups = self.rows.groups
        return Reduced(
            requests=self.requests,
            counts=self.counts,
            per_node=self.per_node,
            room=np.ascontiguousarray(self.room[places]),
            nano_usd=self.nano_usd[places],
            allowed=np.ascontiguousarray(self.allowed[places]),
            copies=self.copies[places],
            pod_nano_usd=self.pod_nano_usd[places] if self.pod_nano_usd.size else self.pod_nano_usd,
            own=self.own[places] if self.own.size else self.own,
            rows=self.rows._replace(
                groups=np.ascontiguousarray(groups[:, places]) if groups.size else groups
            ),
            at_most=self.at_most,
            group_sizes=self.group_sizes,
            shapes=self.shapes,
            offers=self.offers[places],
        )


def reduce(problem: FleetProblem) -> Reduced:
    """Leave out what cannot matter, and settle the order."""
    offers, shapes = len(problem.micro_usd), len(problem.counts)
    per_node = problem.per_node if problem.per_node.size else np.full(shapes, UNBOUNDED, dtype=np.int64)
    copies = problem.copies if problem.copies.size else np.full(offers, UNBOUNDED, dtype=np.int64)
    own = problem.own if problem.own.any() else np.zeros((offers, 0), dtype=np.int64)
    holds = problem.allowed & (per_node > 0) & (problem.counts > 0) & (copies > 0)[:, None]
    for r in range(problem.requests.shape[1]):
        holds &= problem.requests[:, r] <= problem.room[:, r][:, None]
    can = holds | ((own > 0) & (copies > 0)[:, None]) if own.size else holds
    live = np.flatnonzero(can.any(axis=0))
    useful = np.flatnonzero(can.any(axis=1))
    live = live[_order(_shape_keys(problem, live, per_node, holds[useful]))]
    useful = useful[_order(_offer_keys(problem, useful, live, copies, holds))]
    requests, room = _scaled(problem.requests[live], problem.room[useful])
    costs, at = problem.pod_micro_usd, np.ix_(useful, live)
    rows, at_most, sizes = _rows(problem.limits, live, useful, problem.counts)
    reduced = Reduced(
        requests=requests,
        counts=problem.counts[live].astype(np.int64),
        per_node=per_node[live],
        room=room,
        nano_usd=problem.micro_usd[useful] * NANO,
        allowed=np.ascontiguousarray(holds[at]),
        copies=copies[useful],
        pod_nano_usd=costs[at] * NANO if costs.any() else np.zeros((0, 0), dtype=np.int64),
        own=np.ascontiguousarray(own[at]) if own.size else np.zeros((0, 0), dtype=np.int64),
        rows=rows,
        at_most=at_most,
        group_sizes=sizes,
        shapes=live,
        offers=useful,
    )
    nothing = np.zeros(len(useful), dtype=np.bool_)
    return reduced.of_offers(np.flatnonzero(reduced.kept(nothing, np.ones(int(sizes.sum()), dtype=np.bool_))))


def _rows(limits: Sequence[Limit], live: Ints, useful: Ints, counts: Ints) -> tuple[Rows, Ints, Ints]:
    """Give the rows of the limits that can matter, what they allow, and how many groups each grouping has."""
    matter = [
        limit
        for limit in limits
        if len(limit.at_most) and int(limit.weights[live] @ counts[live]) > int(limit.at_most.min())
    ]
    if not matter:
        return no_rows(len(live)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    groupings: dict[bytes, int] = {}
    known: dict[int, int] = {}
    groups: list[Ints] = []
    sizes: list[int] = []
    grouping: list[int] = []
    for limit in matter:
        # Limits that share an array are many; comparing what it holds once is enough.
        if id(limit.group) not in known:
            mine = limit.group[useful].astype(np.int64)
            at = groupings.setdefault(mine.tobytes(), len(groups))
            if at == len(groups):
                groups.append(mine)
                sizes.append(0)
            known[id(limit.group)] = at
        at = known[id(limit.group)]
        sizes[at] = max(sizes[at], len(limit.at_most))
        grouping.append(at)
    weights = np.array([limit.weights[live] for limit in matter], dtype=np.int64)
    shape_of, limit_of = np.nonzero(weights.T)
    lengths = np.array([len(limit.at_most) for limit in matter], dtype=np.int64)
    rows = Rows(
        starts=np.searchsorted(shape_of, np.arange(len(live) + 1)).astype(np.int64),
        limit=limit_of.astype(np.int64),
        weight=weights[limit_of, shape_of],
        offset=np.cumsum(lengths) - lengths,
        grouping=np.array(grouping, dtype=np.int64),
        groups=np.array(groups, dtype=np.int64),
    )
    at_most = np.concatenate([limit.at_most for limit in matter]).astype(np.int64)
    return rows, at_most, np.array(sizes, dtype=np.int64)


def _order(keys: list[Ints]) -> Ints:
    return np.lexsort(keys[::-1]).astype(np.int64)


def _shape_keys(problem: FleetProblem, live: Ints, per_node: Ints, holds: Bools) -> list[Ints]:
    columns = [-problem.requests[live, r] for r in range(problem.requests.shape[1])]
    prices = problem.micro_usd @ problem.allowed[:, live]
    owned = (
        [problem.own[:, live].sum(axis=0), problem.micro_usd @ problem.own[:, live]]
        if problem.own.size
        else []
    )
    limits = [limit.weights[live] for limit in problem.limits]
    return [
        *columns,
        per_node[live],
        problem.counts[live],
        prices,
        holds[:, live].sum(axis=0),
        *owned,
        *limits,
    ]


def _offer_keys(problem: FleetProblem, useful: Ints, live: Ints, copies: Ints, holds: Bools) -> list[Ints]:
    columns = [-problem.room[useful, r] for r in range(problem.room.shape[1])]
    # Which shapes an offer takes, as numbers that do not depend on how the shapes were numbered.
    taken = [holds[np.ix_(useful, live)].astype(np.int64)]
    if problem.own.any():
        taken.append(problem.own[np.ix_(useful, live)])
    if problem.pod_micro_usd.any():
        taken.append(problem.pod_micro_usd[np.ix_(useful, live)])
    sums = [part @ problem.requests[live] for part in taken]
    groups = {id(limit.group): limit.group[useful] for limit in problem.limits}
    return [
        problem.micro_usd[useful],
        *columns,
        -copies[useful],
        *(-part[:, r] for part in sums for r in range(part.shape[1])),
        *groups.values(),
    ]


def _most_pods(requests: Ints, room: Ints) -> Ints:
    """Give per offer how many pods it holds at most."""
    most = np.full(len(room), UNBOUNDED, dtype=np.int64)
    for r in range(requests.shape[1]):
        least = int(requests[:, r].min(initial=UNBOUNDED))
        if 0 < least < UNBOUNDED:
            most = np.minimum(most, room[:, r] // least)
    return most


def _scaled(requests: Ints, room: Ints) -> tuple[Ints, Ints]:
    requests, room = requests.astype(np.int64), room.astype(np.int64)
    used = [r for r in range(requests.shape[1]) if len(requests) and requests[:, r].any()]
    requests, room = requests[:, used], room[:, used]
    for r in range(len(used)):
        divisor = int(np.gcd.reduce(requests[:, r]))
        requests[:, r] //= divisor
        room[:, r] //= divisor
    return np.ascontiguousarray(requests), np.ascontiguousarray(room)
