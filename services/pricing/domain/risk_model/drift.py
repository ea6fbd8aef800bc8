"""Whether the pools that the model is asked about still look like those that it learnt from.

The population stability index of a feature compares two histograms: the sum over bins of (share now - share in
training) x ln(share now / share in training) (Siddiqi 2006, "Credit Risk Scorecards"). Bins are tenths of the training
recordings, each of these weighing the same, cut into as long a past as a live pool has. By common use an index above
0.25 is a shift that makes a model worth replacing. Pools of one client are few and differ: twenty pools drawn from
the training recordings themselves already reach 0.1 on the mean, three reach 0.3 to 0.5. So fewer than
`LEAST_POOLS` tell nothing, and one feature alone is no drift (docs/risk-model.md has the figures).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.pricing.domain.risk_model import features
from services.pricing.domain.risk_model.traces import Floats, Trace

BINS: Final = 10
LOOK_BACK_SECONDS: Final = 7 * 86_400.0
"""How long a live pool's past is (pool_observations.LOOK_BACK)."""
DRIFTED_ABOVE: Final = 0.25
"""Index of a feature."""
MOST_DRIFTED: Final = 0.25
"""Share of the features above which all are taken to have drifted; the same as for a single strange pool."""
LEAST_POOLS: Final = 20
LEAST_SHARE: Final = 0.005
"""An empty bin counts as this much: the logarithm of nothing has no value."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How the training recordings' features were spread."""

    edges: Floats
    """feature x (BINS - 1), rising; a value equal to an edge lies below it."""
    shares: Floats
    """feature x BINS; each row sums to 1."""

    def counted(self, rows: Floats) -> Floats:
        """Give feature x BINS: the share of `rows` (row x feature) in each bin."""
        found = np.zeros(self.shares.shape)
        for number, edges in enumerate(self.edges):
            found[number] = np.bincount(np.searchsorted(edges, rows[:, number]), minlength=BINS)
        return np.asarray(found / max(len(rows), 1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Drift:
    """What a population of pools looks like beside the training recordings."""

    pools: int
    """Those in which an instance was up; others have no tick to compare."""
    index_by_feature: Mapping[str, float]
    """By horizon and feature, such as `1h/age`; only features that the model reads."""

    @property
    def is_known(self) -> bool:
        """Whether there were pools enough to tell."""
        return self.pools >= LEAST_POOLS and bool(self.index_by_feature)

    @property
    def drifted(self) -> tuple[str, ...]:
        """The features above the threshold, the furthest first."""
        found = [(index, name) for name, index in self.index_by_feature.items() if index > DRIFTED_ABOVE]
        return tuple(name for _, name in sorted(found, key=lambda pair: (-pair[0], pair[1])))

    @property
    def is_drift(self) -> bool:
        """Whether the model should not be listened to."""
        return self.is_known and len(self.drifted) > MOST_DRIFTED * len(self.index_by_feature)


def histogram_of(traces: Sequence[Trace], horizon_seconds: float, *, prior: float) -> Histogram:
    """Spread the features of every tick at which an instance was up; every trace weighs the same."""
    parts, weights = [], []
    for trace in traces:
        rows = np.vstack([rows_of(part, horizon_seconds, prior=prior) for part in _weeks(trace)])
        if len(rows):
            parts.append(rows)
            weights.append(np.full(len(rows), 1 / len(rows)))
    rows, weight = np.vstack(parts), np.concatenate(weights) / len(weights)
    edges = np.zeros((rows.shape[1], BINS - 1))
    for number in range(rows.shape[1]):
        order = np.argsort(rows[:, number], kind="stable")
        reached = np.cumsum(weight[order])
        at = np.minimum(np.searchsorted(reached, np.arange(1, BINS) / BINS), len(order) - 1)
        edges[number] = rows[order[at], number]
    shares = np.zeros((rows.shape[1], BINS))
    for number in range(rows.shape[1]):
        shares[number] = np.bincount(np.searchsorted(edges[number], rows[:, number]), weight, BINS)
    return Histogram(edges, shares)


def index(now: Floats, training: Floats) -> Floats:
    """Give the population stability index of each row of shares."""
    a, b = (np.maximum(shares, LEAST_SHARE) for shares in (now, training))
    a, b = (shares / shares.sum(axis=1, keepdims=True) for shares in (a, b))
    return np.asarray(((a - b) * np.log(a / b)).sum(axis=1), dtype=np.float64)


def indices(
    histogram: Histogram, pasts: Sequence[Trace], horizon_seconds: float, *, prior: float, used: Floats
) -> dict[str, float]:
    """Give the index of each used feature over the pasts' ticks with an instance up; each past weighs the same."""
    counted = [
        histogram.counted(rows) for past in pasts if len(rows := rows_of(past, horizon_seconds, prior=prior))
    ]
    if not counted:
        return {}
    found = index(np.mean(counted, axis=0), histogram.shares)
    return {features.NAMES[n]: float(found[n]) for n in np.flatnonzero(used)}


def rows_of(past: Trace, horizon_seconds: float, *, prior: float) -> Floats:
    """Give the features at every tick of a past at which an instance was up."""
    return features.past_of(past, horizon_seconds).matrix(np.flatnonzero(past.up > 0), prior)


def _weeks(trace: Trace) -> Iterator[Trace]:
    """Cut a recording into pasts as long as a live pool's; a short rest belongs to the one before."""
    length = max(1, round(LOOK_BACK_SECONDS / trace.tick_seconds))
    count = max(1, round(len(trace.up) / length))
    for at in np.array_split(np.arange(len(trace.up)), count):
        first, last = int(at[0]), int(at[-1]) + 1
        siblings = trace.siblings_up
        yield replace(
            trace,
            up=trace.up[first:last],
            prices_usd_per_hour=None,
            siblings_up=None if siblings is None else siblings[first:last],
        )
