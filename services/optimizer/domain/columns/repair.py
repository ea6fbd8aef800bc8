"""Make whole nodes cheaper without the linear program: empty, merge, downsize.

Every change keeps all pods placed and every node within its room, and is made only if it saves.
"""

from collections.abc import Sequence

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.columns.compiled import compiled
from services.optimizer.domain.columns.dive import Load
from services.optimizer.domain.columns.frontier import Frontier
from services.optimizer.domain.columns.limits import Rows, Slack, room_for
from services.optimizer.domain.columns.problem import UNBOUNDED
from services.optimizer.domain.columns.reduced import Reduced

NEVER = np.iinfo(np.int64).max // 4
PAIRS_AT_ONCE = 200_000
LOOKED_AT = 48
"""Nodes that may be merged or emptied: those that cost most over what their pods are worth."""


@compiled
def moved_out(
    source: int,
    counts: Ints,
    requests: Ints,
    free: Ints,
    offers: Ints,
    allowed: Bools,
    per_node: Ints,
    rows: Rows,
    left_in: Ints,
    order: Ints,
    moves: Ints,
) -> int:
    """Move pods of one node, the first shapes first, to wherever there is room; give how many could not.

    What the moved pods use in rows of limits is taken off `left_in`, what they used before is not given back.
    """
    moves[:] = 0
    stuck = 0
    resources = requests.shape[1]
    for s in range(counts.shape[1]):
        left = counts[source, s]
        for t in order:
            if left == 0:
                break
            if t == source or not allowed[offers[t], s]:
                continue
            fit = min(left, per_node[s] - counts[t, s])
            if rows.starts[s + 1] > rows.starts[s]:
                fit = min(fit, room_for(rows, left_in, offers[t], s))
            for k in range(resources):
                if requests[s, k] > 0:
                    fit = min(fit, free[t, k] // requests[s, k])
            if fit > 0:
                moves[t, s] += fit
                left -= fit
                for e in range(rows.starts[s], rows.starts[s + 1]):
                    limit = rows.limit[e]
                    group = rows.groups[rows.grouping[limit], offers[t]]
                    if group >= 0:
                        left_in[rows.offset[limit] + group] -= fit * rows.weight[e]
                for k in range(resources):
                    free[t, k] -= fit * requests[s, k]
        stuck += left
    return stuck


class Repairer:
    """Improves fleets of one problem.

    A node with pods of its own holds all of them or is given up; none is brought back.
    """

    def __init__(self, reduced: Reduced, frontier: Frontier) -> None:
        self.worths = np.zeros(len(reduced.counts), dtype=np.int64)
        """Per shape: what the relaxation says a pod is worth. No merge gains more than its nodes waste by it."""
        self._whole = reduced
        self._frontier = frontier
        self._has_pod_costs = bool(reduced.pod_nano_usd.size)
        self._total_room = reduced.total_room
        self._look()

    def _look(self) -> None:
        """Take up the offers that matter by now."""
        self._places = self._frontier.offers[~self._whole.has_own[self._frontier.offers]]
        self._reduced = self._whole.of_offers(self._places)
        # Few offers differ in what they take. Whole numbers keep the product off threaded libraries.
        refusals, self._refusal_of = np.unique(~self._reduced.allowed, axis=0, return_inverse=True)
        self._refusals = refusals.astype(np.int64)
        if self._has_pod_costs:
            self._cost_rows, self._cost_row_of = np.unique(
                self._reduced.pod_nano_usd, axis=0, return_inverse=True
            )

    def cost(self, fleet: Sequence[Load]) -> int:
        """Give what nodes with their pods cost, in 1e-9 USD."""
        reduced = self._whole
        total = 0
        for load in fleet:
            total += int(reduced.nano_usd[load.offer])
            if self._has_pod_costs:
                total += int(reduced.pod_nano_usd[load.offer] @ load.counts)
        return total

    def most_wasteful(self, fleet: Sequence[Load]) -> list[int]:
        """Give the nodes' places, those first that cost most over what their pods are worth."""
        wasted = [self.cost([load]) - int(load.counts @ self.worths) for load in fleet]
        return sorted(range(len(fleet)), key=lambda i: (-wasted[i], i))

    def repair(self, fleet: Sequence[Load]) -> list[Load]:
        """Give a fleet for the same pods that costs no more."""
        if len(self._frontier.offers) != len(self._places):
            self._look()
        best = self._downsized(fleet)
        while True:
            changed = self._downsized(self._emptied(self._merged(best)))
            if self.cost(changed) >= self.cost(best):
                return best
            best = changed

    def downsized(self, fleet: Sequence[Load]) -> list[Load]:
        """Give each node the cheapest offer that holds its pods, and leave out nodes that hold none."""
        self._look()
        return self._downsized(fleet)

    def _downsized(self, fleet: Sequence[Load]) -> list[Load]:
        loads = [load for load in fleet if load.counts.any()]
        if not loads:
            return []
        counts = np.array([load.counts for load in loads], dtype=np.int64)
        spare, slack = self._spare(loads), self._slack(loads)
        costs = self._costs(counts @ self._whole.requests, counts)
        result = []
        for i, load in enumerate(loads):
            now = self.cost([load])
            options = np.where(spare[self._places] > 0, costs[i], NEVER)
            slack.give_back(load.offer, load.counts)
            while True:
                best = int(np.argmin(options)) if len(options) else -1
                if best < 0 or options[best] >= now:
                    slack.take(load.offer, load.counts)
                    break
                offer = int(self._places[best])
                if slack.take(offer, load.counts):
                    self._swap(spare, load.offer, offer)
                    load = Load(offer, load.counts)
                    break
                options[best] = NEVER
            result.append(load)
        return result

    def _spare(self, fleet: Sequence[Load]) -> Ints:
        spare = self._whole.copies.copy()
        for load in fleet:
            self._swap(spare, -1, load.offer)
        return spare

    def _slack(self, fleet: Sequence[Load]) -> Slack:
        slack = Slack(self._whole.rows, self._whole.at_most)
        for load in fleet:
            slack.take(load.offer, load.counts)
        return slack

    def _swap(self, spare: Ints, given_back: int, taken: int) -> None:
        copies = self._whole.copies
        if given_back >= 0 and copies[given_back] < UNBOUNDED:
            spare[given_back] += 1
        if taken >= 0 and copies[taken] < UNBOUNDED:
            spare[taken] -= 1

    def _costs(self, used: Ints, counts: Ints, pod_costs: Ints | None = None) -> Ints:
        """Give load x place: what it costs there, NEVER where it may not be."""
        reduced = self._reduced
        fits = np.ones((len(used), len(reduced.nano_usd)), dtype=np.bool_)
        for r in range(used.shape[1]):
            fits &= used[:, r][:, None] <= reduced.room[:, r][None, :]
        refused = (counts > 0).astype(np.int64) @ self._refusals.T
        fits &= (refused == 0)[:, self._refusal_of]
        fits[(counts > reduced.per_node).any(axis=1)] = False
        prices = np.broadcast_to(reduced.nano_usd, fits.shape)
        if self._has_pod_costs:
            prices = prices + (self._pod_costs(counts) if pod_costs is None else pod_costs)
        return np.where(fits, prices, NEVER).astype(np.int64)

    def _pod_costs(self, counts: Ints) -> Ints:
        costs: Ints = (counts @ self._cost_rows.T)[:, self._cost_row_of]
        return costs

    def _merged(self, fleet: Sequence[Load]) -> list[Load]:
        loads = list(fleet)
        tried = self.most_wasteful(loads)
        group = [loads[i] for i in tried[:LOOKED_AT]]
        rest = [loads[i] for i in tried[LOOKED_AT:]]
        slack = self._slack(fleet)
        while len(group) > 1:
            pair = self._best_pair(group, self._spare([*group, *rest]), slack)
            if pair is None:
                break
            i, j, offer = pair
            joined = Load(offer, group[i].counts + group[j].counts)
            group = [g for at, g in enumerate(group) if at not in (i, j)] + [joined]
        return group + rest

    def _best_pair(self, group: Sequence[Load], spare: Ints, slack: Slack) -> tuple[int, int, int] | None:
        """Give two nodes and the offer that saves most in place of both; what it uses is taken off `slack`."""
        if not len(self._places):
            return None
        counts = np.array([g.counts for g in group], dtype=np.int64)
        own = np.array([self.cost([g]) for g in group], dtype=np.int64)
        left, right = np.triu_indices(len(group), 1)
        used = counts @ self._whole.requests
        pod_costs = self._pod_costs(counts) if self._has_pod_costs else None
        closed = np.flatnonzero(spare[self._places] <= 0)
        rows = max(PAIRS_AT_ONCE // len(self._places), 1)
        largest = self._reduced.room.max(axis=0)
        possible = np.flatnonzero((used[left] + used[right] <= largest).all(axis=1))
        found: list[tuple[int, int, int, int]] = []
        for start in range(0, len(possible), rows):
            part = possible[start : start + rows]
            a, b = left[part], right[part]
            joint = None if pod_costs is None else pod_costs[a] + pod_costs[b]
            costs = self._costs(used[a] + used[b], counts[a] + counts[b], joint)
            costs[:, closed] = NEVER
            offers = np.argmin(costs, axis=1)
            gains = own[a] + own[b] - costs[np.arange(len(part)), offers]
            found += [
                (-int(gains[at]), int(a[at]), int(b[at]), int(self._places[offers[at]]))
                for at in np.flatnonzero(gains > 0)
            ]
        for _, i, j, offer in sorted(found):
            slack.give_back(group[i].offer, group[i].counts)
            slack.give_back(group[j].offer, group[j].counts)
            if slack.take(offer, counts[i] + counts[j]):
                return i, j, offer
            slack.take(group[i].offer, group[i].counts)
            slack.take(group[j].offer, group[j].counts)
        return None

    def _emptied(self, fleet: Sequence[Load]) -> list[Load]:
        whole = self._whole
        loads = list(fleet)
        counts = np.array([load.counts for load in loads], dtype=np.int64)
        offers = np.array([load.offer for load in loads], dtype=np.int64)
        if not len(loads) or self._has_pod_costs:
            return loads
        free = self._total_room[offers] - counts @ whole.requests
        is_used = np.asarray(counts.any(axis=1))
        moves = np.zeros_like(counts)
        spare, slack = self._spare(loads), self._slack(loads)
        for source in self.most_wasteful(loads)[:LOOKED_AT]:
            if not is_used[source]:
                continue
            # The fullest nodes first: what room is left stays in one piece.
            order = np.lexsort((np.arange(len(loads)), free[:, 0])).astype(np.int64)
            order = order[is_used[order]]
            old = int(offers[source])
            slack.give_back(old, counts[source])
            moved_out(
                source,
                counts,
                whole.requests,
                free.copy(),
                offers,
                whole.allowed,
                whole.per_node,
                whole.rows,
                slack.left,
                order,
                moves,
            )
            rest = counts[source] - moves.sum(axis=0)
            offer, price = old, 0
            if rest.any():
                costs = self._costs((rest @ whole.requests)[None, :], rest[None, :])[0]
                costs[(spare[self._places] <= 0) & (self._places != old)] = NEVER
                best = int(np.argmin(costs)) if len(costs) else -1
                price = int(costs[best]) if best >= 0 else NEVER
                offer = int(self._places[best]) if best >= 0 else old
            if price < whole.nano_usd[old] and slack.take(offer, rest):
                self._swap(spare, old, offer if rest.any() else -1)
                counts += moves
                counts[source] = rest
                offers[source] = offer
                is_used[source] = rest.any()
                free = self._total_room[offers] - counts @ whole.requests
            else:
                for target in np.flatnonzero(moves.any(axis=1)).tolist():
                    slack.give_back(int(offers[target]), moves[target])
                slack.take(old, counts[source])
        return [Load(int(o), c) for o, c in zip(offers, counts, strict=True) if c.any()]
