"""A proven lower bound from any prices of pods: Farley's ratio for unlimited offers, Lagrange for limited ones.

If pods are worth `worths` and no load of offer o is worth more than `bounds[o]`, then at `worths / ratio`,
ratio being the largest of bounds / price over the unlimited offers, no unlimited node is worth more than it
costs; a limited one earns at most its surplus for each of its copies. Whatever a fleet holds, it costs at
least what its pods are worth then less those surpluses. Where pods pay dues for rows of limits, what all rows
can be paid at most is taken off too. All in whole numbers: nothing is lost to rounding.
"""

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.problem import UNBOUNDED

RATIOS_TRIED = 24


def proven(worths: Ints, counts: Ints, bounds: Ints, prices: Ints, copies: Ints, dues: int = 0) -> int:
    """Give the bound that `worths` prove.

    Args:
        worths: per shape.
        counts: per shape.
        bounds: per offer, what no load is worth more than, its dues and costs taken off; never below `prices`.
        prices: per offer.
        copies: per offer.
        dues: what all rows of limits together are paid at most.
    """
    total = sum(int(w) * int(c) for w, c in zip(worths.tolist(), counts.tolist(), strict=True)) - dues
    unlimited = copies >= UNBOUNDED
    least = (1, 1)
    for o in np.flatnonzero(unlimited).tolist():
        if int(bounds[o]) * least[1] > least[0] * int(prices[o]):
            if prices[o] == 0:
                return 0
            least = (int(bounds[o]), int(prices[o]))
    limited = np.flatnonzero(~unlimited & (bounds > prices))
    if not len(limited):
        return total * least[1] // least[0]
    surplus = [(int(bounds[o]), int(prices[o]), int(copies[o])) for o in limited.tolist()]
    ratios = [least]
    larger = sorted({(b, p) for b, p, _ in surplus if p and b * least[1] > least[0] * p}, key=_ratio)
    step = max(len(larger) // RATIOS_TRIED, 1)
    ratios += larger[::step]
    return max(_at(total, surplus, over, under) for over, under in ratios)


def _ratio(pair: tuple[int, int]) -> float:
    return pair[0] / pair[1]


def _at(total: int, surplus: list[tuple[int, int, int]], over: int, under: int) -> int:
    given_back = sum(n * max(-(-b * under // over) - p, 0) for b, p, n in surplus)
    return total * under // over - given_back
