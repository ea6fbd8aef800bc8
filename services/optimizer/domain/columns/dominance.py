"""Which offers no other makes superfluous.

An offer is superfluous when another has as much room of everything, takes as many kinds of pods, costs no more
with whatever they hold, is unlimited, and counts in no row of limits that the first does not count in.
"""

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.columns.compiled import compiled


@compiled
def undominated(
    is_kept: Bools,
    prices: Ints,
    room: Ints,
    holds: Bools,
    costs: Ints,
    most_pods: Ints,
    may_prune: Bools,
    may_be_pruned: Bools,
    groups: Ints,
    starts: Ints,
    active: Bools,
) -> None:
    """Mark in `is_kept` those that no earlier one that is kept dominates.

    Args:
        is_kept: in and out, per offer; those that are marked already stay.
        prices: per offer, ascending.
        room: offer x resource.
        holds: offer x shape.
        costs: offer x shape, what a pod costs there; no rows when nothing.
        most_pods: per offer, how many pods it holds at most.
        may_prune: per offer.
        may_be_pruned: per offer.
        groups: grouping x offer.
        starts: per grouping, where its groups start in `active`.
        active: per group, whether some row of it matters.
    """
    n, resources = room.shape
    shapes = holds.shape[1]
    rivals = np.empty(n, dtype=np.int64)
    count = 0
    for o in range(n):
        if not is_kept[o]:
            found = -1
            if may_be_pruned[o]:
                for i in range(count):
                    b = rivals[i]
                    # Rivals are not in order of price: those that dominated before are asked first.
                    if b > o:
                        continue
                    is_better = True
                    for k in range(resources):
                        if room[b, k] < room[o, k]:
                            is_better = False
                            break
                    if not is_better:
                        continue
                    for g in range(len(groups)):
                        group = groups[g, b]
                        if group >= 0 and groups[g, o] != group and active[starts[g] + group]:
                            is_better = False
                            break
                    if not is_better:
                        continue
                    dearest = 0
                    for s in range(shapes):
                        if holds[o, s]:
                            if not holds[b, s]:
                                is_better = False
                                break
                            if len(costs) > 0:
                                dearest = max(dearest, costs[b, s] - costs[o, s])
                    if is_better and prices[b] + dearest * most_pods[o] <= prices[o]:
                        found = i
                        break
            if found >= 0:
                first = rivals[found]
                for i in range(found, 0, -1):
                    rivals[i] = rivals[i - 1]
                rivals[0] = first
                continue
            is_kept[o] = True
        if may_prune[o]:
            rivals[count] = o
            count += 1
