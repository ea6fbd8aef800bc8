"""What a kind of recording differs by from the others, as far as its few pools can tell.

A pool's windows all share what is peculiar to the pool, so pools are the units, not windows. Kinds differ from
each other, and pools from their kind, by normal amounts. For kinds the variance is given: with two of them one
degree of freedom would have to tell it. For pools it is estimated by moments across those of one kind (DerSimonian
and Laird 1986, "Meta-analysis in clinical trials"; each pool's own figure is the one-step estimate of Yusuf, Peto
et al. 1985, observed less expected over its variance, finite also where all was lost), and is never below what
is given. With d degrees of freedom (pools less kinds) the error of a kind's mean follows Student's t, whose
variance is d / (d - 2) times as large (Johnson, Kotz and Balakrishnan 1995, "Continuous Univariate Distributions",
chapter 28): infinite up to two, where kinds stay together, and 1 with many.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.pricing.domain.risk_model.traces import Floats, Integers, TraceKind

LEAST_DEGREES: Final = 3
"""Of freedom: with fewer the error of a kind's mean has no variance."""
NEWTON_STEPS: Final = 50
LARGEST_STEP: Final = 1.0
"""Of log odds; a kind whose windows were all lost would else be thrown far out by the first step."""
SMALLEST_STEP: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What was said of a pool that had no part in saying it, and what became of it."""

    kind: TraceKind
    log_odds: Floats
    """One for each window."""
    at_risk: Integers
    """Instances, by window; not all 0."""
    lost: Integers
    windows: float
    """As many as do not overlap."""

    def beside(self, shift: float) -> tuple[float, float]:
        """Give losses observed less those expected after a shift of the log odds, and the variance of the latter."""
        p = 1 / (1 + np.exp(-(self.log_odds + shift)))
        each = self.windows / float(self.at_risk.sum())
        off = each * float((self.lost - self.at_risk * p).sum())
        return off, each * float((self.at_risk * p * (1 - p)).sum())


def shifts(outcomes: Sequence[Outcome], *, variance: float) -> Mapping[TraceKind, float]:
    """Give each kind's most probable shift of the log odds; none where pools are too few to tell kinds apart.

    `variance` is that between kinds, and the least between pools of a kind, both of log odds and above 0.
    """
    of_kind = {
        kind: list(found)
        for kind, found in itertools.groupby(sorted(outcomes, key=lambda o: o.kind), key=lambda o: o.kind)
    }
    degrees = len(outcomes) - len(of_kind)
    if len(of_kind) < 2 or degrees < LEAST_DEGREES:
        return {}
    between_pools = max(variance, _between_pools(list(of_kind.values()), variance=variance))
    between_pools *= degrees / (degrees - 2)
    return {
        kind: most_probable(found, between_kinds=variance, between_pools=between_pools)
        for kind, found in of_kind.items()
    }


def most_probable(outcomes: Sequence[Outcome], *, between_kinds: float, between_pools: float) -> float:
    """Give a kind's shift where both variances are known; `between_kinds` may be infinite."""
    shift = 0.0
    for _ in range(NEWTON_STEPS):
        slope, curvature = -shift / between_kinds, 1 / between_kinds
        for outcome in outcomes:
            off, known = outcome.beside(shift)
            # To first order: a pool says as much as its windows, and never more than one pool can.
            share = 1 / (1 + known * between_pools)
            slope, curvature = slope + share * off, curvature + share * known
        step = min(max(slope / curvature, -LARGEST_STEP), LARGEST_STEP)
        shift += step
        if abs(step) < SMALLEST_STEP:
            break
    return shift


def _between_pools(by_kind: Sequence[Sequence[Outcome]], *, variance: float) -> float:
    """Estimate by moments how pools of a kind vary beyond what their windows do; 0 where they vary no more."""
    excess, scale = 0.0, 0.0
    for outcomes in by_kind:
        middle = most_probable(outcomes, between_kinds=variance, between_pools=variance)
        seen = [(off, known) for off, known in (o.beside(middle) for o in outcomes) if known > 0]
        weight = sum(known for _, known in seen)
        if len(seen) < 2:
            continue
        spread = sum(off**2 / known for off, known in seen) - sum(off for off, _ in seen) ** 2 / weight
        excess += spread - (len(seen) - 1)
        scale += weight - sum(known**2 for _, known in seen) / weight
    return max(0.0, excess / scale) if scale > 0 else 0.0
