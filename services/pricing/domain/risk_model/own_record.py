"""A pool corrects what the model says of it: by how much its own past windows were worse or better than said.

The correction is one number added to the log odds. Before anything is known of a pool it is 0 with a variance;
every window that has ended moves it, and it may drift. That is the extended Kalman filter of a logistic
regression with a single coefficient (West, Harrison, Migon 1985, "Dynamic generalized linear models"), a
Bayesian update that weighs a pool's record by how much it has seen. Windows of neighbouring ticks overlap, so
each counts for as many as there are that do not.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.pricing.domain.risk_model import labels
from services.pricing.domain.risk_model.traces import Floats, Integers, Trace

STEP_SECONDS: Final = 900.0
"""How often the correction is brought up to date."""
DRIFT: Final = 0.01
"""Variance gained by each window that does not overlap another: pools change."""
LARGEST_LOG_ODDS: Final = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class OwnRecord:
    """The windows of one trace that ended, at one horizon, in order of time."""

    ticks: Integers
    """When each opened."""
    lost: Floats
    """The share of its instances that were lost."""
    span: int
    """Ticks until a window's end is known; at least 1."""
    tick_seconds: float


def record_of(trace: Trace, horizon_seconds: float) -> OwnRecord:
    """Read a trace's record; empty when the horizon is below the tick."""
    windows = labels.windows(trace, horizon_seconds)
    span = max(1, labels.ticks_in(horizon_seconds, trace.tick_seconds))
    if windows is None:
        return OwnRecord(np.zeros(0, dtype=np.int64), np.zeros(0), span, trace.tick_seconds)
    return OwnRecord(windows.ticks, windows.lost / windows.at_risk, span, trace.tick_seconds)


def corrections(record: OwnRecord, said: Floats, ticks: Integers, *, variance: float) -> Floats:
    """Give what to add to the log odds at some ticks, in order; windows still open then change nothing.

    `said` is the model's log odds at each window of the record, `variance` that of the correction before
    anything is seen: 0 with no drift would trust the model whole.
    """
    if not len(record.ticks):
        return np.zeros(len(ticks))
    step = max(1, round(STEP_SECONDS / record.tick_seconds))
    # Until its next step a pool goes by what was known at the last one.
    known = np.searchsorted(record.ticks + record.span, (ticks // step) * step, side="right")
    closes = (record.ticks + record.span + step - 1) // step
    starts = np.flatnonzero(np.diff(closes, prepend=-1))
    counts = np.diff(starts, append=len(closes))
    means = (np.add.reduceat(values, starts) / counts for values in (said, record.lost))
    after = [0.0]
    correction = 0.0
    for weight, mean, lost in zip((counts / record.span).tolist(), *(m.tolist() for m in means), strict=True):
        log_odds = min(max(mean + correction, -LARGEST_LOG_ODDS), LARGEST_LOG_ODDS)
        p = 1 / (1 + math.exp(-log_odds))
        variance += DRIFT * weight
        variance /= 1 + p * (1 - p) * weight * variance
        correction += variance * (lost - p) * weight
        after.append(correction)
    ends = np.concatenate([[0], starts + counts])
    return np.asarray(np.array(after)[np.searchsorted(ends, known, side="right") - 1], dtype=np.float64)
