"""Make whole nodes cheaper without the linear program: empty, merge, downsize.

Every change keeps all pods placed and every node within its room, and is made only if it saves.
"""

from collections.abc import Sequence

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.columns.compiled import compiled
from services.optimizer.domain.columns.dive import Load
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
    order: Ints,
    moves: Ints,
) -> int:
    """Move pods of one node, the first shapes first, to wherever there is room; give how many could not."""
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
            for k in range(resources):
                if requests[s, k] > 0:
                    fit = min(fit, free[t, k] // requests[s, k])
            if fit > 0:
                moves[t, s] += fit
                left -= fit
                for k in range(resources):
                    free[t, k] -= fit * requests[s, k]
        stuck += left
    return stuck


class Repairer:
    """Improves fleets of one problem."""

    def __init__(self, reduced: Reduced) -> None:
        self.worths = np.zeros(len(reduced.counts), dtype=np.int64)
        """Per shape: what the relaxation says a pod is worth. No merge gains more than its nodes waste by it."""
        self._reduced = reduced
        # Few offers differ in what they take. Whole numbers keep the product off threaded libraries.
        refusals, self._refusal_of = np.unique(~reduced.allowed, axis=0, return_inverse=True)
        self._refusals = refusals.astype(np.int64)
        self._has_pod_costs = bool(reduced.pod_nano_usd.size)

    def cost(self, fleet: Sequence[Load]) -> int:
        """Give what nodes with their pods cost, in 1e-9 USD."""
        reduced = self._reduced
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
        best = self.downsized(fleet)
        while True:
            changed = self.downsized(self._emptied(self._merged(best)))
            if self.cost(changed) >= self.cost(best):
                return best
            best = changed

    def downsized(self, fleet: Sequence[Load]) -> list[Load]:
        """Give each node the cheapest offer that holds its pods, and leave out nodes that hold none."""
        loads = [load for load in fleet if load.counts.any()]
        if not loads:
            return []
        counts = np.array([load.counts for load in loads], dtype=np.int64)
        spare = self._spare(loads)
        costs = self._costs(counts @ self._reduced.requests, counts)
        result = []
        for i, load in enumerate(loads):
            options = np.where(spare > 0, costs[i], NEVER)
            options[load.offer] = costs[i, load.offer]
            best = int(np.argmin(options))
            if options[best] < costs[i, load.offer] and best != load.offer:
                self._swap(spare, load.offer, best)
                load = Load(best, load.counts)
            result.append(load)
        return result

    def _spare(self, fleet: Sequence[Load]) -> Ints:
        spare = self._reduced.copies.copy()
        for load in fleet:
            self._swap(spare, -1, load.offer)
        return spare

    def _swap(self, spare: Ints, given_back: int, taken: int) -> None:
        copies = self._reduced.copies
        if given_back >= 0 and copies[given_back] < UNBOUNDED:
            spare[given_back] += 1
        if taken >= 0 and copies[taken] < UNBOUNDED:
            spare[taken] -= 1

    def _costs(self, used: Ints, counts: Ints) -> Ints:
        """Give load x offer: what it costs there, NEVER where it may not be."""
        reduced = self._reduced
        fits = np.ones((len(used), len(reduced.nano_usd)), dtype=np.bool_)
        for r in range(used.shape[1]):
            fits &= used[:, r][:, None] <= reduced.room[:, r][None, :]
        refused = (counts > 0).astype(np.int64) @ self._refusals.T
        fits &= (refused == 0)[:, self._refusal_of]
        prices = np.broadcast_to(reduced.nano_usd, fits.shape)
        if self._has_pod_costs:
            prices = prices + counts @ reduced.pod_nano_usd.T
        return np.where(fits, prices, NEVER).astype(np.int64)

    def _merged(self, fleet: Sequence[Load]) -> list[Load]:
        loads = list(fleet)
        tried = self.most_wasteful(loads)
        group = [loads[i] for i in tried[:LOOKED_AT]]
        rest = [loads[i] for i in tried[LOOKED_AT:]]
        while len(group) > 1:
            pair = self._best_pair(group, self._spare([*group, *rest]))
            if pair is None:
                break
            i, j, offer = pair
            joined = Load(offer, group[i].counts + group[j].counts)
            group = [g for at, g in enumerate(group) if at not in (i, j)] + [joined]
        return group + rest

    def _best_pair(self, group: Sequence[Load], spare: Ints) -> tuple[int, int, int] | None:
        counts = np.array([g.counts for g in group], dtype=np.int64)
        own = np.array([self.cost([g]) for g in group], dtype=np.int64)
        left, right = np.triu_indices(len(group), 1)
        best: tuple[int, int, int, int] | None = None
        used = counts @ self._reduced.requests
        closed = np.flatnonzero(spare <= 0)
        rows = max(PAIRS_AT_ONCE // max(len(self._reduced.nano_usd), 1), 1)
        largest = self._reduced.room.max(axis=0)
        possible = np.flatnonzero((used[left] + used[right] <= largest).all(axis=1))
        for start in range(0, len(possible), rows):
            part = possible[start : start + rows]
            a, b = left[part], right[part]
            joined = counts[a] + counts[b]
            costs = self._costs(used[a] + used[b], joined)
            costs[:, closed] = NEVER
            costs[(joined > self._reduced.per_node).any(axis=1)] = NEVER
            offers = np.argmin(costs, axis=1)
            gains = own[a] + own[b] - costs[np.arange(len(part)), offers]
            top = int(np.argmax(gains))
            if gains[top] > 0 and (best is None or gains[top] > best[0]):
                best = (int(gains[top]), int(a[top]), int(b[top]), int(offers[top]))
        return None if best is None else best[1:]

    def _emptied(self, fleet: Sequence[Load]) -> list[Load]:
        reduced = self._reduced
        loads = list(fleet)
        counts = np.array([load.counts for load in loads], dtype=np.int64)
        offers = np.array([load.offer for load in loads], dtype=np.int64)
        if not len(loads) or self._has_pod_costs:
            return loads
        free = reduced.room[offers] - counts @ reduced.requests
        moves = np.zeros_like(counts)
        spare = self._spare(loads)
        for source in self.most_wasteful(loads)[:LOOKED_AT]:
            if not counts[source].any():
                continue
            # The fullest nodes first: what room is left stays in one piece.
            order = np.lexsort((np.arange(len(loads)), free[:, 0])).astype(np.int64)
            order = order[counts[order].any(axis=1)]
            room = free.copy()
            moved_out(
                source,
                counts,
                reduced.requests,
                room,
                offers,
                reduced.allowed,
                reduced.per_node,
                order,
                moves,
            )
            rest = counts[source] - moves.sum(axis=0)
            offer, price = int(offers[source]), 0
            if rest.any():
                costs = self._costs((rest @ reduced.requests)[None, :], rest[None, :])[0]
                costs[(spare <= 0) & (np.arange(len(costs)) != offer)] = NEVER
                offer = int(np.argmin(costs))
                price = int(costs[offer])
            if price < reduced.nano_usd[offers[source]]:
                self._swap(spare, int(offers[source]), offer if rest.any() else -1)
                counts += moves
                counts[source] = rest
                offers[source] = offer
                free = reduced.room[offers] - counts @ reduced.requests
        return [Load(int(o), c) for o, c in zip(offers, counts, strict=True) if c.any()]
