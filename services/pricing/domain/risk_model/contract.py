"""Contract v1 of an interruption model: what it is asked, what it answers, and what the answer obliges to.

The recordings this model learnt from are of scarce GPU pools, most of which fall within a day. So a pool's
own past decides how far the model is believed: a pool that was never watched gets Spot Advisor's figure.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np

from services.pricing.domain.risk_model import features
from services.pricing.domain.risk_model.model import RiskModel
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Trace
from shared.kernel.errors import PermanentError

CONTRACT_VERSION: Final = 1
CAUTION_FROM: Final = 0.2
AVOID_ABOVE: Final = 0.5
DAY: Final = "24h"


class RiskQuestionError(PermanentError):
    """The question has a value that cannot be."""


class RecommendedAction(StrEnum):
    """For people; the planner uses the hazard per hour, never this label."""

    SAFE = "SAFE"
    CAUTION = "CAUTION"
    AVOID = "AVOID"


class FlagState(StrEnum):
    """What the hive mind knows of the pool."""

    NONE = "none"
    DECAYED = "decayed"
    """Still live, but most of its weight is gone."""
    FRESH = "fresh"


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A spot price from an instant on."""

    at: datetime
    usd_per_hour: float


@dataclass(frozen=True, slots=True)
class RiskQuestion:
    """How likely is it that an instance of this pool, running now, is interrupted?"""

    instance_type: str
    availability_zone: str
    spot_price_history: tuple[PricePoint, ...]
    """Oldest first. The shipped model takes it and learnt nothing from prices (docs/risk-model.md)."""
    hour_of_day: int
    day_of_week: int
    """0 is Monday."""
    past: Trace | None = None
    """Optional: what was seen of this pool, up to now; its last tick is now."""
    prior_by_horizon: Mapping[str, float] | None = None
    """Optional: Spot Advisor's probability at each horizon."""
    flag: FlagState = FlagState.NONE

    def __post_init__(self) -> None:
        if not (0 <= self.hour_of_day <= 23 and 0 <= self.day_of_week <= 6):
            raise RiskQuestionError("hour_of_day is 0 to 23 and day_of_week 0 to 6.")
        if not all(math.isfinite(p.usd_per_hour) and p.usd_per_hour > 0 for p in self.spot_price_history):
            raise RiskQuestionError("A spot price is a number above zero.")
        if any(not 0 <= p <= 1 for p in (self.prior_by_horizon or {}).values()):
            raise RiskQuestionError("A probability lies within 0 and 1.")


@dataclass(frozen=True, slots=True)
class RiskPrediction:
    """The answer."""

    prediction_id: str
    interruption_probability: float
    """Within `horizon_seconds`."""
    horizon_seconds: int
    confidence_score: float
    """The share of the answer that rests on this pool's own past; 0 is Spot Advisor, or the base rate, alone."""
    recommended_action: RecommendedAction
    probability_by_horizon: Mapping[str, float]
    hazard_per_hour: float
    """Of the next hour."""


def action_for(probability: float, *, flag: FlagState) -> RecommendedAction:
    """Say what a day's risk and a live flag mean."""
    if flag is FlagState.FRESH or probability > AVOID_ABOVE:
        return RecommendedAction.AVOID
    if flag is FlagState.DECAYED or probability >= CAUTION_FROM:
        return RecommendedAction.CAUTION
    return RecommendedAction.SAFE


def predict(model: RiskModel, question: RiskQuestion, *, prediction_id: str) -> RiskPrediction:
    """Answer with the model as far as the pool was watched, and with the prior for the rest.

    A horizon at which the model has no skill of its own goes on with the hazard of the one before it.
    """
    by_horizon: dict[str, float] = {}
    confidence = 0.0
    before: tuple[float, float] | None = None
    floor = 0.0
    for horizon, seconds in HORIZON_SECONDS.items():
        known = _from_past(model, horizon, question.past)
        if known is None and before is not None:
            shorter_seconds, survival = before
            known = (1 - survival ** (seconds / shorter_seconds), confidence)
        prior = (question.prior_by_horizon or {}).get(horizon)
        if known is None:
            base = model.horizons[horizon].whole.prior if horizon in model.horizons else 0.0
            p = base if prior is None else prior
        else:
            p, confidence = known
            before = (seconds, 1 - p)
            if prior is not None:
                p = confidence * p + (1 - confidence) * prior
        floor = max(floor, p)
        by_horizon[horizon] = floor
    day = by_horizon[DAY]
    return RiskPrediction(
        prediction_id=prediction_id,
        interruption_probability=day,
        horizon_seconds=HORIZON_SECONDS[DAY],
        confidence_score=confidence,
        recommended_action=action_for(day, flag=question.flag),
        probability_by_horizon=by_horizon,
        hazard_per_hour=-math.log1p(-min(by_horizon["1h"], 1 - 1e-9)),
    )


def _from_past(model: RiskModel, horizon: str, past: Trace | None) -> tuple[float, float] | None:
    """Give probability and confidence from the pool's own past; None where there is none, or no skill."""
    if past is None or not len(past.up) or past.up[-1] < 1 or horizon not in model.horizons:
        return None
    member = model.horizons[horizon].whole
    if member.calibrator.is_flat:
        return None
    read = features.past_of(past, HORIZON_SECONDS[horizon])
    last = np.array([len(past.up) - 1])
    seen = float(read.rates.seen[last[0], features.OWN_HALF_LIFE_HOURS.index(math.inf)])
    return float(member.probability(read, last)[0]), seen / (seen + features.PRIOR_WINDOWS)
