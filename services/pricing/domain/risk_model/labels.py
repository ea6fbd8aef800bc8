"""The question, as labels: of the n instances up at t, how many are lost within (t, t+h]?

A window is only judged when all of it was seen: those past the end or across a gap are censored, whether a
loss was seen in their first part or not; keeping only the losses of half-seen windows would overstate the
risk. With several instances the losses that are certain are counted: n less the fewest up in the window.
"""

import math
from dataclasses import dataclass

import numpy as np

from services.pricing.domain.risk_model.traces import UNKNOWN, Integers, Trace


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The judged windows of one trace at one horizon, in order of time."""

    ticks: Integers
    at_risk: Integers
    """Instances up when the window opens; at least 1."""
    lost: Integers

    @property
    def rate(self) -> float:
        return float(self.lost.sum() / self.at_risk.sum()) if len(self.ticks) else math.nan


def ticks_in(horizon_seconds: float, tick_seconds: float) -> int:
    """Count the ticks within (t, t+h]; 0 when the horizon is below the tick."""
    return math.floor(horizon_seconds / tick_seconds + 1e-9)


def windows(trace: Trace, horizon_seconds: float) -> Windows | None:
    """Label every tick with an instance up; None when the horizon is below the tick."""
    span = ticks_in(horizon_seconds, trace.tick_seconds)
    if span < 1:
        return None
    count = len(trace.up) - span
    if count < 1:
        return Windows(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    ahead = np.lib.stride_tricks.sliding_window_view(trace.up[1:], span)
    fewest = ahead.min(axis=1)
    ticks = np.flatnonzero((trace.up[:count] > 0) & (fewest > UNKNOWN))
    at_risk = trace.up[ticks]
    return Windows(ticks, at_risk, at_risk - np.minimum(fewest[ticks], at_risk))
