"""The model: at each horizon a logistic regression on a pool's past, calibrated on zones it was not fitted on.

Boosted trees, interactions and prices were tried as well and scored worse on zones that were held out; with
fifteen recordings the small model generalises better, and 40 KB of numbers need no code to be loaded.

A trained model holds one member for every zone of its training data, fitted and calibrated without it, and
one fitted on all. Live pools are judged by the latter. Whoever measures the model on a zone of its training
data takes the member that never saw that zone.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from services.pricing.domain.risk_model import features, labels, metrics, own_record
from services.pricing.domain.risk_model.features import PoolPast
from services.pricing.domain.risk_model.labels import Windows
from services.pricing.domain.risk_model.traces import Floats, Integers, Trace, with_siblings

ROWS_PER_TRACE: Final = 2_000
"""Windows of neighbouring ticks are nearly the same; more rows cost time and teach nothing."""
INVERSE_PENALTY: Final = 0.03
"""At one hour and less; beyond, less by as much as there are fewer windows that do not overlap."""
SURE: Final = 1e-4
CORRECTED_FROM_SECONDS: Final = 21_600.0
"""At shorter horizons the own rates among the features say it all: a correction scored no better there."""
CORRECTION_VARIANCE: Final = 0.1
CORRECTION_VARIANCE_WHEN_FLAT: Final = 2.0
"""Of log odds between pools: what the features have not explained, and all of it."""


NOT_WHEN_CORRECTED: Final = frozenset(
    column for layer in ("siblings", "own rate", "own rate at this age") for column in features.LAYERS[layer]
)
"""Columns that only made held-out zones worse where the own record corrects (docs/risk-model.md)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a model is made of; anything but the default is for seeing what a layer is worth."""

    without: frozenset[int] = frozenset()
    """Columns left out."""
    corrected_from_seconds: float = CORRECTED_FROM_SECONDS
    not_when_corrected: frozenset[int] = NOT_WHEN_CORRECTED

    def is_corrected(self, horizon_seconds: float) -> bool:
        """Whether the own record corrects at a horizon."""
        return horizon_seconds >= self.corrected_from_seconds

    def left_out(self, horizon_seconds: float) -> frozenset[int]:
        """Give the columns that are not used at a horizon."""
        return self.without | (self.not_when_corrected if self.is_corrected(horizon_seconds) else frozenset())


SHIPPED: Final = Recipe()


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Platt scaling: a slope and an intercept on the log odds."""

    slope: float
    intercept: float

    @property
    def is_flat(self) -> bool:
        """Whether it says the base rate whatever it is told."""
        return self.slope == 0

    def scaled(self, log_odds: Floats) -> Floats:
        return np.asarray(self.slope * log_odds + self.intercept, dtype=np.float64)

    def apply(self, log_odds: Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp(-self.scaled(log_odds))), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One fitted regression."""

    prior: float
    """The training pools' mean rate: what a pool without a past is drawn to, and the base-rate baseline."""
    mean: Floats
    scale: Floats
    weights: Floats
    intercept: float
    calibrator: Calibrator
    rivals: Mapping[str, Calibrator]
    """Baselines fitted on the same zones."""
    correction_variance: float | None = None
    """How far a pool's own record may correct what is said of it; None: not at all."""

    def log_odds(self, past: PoolPast, ticks: Integers) -> Floats:
        rows = (past.matrix(ticks, self.prior) - self.mean) / self.scale
        return np.asarray(rows @ self.weights + self.intercept, dtype=np.float64)

    def probability(self, past: PoolPast, ticks: Integers) -> Floats:
        return self.corrected(past, ticks, self.log_odds(past, ticks))

    def corrected(self, past: PoolPast, ticks: Integers, log_odds: Floats) -> Floats:
        """Calibrate raw log odds and correct them by the pool's own record; give probabilities."""
        said = self.calibrator.scaled(log_odds)
        if self.correction_variance is not None:
            recorded = self.calibrator.scaled(self.log_odds(past, past.record.ticks))
            said = said + own_record.corrections(
                past.record, recorded, ticks, variance=self.correction_variance
            )
        return np.asarray(1 / (1 + np.exp(-said)), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class HorizonModel:
    """Everything for one horizon."""

    whole: Member
    without_zone: Mapping[str, Member]

    def member_for(self, zone: str) -> Member:
        """Give the member that never saw a zone."""
        return self.without_zone.get(zone, self.whole)


@dataclass(frozen=True, slots=True, eq=False)
class RiskModel:
    """One model a horizon, by the horizon's name."""

    horizons: Mapping[str, HorizonModel]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One trace, ready for fitting."""

    trace: Trace
    past: PoolPast
    windows: Windows


Rival = Callable[[Trace, Integers, float], Floats | None]
"""A baseline's raw log odds at some ticks; None where it says nothing of such a pool."""


def samples(traces: Sequence[Trace], horizon_seconds: float) -> list[Sample]:
    """Label the traces and read their past; traces without a judged window are left out."""
    found = []
    for trace in with_siblings(traces):
        judged = labels.windows(trace, horizon_seconds)
        if judged is not None and len(judged.ticks):
            found.append(Sample(trace, features.past_of(trace, horizon_seconds), judged))
    return found


def fit_horizon(
    samples: Sequence[Sample],
    horizon_seconds: float,
    *,
    rivals: Mapping[str, Rival],
    recipe: Recipe = SHIPPED,
) -> HorizonModel | None:
    """Fit one horizon on all zones, and again without each; None without both outcomes in two zones."""
    zones = sorted({sample.trace.zone for sample in samples})
    if len(zones) < 2 or not 0 < sum(s.windows.lost.sum() for s in samples) < sum(
        s.windows.at_risk.sum() for s in samples
    ):
        return None
    fits = _Fits(samples, horizon_seconds, rivals, recipe)
    return HorizonModel(fits.member(frozenset()), {zone: fits.member(frozenset([zone])) for zone in zones})


class _Fits:
    """Fits without one zone serve the calibration of the fit on all; without two, that of those."""

    def __init__(
        self,
        samples: Sequence[Sample],
        horizon_seconds: float,
        rivals: Mapping[str, Rival],
        recipe: Recipe,
    ) -> None:
        self._samples = [_thinned(sample) for sample in samples]
        self._horizon_seconds = horizon_seconds
        self._rivals = rivals
        self._recipe = recipe
        self._left: dict[frozenset[str], list[Sample]] = {}
        self._raw: dict[frozenset[str], Member] = {}

    def member(self, without: frozenset[str]) -> Member:
        kept = self._kept(without)
        raw = self._fit(without)
        held_out = []
        for zone in sorted({sample.trace.zone for sample in kept}):
            inner = self._fit(without | {zone})
            held_out += [
                (s, inner, inner.log_odds(s.past, s.windows.ticks)) for s in kept if s.trace.zone == zone
            ]
        rivals = {}
        for name, rival in self._rivals.items():
            said = [(s, rival(s.trace, s.windows.ticks, self._horizon_seconds)) for s in kept]
            heard = [(s, log_odds) for s, log_odds in said if log_odds is not None]
            if heard:
                rivals[name] = calibrate(heard)
        is_corrected = self._recipe.is_corrected(self._horizon_seconds)
        calibrated = calibrated_or_flat(raw, held_out, is_corrected=is_corrected)
        return replace(calibrated, rivals=rivals)

    def _kept(self, without: frozenset[str]) -> list[Sample]:
        """Leave zones out altogether: nor may they be seen as somebody's siblings."""
        if without not in self._left:
            kept = [sample for sample in self._samples if sample.trace.zone not in without]
            told = with_siblings(sample.trace for sample in kept)
            self._left[without] = [
                replace(sample, past=replace(sample.past, siblings=features.siblings_down(trace)))
                for sample, trace in zip(kept, told, strict=True)
            ]
        return self._left[without]

    def _fit(self, without: frozenset[str]) -> Member:
        if without not in self._raw:
            # Two zones in all leave nothing to fit on without both: the other's own fit must do.
            self._raw[without] = _regression(
                self._kept(without) or self._samples,
                inverse_penalty=INVERSE_PENALTY * min(1.0, 3_600 / self._horizon_seconds),
                without=self._recipe.left_out(self._horizon_seconds),
            )
        return self._raw[without]


def calibrate(held_out: Sequence[tuple[Sample, Floats]]) -> Calibrator:
    """Fit slope and intercept on predictions for pools that were not fitted on, each pool weighing the same."""
    rows = np.concatenate([log_odds for _, log_odds in held_out])[:, None]
    weights, intercept = _logistic(rows, [sample for sample, _ in held_out], inverse_penalty=1.0)
    return Calibrator(float(weights[0]), intercept)


def calibrated_or_flat(
    raw: Member, held_out: Sequence[tuple[Sample, Member, Floats]], *, is_corrected: bool
) -> Member:
    """Give the calibrated member, or the flat base rate where that scores better on zones held out."""
    calibrator = calibrate([(sample, log_odds) for sample, _, log_odds in held_out])
    told = replace(
        raw, calibrator=calibrator, correction_variance=CORRECTION_VARIANCE if is_corrected else None
    )
    flat = replace(
        raw,
        calibrator=Calibrator(0.0, math.log(raw.prior / (1 - raw.prior))),
        correction_variance=CORRECTION_VARIANCE_WHEN_FLAT if is_corrected else None,
    )
    ours, theirs = (
        metrics.scores(
            [
                _scored(
                    sample,
                    replace(
                        inner,
                        calibrator=member.calibrator,
                        correction_variance=member.correction_variance,
                    ).corrected(sample.past, sample.windows.ticks, log_odds),
                )
                for sample, inner, log_odds in held_out
            ]
        )
        for member in (told, flat)
    )
    is_better = ours.brier < theirs.brier and ours.log_loss < theirs.log_loss
    return told if calibrator.slope > 0 and is_better else flat


def _scored(sample: Sample, probability: Floats) -> metrics.Scored:
    w = sample.windows
    return metrics.Scored("", np.zeros(len(w.ticks)), w.at_risk, w.lost, probability)


def _regression(
    samples: Sequence[Sample], *, inverse_penalty: float, without: frozenset[int] = frozenset()
) -> Member:
    prior = float(np.clip(np.mean([sample.windows.rate for sample in samples]), SURE, 1 - SURE))
    rows = np.vstack([sample.past.matrix(sample.windows.ticks, prior) for sample in samples])
    rows[:, sorted(without)] = 0.0
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    weights, intercept = _logistic((rows - mean) / scale, samples, inverse_penalty=inverse_penalty)
    return Member(prior, mean, scale, weights, intercept, Calibrator(1.0, 0.0), rivals={})


def _logistic(rows: Floats, samples: Sequence[Sample], *, inverse_penalty: float) -> tuple[Floats, float]:
    """Fit on every instance at risk: a row for the lost ones, one for those kept, weighed by their share.

    Gives weights and intercept; where all met the same fate there is nothing to tell apart.
    """
    lost = np.concatenate([s.windows.lost / s.windows.at_risk.sum() for s in samples])
    kept = np.concatenate([(s.windows.at_risk - s.windows.lost) / s.windows.at_risk.sum() for s in samples])
    weight = np.concatenate([lost, kept]) * len(rows) / len(samples)
    rate = float(np.clip(lost.sum() / (lost.sum() + kept.sum()), SURE, 1 - SURE))
    if not (lost.any() and kept.any()):
        return np.zeros(rows.shape[1]), math.log(rate / (1 - rate))
    outcome = np.repeat([1, 0], len(rows))
    fitted = LogisticRegression(C=inverse_penalty, max_iter=500).fit(
        np.vstack([rows, rows])[weight > 0], outcome[weight > 0], sample_weight=weight[weight > 0]
    )
    return np.asarray(fitted.coef_[0], dtype=np.float64), float(fitted.intercept_[0])


def _thinned(sample: Sample) -> Sample:
    count = len(sample.windows.ticks)
    if count <= ROWS_PER_TRACE:
        return sample
    at = np.linspace(0, count - 1, ROWS_PER_TRACE).astype(np.int64)
    w = sample.windows
    return Sample(sample.trace, sample.past, Windows(w.ticks[at], w.at_risk[at], w.lost[at]))


def rising(by_horizon: Sequence[Floats]) -> list[Floats]:
    """Make sure that a longer horizon never has less risk than a shorter one."""
    return list(itertools.accumulate(by_horizon, np.maximum))
