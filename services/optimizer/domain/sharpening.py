"""Find the price of a committed dollar that proves most.

A bound is proven at any price l of a committed dollar (margins), and is concave in l: it lies below every line
through two of its points, outside of these. Where the lines from both sides meet is tried next, until they leave
nothing worth another proof.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction

from services.optimizer.domain.columns.solve import never

PARTS = 1024
"""A price that is tried is a whole number of these parts."""
PROOFS = 7
NEAR = 200
"""What could be gained is too little if it is less than one part in so many of what the fleet costs."""


def sharpest(
    proven: Callable[[Fraction], int],
    first: Iterable[Fraction],
    *,
    most: Fraction,
    dollars: int,
    objective: int,
    should_stop: Callable[[], bool] = never,
) -> tuple[Fraction, int]:
    """Give the price that proves most of those tried, and what it proves, in micro-dollars an hour.

    Args:
        proven: gives what a price proves.
        first: prices to try first; at least one is tried whatever `should_stop` says.
        most: the price from which on nothing costs more.
        dollars: of the plan, in micro-dollars an hour.
        objective: what a fleet that was found costs: no bound is higher.
        should_stop: asked before each further proof.
    """
    found: dict[Fraction, int] = {}
    waiting = list(dict.fromkeys(first))
    while True:
        trial = waiting.pop(0) if waiting else _next(found, most, dollars, objective)
        if trial is None or trial in found:
            break
        found[trial] = proven(trial)
        is_near = (objective - max(found.values())) * NEAR <= objective
        if is_near or len(found) >= PROOFS or should_stop():
            break
    best = max(found, key=lambda worth: (found[worth], -worth))
    return best, found[best]


def _next(found: dict[Fraction, int], most: Fraction, dollars: int, objective: int) -> Fraction | None:
    """Give the price where most could be gained beside the best; None where too little could."""
    points = [(x, Fraction(y)) for x, y in sorted(found.items())]
    # At no price all is free; and a price that rises by one proves less by no more than the dollars of the plan.
    if points[0][0] > 0:
        points.insert(0, (Fraction(0), Fraction(0)))
    last, value = points[-1]
    beyond = most if last < most else last + 1
    points.append((beyond, value - dollars * (beyond - last)))
    best = max(range(len(points)), key=lambda i: points[i][1])
    tries = [
        _meeting(points, i, Fraction(objective)) for i in (best - 1, best) if i >= 0 and points[i][0] < most
    ]
    # Today's price is more often too high than too low.
    could, trial = max(tries, key=lambda x: (x[0], -x[1]))
    is_little = (could - points[best][1]) * NEAR <= objective
    return None if is_little else trial


def _meeting(
    points: list[tuple[Fraction, Fraction]], left: int, ceiling: Fraction
) -> tuple[Fraction, Fraction]:
    """Give what a price between two neighbours could prove at most, and the price."""
    (low, low_value), (high, high_value) = points[left], points[left + 1]
    rising = _slope(points[left - 1], points[left]) if left > 0 else None
    falling = _slope(points[left + 1], points[left + 2]) if left + 2 < len(points) else None
    if rising is not None and falling is not None and rising > falling:
        at = (high_value - low_value + rising * low - falling * high) / (rising - falling)
        could = min(low_value + rising * (at - low), ceiling)
    else:
        could, at = ceiling, (low + high) / 2
        if rising is not None and rising > 0:
            at = low + (ceiling - low_value) / rising
        elif falling is not None and falling < 0:
            at = high + (ceiling - high_value) / falling
    if not low < at < high:
        at = (low + high) / 2
    rounded = Fraction(round(at * PARTS), PARTS)
    return max(could, low_value, high_value), rounded


def _slope(one: tuple[Fraction, Fraction], other: tuple[Fraction, Fraction]) -> Fraction:
    return (other[1] - one[1]) / (other[0] - one[0])
