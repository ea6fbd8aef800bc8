"""What a pool's own past says about the next hours. A feature at tick t uses ticks up to t and nothing later.

The own rate is the heart: the labels of windows that have already ended, decayed with several half-lives, or
only those that began at the same age or the same time of day. Siblings
add whether more of them are down than usual. It is shrunk towards the other pools' rate, so
that a pool without a past is judged by the others and one with a long past by itself. All is in hours, not
ticks: recordings with ticks of 32 s and of 10 min are the same kind of thing.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter  # type: ignore[import-untyped]

from services.pricing.domain.risk_model import labels, own_record
from services.pricing.domain.risk_model.own_record import OwnRecord
from services.pricing.domain.risk_model.traces import UNKNOWN, Floats, Integers, Trace, TraceKind

OWN_HALF_LIFE_HOURS: Final = (2.0, 6.0, 24.0, 96.0, math.inf)
AVAILABILITY_HALF_LIFE_HOURS: Final = (1.0, 4.0, 12.0)
SIBLING_HALF_LIFE_HOURS: Final = (0.5, 24.0)
YOUTH_HOURS: Final = (0.25, 1.0, 6.0)
AGE_BINS: Final = 12
HOURS: Final = 24
PRIOR_WINDOWS: Final = 2.0
"""How many windows of a pool's own past weigh as much as all other pools together."""
EPSILON: Final = 0.01
LAYERS: Final = {
    "age": range(5),
    "availability": range(5, 8),
    "siblings": range(8, 9),
    "own rate": range(9, 14),
    "own rate at this age": range(14, 15),
    "own rate at this hour": range(15, 16),
}
"""Which columns of PoolPast.matrix are which layer; each can be left out to see what it is worth."""
NAMES: Final = (
    "log age",
    "log age squared",
    *(f"youth {hours:g} h" for hours in YOUTH_HOURS),
    *(f"availability {hours:g} h" for hours in AVAILABILITY_HALF_LIFE_HOURS),
    "siblings down",
    *(f"own rate {hours:g} h" for hours in OWN_HALF_LIFE_HOURS),
    "own rate at this age",
    "own rate at this hour",
)
"""Of the columns."""


@dataclass(frozen=True, slots=True, eq=False)
class PastRates:
    """Own rates at every tick, before shrinking: lost windows and windows, in units of one horizon."""

    lost: Floats
    seen: Floats

    def shrunk(self, prior: float) -> Floats:
        """Give log odds, drawn towards `prior` as far as little was seen."""
        rate = (self.lost + PRIOR_WINDOWS * prior) / (self.seen + PRIOR_WINDOWS)
        return np.asarray(np.log(rate / (1 - rate)), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class PoolPast:
    """All that the model reads of one trace at one horizon, a row a tick."""

    kind: TraceKind
    fixed: Floats
    """Columns that depend on nothing but the trace."""
    siblings: Floats
    """How much more often siblings were down of late than over the last day or so; 0 without siblings."""
    rates: PastRates
    record: OwnRecord

    def matrix(self, ticks: Integers, prior: float) -> Floats:
        """Give the features at some ticks."""
        chosen = PastRates(self.rates.lost[ticks], self.rates.seen[ticks])
        return np.column_stack([self.fixed[ticks], self.siblings[ticks], chosen.shrunk(prior)])


def past_of(trace: Trace, horizon_seconds: float) -> PoolPast:
    """Read a trace's past at every tick."""
    tick_hours = trace.tick_seconds / 3_600
    age = hours_since_change(trace)
    return PoolPast(
        kind=trace.kind,
        fixed=np.column_stack([*_age_terms(age), *_availability(trace.up, tick_hours)]),
        siblings=siblings_down(trace),
        rates=_own_rates(trace, horizon_seconds, age),
        record=own_record.record_of(trace, horizon_seconds),
    )


def hours_since_change(trace: Trace) -> Floats:
    """Give how long nothing has changed: no loss, no return, no gap; from the recording's start at first."""
    before = np.concatenate([trace.up[:1], trace.up[:-1]])
    number = np.arange(len(trace.up))
    fallen_or_back = (trace.up < before) | ((before <= 0) & (trace.up > 0))
    began = np.maximum.accumulate(np.where(fallen_or_back, number, 0))
    return np.asarray((number - began + 1) * trace.tick_seconds / 3_600, dtype=np.float64)


def _age_terms(age: Floats) -> list[Floats]:
    log_age = np.log(age + 0.1)
    return [log_age, log_age**2, *(np.exp(-age / scale) for scale in YOUTH_HOURS)]


def _availability(up: Integers, tick_hours: float) -> list[Floats]:
    """Give the log odds of finding the pool up, lately."""
    seen, found = (up > UNKNOWN).astype(float), (up > 0).astype(float)
    terms = []
    for half_life in AVAILABILITY_HALF_LIFE_HOURS:
        # The last tick is up by definition of the question: one early tick must not count as certainty.
        share = (_decayed(found, half_life / tick_hours) + EPSILON) / (
            _decayed(seen, half_life / tick_hours) + 2 * EPSILON
        )
        terms.append(np.log((share + EPSILON) / (1 - share + EPSILON)))
    return terms


def siblings_down(trace: Trace) -> Floats:
    """Give PoolPast.siblings."""
    if trace.siblings_up is None:
        return np.zeros(len(trace.up))
    tick_hours = trace.tick_seconds / 3_600
    down, seen = 1 - trace.siblings_up, np.ones(len(trace.up))
    lately, usually = (
        _decayed(down, half_life / tick_hours) / _decayed(seen, half_life / tick_hours)
        for half_life in SIBLING_HALF_LIFE_HOURS
    )
    return np.asarray(lately - usually, dtype=np.float64)


def _own_rates(trace: Trace, horizon_seconds: float, age: Floats) -> PastRates:
    judged = labels.windows(trace, horizon_seconds)
    size = len(trace.up)
    span = labels.ticks_in(horizon_seconds, trace.tick_seconds)
    unit = trace.tick_seconds / horizon_seconds
    lost, seen = np.zeros(size), np.zeros(size)
    ticks = judged.ticks if judged is not None else np.zeros(0, dtype=np.int64)
    share = judged.lost / judged.at_risk if judged is not None else np.zeros(0)
    # A window that opened at s is known when it ends, at s + span, and not before.
    known_at = ticks + span
    lost[known_at], seen[known_at] = share, 1.0
    tick_hours = trace.tick_seconds / 3_600
    columns = [
        (_decayed(lost, half_life / tick_hours), _decayed(seen, half_life / tick_hours))
        for half_life in OWN_HALF_LIFE_HOURS
    ]
    age_bin = np.clip(np.log2(np.maximum(age, 1 / 60) * 8).astype(np.int64) + 1, 0, AGE_BINS - 1)
    hour = (np.arange(size) * trace.tick_seconds // 3_600).astype(np.int64) % HOURS
    for bins, count, is_circle in ((age_bin, AGE_BINS, False), (hour, HOURS, True)):
        near = _nearness(count, is_circle=is_circle)
        columns.append(
            (
                _like_now(known_at, bins[ticks], bins, share, near),
                _like_now(known_at, bins[ticks], bins, np.ones(len(ticks)), near),
            )
        )
    return PastRates(*(np.column_stack([column[side] for column in columns]) * unit for side in (0, 1)))


def _like_now(known_at: Integers, bins: Integers, bin_now: Integers, value: Floats, near: Floats) -> Floats:
    """Sum, at every tick, the known windows that began in a bin near the present one."""
    sums = np.zeros((len(bin_now), len(near)))
    sums[known_at, bins] = value
    smooth = np.cumsum(sums, axis=0) @ near
    return np.asarray(smooth[np.arange(len(bin_now)), bin_now], dtype=np.float64)


def _nearness(count: int, *, is_circle: bool) -> Floats:
    distance = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    if is_circle:
        distance = np.minimum(distance, count - distance)
    return np.asarray(np.exp(-0.5 * distance.astype(float) ** 2), dtype=np.float64)


def _decayed(values: Floats, half_life_ticks: float) -> Floats:
    keep = 0.5 ** (1 / half_life_ticks) if math.isfinite(half_life_ticks) else 1.0
    return np.asarray(lfilter([1.0], [1.0, -keep], values), dtype=np.float64)
