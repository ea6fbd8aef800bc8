"""The question, as labels: of the n instances up at t, how many are lost within (t, t+h]?

A loss is only seen at a tick: one seen k ticks later happened somewhere in ((k-1)·tick, k·tick]. It is taken to
have happened in the middle (midpoint imputation of interval-censored times: Lindsey and Ryan 1998, "Tutorial in
biostatistics: methods for interval-censored data"), so it counts when (k-1/2)·tick is at most h. Counting only
the ticks that are at most h later would understate the risk wherever the tick is long (docs/adr/0011).

A window is only judged when all of it was seen: those past the end or across a gap are censored, whether a
loss was seen in their first part or not; keeping only the losses of half-seen windows would overstate the
risk. With several instances the losses that are certain are counted: n less the fewest up in the window.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.pricing.domain.risk_model.traces import UNKNOWN, Integers, Trace

ROUNDING: Final = 1e-9
"""Of ticks, so that a quotient that should be whole is."""


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
    """Count the ticks at which a loss seen is taken to have happened within (t, t+h]; 0 when h is below the tick."""
    ticks = horizon_seconds / tick_seconds
    return math.floor(ticks + 0.5 + ROUNDING) if ticks + ROUNDING >= 1 else 0


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
