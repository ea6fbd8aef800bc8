"""Prices per unit of each resource of one node, from the relaxation of its knapsack."""

import numpy as np

from services.optimizer.domain.columns.arrays import Floats, Ints
from services.optimizer.domain.columns.compiled import compiled

EPSILON = 1e-9


@compiled
def relaxed(values: Floats, weights: Floats, most: Ints, levels: Floats, prices: Floats) -> None:
    """Solve the relaxation by the bounded simplex method; room is 1 in every resource.

    Args:
        values: what one of each item is worth.
        weights: item x resource, as a share of the room.
        most: how many of each there are.
        levels: out, how many of each are taken.
        prices: out, what the whole room of each resource is worth; never negative.
    """
    n, r = weights.shape
    inverse = np.eye(r)
    basis = np.arange(n, n + r)
    inside = np.ones(r)
    is_basic = np.zeros(n + r, dtype=np.bool_)
    is_basic[n:] = True
    at_upper = np.zeros(n, dtype=np.bool_)
    column = np.empty(r)
    top = 1e-30
    for j in range(n):
        top = max(top, values[j] * most[j])
    for _ in range(60 + 6 * n):
        for k in range(r):
            total = 0.0
            for i in range(r):
                if basis[i] < n:
                    total += values[basis[i]] * inverse[i, k]
            prices[k] = total
        best, entering, is_rising = top * EPSILON, -1, True
        for j in range(n):
            if is_basic[j]:
                continue
            gain = values[j]
            for k in range(r):
                gain -= prices[k] * weights[j, k]
            if at_upper[j]:
                gain = -gain
            if gain * most[j] > best:
                best, entering, is_rising = gain * most[j], j, not at_upper[j]
        for k in range(r):
            if not is_basic[n + k] and -prices[k] > best:
                best, entering, is_rising = -prices[k], n + k, True
        if entering < 0:
            break
        for i in range(r):
            total = 0.0
            if entering < n:
                for k in range(r):
                    total += inverse[i, k] * weights[entering, k]
            else:
                total = inverse[i, entering - n]
            column[i] = total if is_rising else -total
        step = float(most[entering]) if entering < n else np.inf
        leaving, leaves_above = -1, False
        for i in range(r):
            if column[i] > EPSILON:
                ratio = max(inside[i], 0.0) / column[i]
                if ratio < step:
                    step, leaving, leaves_above = ratio, i, False
            elif column[i] < -EPSILON and basis[i] < n:
                ratio = max(most[basis[i]] - inside[i], 0.0) / -column[i]
                if ratio < step:
                    step, leaving, leaves_above = ratio, i, True
        if step == np.inf:
            break
        for i in range(r):
            inside[i] -= step * column[i]
        if leaving < 0:
            at_upper[entering] = is_rising
            continue
        if basis[leaving] < n:
            at_upper[basis[leaving]] = leaves_above
        is_basic[basis[leaving]] = False
        is_basic[entering] = True
        start = 0.0 if is_rising else float(most[entering])
        inside[leaving] = start + step if is_rising else start - step
        basis[leaving] = entering
        pivot = column[leaving] if is_rising else -column[leaving]
        for k in range(r):
            inverse[leaving, k] /= pivot
        for i in range(r):
            if i != leaving:
                factor = column[i] if is_rising else -column[i]
                for k in range(r):
                    inverse[i, k] -= factor * inverse[leaving, k]
    for j in range(n):
        levels[j] = float(most[j]) if at_upper[j] and not is_basic[j] else 0.0
    for i in range(r):
        if basis[i] < n:
            levels[basis[i]] = inside[i]
    for k in range(r):
        prices[k] = max(prices[k], 0.0)
