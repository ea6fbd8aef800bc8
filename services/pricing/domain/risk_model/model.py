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
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from services.pricing.domain.risk_model import drift, features, kinds, labels, metrics, own_record
from services.pricing.domain.risk_model.drift import Drift, Histogram
from services.pricing.domain.risk_model.features import PoolPast
from services.pricing.domain.risk_model.labels import Windows
from services.pricing.domain.risk_model.recipe import SHIPPED, Recipe
from services.pricing.domain.risk_model.traces import (
    HORIZON_SECONDS,
    Floats,
    Integers,
    Trace,
    TraceKind,
    with_siblings,
)

ROWS_PER_TRACE: Final = 2_000
"""Windows of neighbouring ticks are nearly the same; more rows cost time and teach nothing."""
INVERSE_PENALTY: Final = 0.03
"""At one hour and less; beyond, less by as much as there are fewer windows that do not overlap."""
SURE: Final = 1e-4
CORRECTION_VARIANCE: Final = 0.1
CORRECTION_VARIANCE_WHEN_FLAT: Final = 2.0
"""Of log odds between pools, and between kinds: what the features have not explained, and all of it."""


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Platt scaling: a slope and an intercept on the log odds, and what a kind of recording differs by."""

    slope: float
    intercept: float
    shift_by_kind: Mapping[TraceKind, float] = field(default_factory=dict)
    """Log odds; a kind that was not there to learn from has none."""

    @property
    def is_flat(self) -> bool:
        """Whether it says the base rate whatever it is told."""
        return self.slope == 0

    def scaled(self, log_odds: Floats, kind: TraceKind) -> Floats:
        shift = self.intercept + self.shift_by_kind.get(kind, 0.0)
        return np.asarray(self.slope * log_odds + shift, dtype=np.float64)

    def apply(self, log_odds: Floats, kind: TraceKind) -> Floats:
        return np.asarray(1 / (1 + np.exp(-self.scaled(log_odds, kind))), dtype=np.float64)


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
        said = self.calibrator.scaled(log_odds, past.kind)
        if self.correction_variance is not None:
            recorded = self.calibrator.scaled(self.log_odds(past, past.record.ticks), past.kind)
            said = said + own_record.corrections(
                past.record, recorded, ticks, variance=self.correction_variance
            )
        return np.asarray(1 / (1 + np.exp(-said)), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class HorizonModel:
    """Everything for one horizon."""

    whole: Member
    without_zone: Mapping[str, Member]
    histogram: Histogram | None = None
    """How the features of all training pools were spread; None where none is read."""

    def member_for(self, zone: str) -> Member:
        """Give the member that never saw a zone."""
        return self.without_zone.get(zone, self.whole)


@dataclass(frozen=True, slots=True, eq=False)
class RiskModel:
    """One model a horizon, by the horizon's name."""

    horizons: Mapping[str, HorizonModel]

    def drift(self, pasts: Sequence[Trace]) -> Drift:
        """Compare what is asked about with what was learnt from; a pool in which nothing ever ran is not counted."""
        found: dict[str, float] = {}
        for name, horizon in self.horizons.items():
            if horizon.histogram is not None:
                by_feature = drift.indices(
                    horizon.histogram,
                    pasts,
                    HORIZON_SECONDS[name],
                    prior=horizon.whole.prior,
                    used=horizon.whole.weights,
                )
                found |= {f"{name}/{feature}": value for feature, value in by_feature.items()}
        return Drift(sum(bool((past.up > 0).any()) for past in pasts), found)


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
    whole = fits.member(frozenset())
    return HorizonModel(
        whole,
        {zone: fits.member(frozenset([zone])) for zone in zones},
        None
        if whole.calibrator.is_flat
        else drift.histogram_of([s.trace for s in samples], horizon_seconds, prior=whole.prior),
    )


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
                is_flat = len(np.unique(np.concatenate([log_odds for _, log_odds in heard]))) == 1
                rivals[name] = shifted(calibrate(heard), heard, self._horizon_seconds, is_flat=is_flat)
        calibrated = calibrated_or_flat(raw, held_out, self._horizon_seconds, self._recipe)
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


def shifted(
    calibrator: Calibrator,
    held_out: Sequence[tuple[Sample, Floats]],
    horizon_seconds: float,
    *,
    is_flat: bool,
) -> Calibrator:
    """Add what each kind of recording differs by from what the calibrator says of pools that were not fitted on.

    A kind of few pools stays near the others, however long these were watched (`kinds` has the formulas). `is_flat`
    says that nothing else tells pools apart.
    """
    outcomes = []
    for sample, log_odds in held_out:
        said, w = calibrator.scaled(log_odds, sample.trace.kind), sample.windows
        outcomes.append(
            kinds.Outcome(sample.trace.kind, said, w.at_risk, w.lost, sample.trace.seconds / horizon_seconds)
        )
    variance = CORRECTION_VARIANCE_WHEN_FLAT if is_flat else CORRECTION_VARIANCE
    return replace(calibrator, shift_by_kind=kinds.shifts(outcomes, variance=variance))


def calibrated_or_flat(
    raw: Member,
    held_out: Sequence[tuple[Sample, Member, Floats]],
    horizon_seconds: float,
    recipe: Recipe = SHIPPED,
) -> Member:
    """Give the calibrated member, or the flat base rate where that scores better on zones held out.

    Kinds are told apart only after that. Their shifts are learnt from the outcomes that both are scored by, and where
    few pools happen to be calm in one kind and restless in the other, the base rate of the kind would seem to know more
    than what was fitted.
    """
    is_corrected = recipe.is_corrected(horizon_seconds)
    said = [(sample, log_odds) for sample, _, log_odds in held_out]
    calibrator = calibrate(said)
    level = Calibrator(0.0, math.log(raw.prior / (1 - raw.prior)))
    told, flat = (
        replace(
            raw,
            calibrator=scaling,
            correction_variance=variance if is_corrected else None,
        )
        for scaling, variance in (
            (calibrator, CORRECTION_VARIANCE),
            (level, CORRECTION_VARIANCE_WHEN_FLAT),
        )
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
    chosen = told if calibrator.slope > 0 and is_better else flat
    if not recipe.by_kind:
        return chosen
    scaling = chosen.calibrator
    return replace(chosen, calibrator=shifted(scaling, said, horizon_seconds, is_flat=scaling.is_flat))


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
