"""Contract v1 of an interruption model: what it is asked, what it answers, and what the answer obliges to.

The recordings that the model learnt from are of scarce pools, most of which fall within a day; most pools of
EC2 are not like that. So a pool's own past decides, by Bayes' rule, whether it is one of those: losses seen
speak for the model, quiet hours for Spot Advisor's figure. How many pools are scarce, nobody could tell us:
the odds start even.
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
SCARCE_AT_FIRST: Final = 0.5
SCARCE_SHAPE: Final = 2.0
SCARCE_UP_HOURS: Final = 5.0
"""Scarce pools' losses per hour up: gamma with this shape and rate, from the recordings' 0.1 to 1.2 an hour."""


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
    """How sure it is which kind of pool this is; 0.5 says that nothing is known."""
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
    """Answer with the model as far as the pool is scarce, and with the prior as far as it is not.

    A horizon at which the model has no skill of its own goes on with the hazard of the one before it.
    """
    scarce = scarcity(question)
    by_horizon: dict[str, float] = {}
    survived: tuple[float, float] | None = None
    floor = 0.0
    for horizon, seconds in HORIZON_SECONDS.items():
        own = _from_past(model, horizon, question.past)
        if own is None and survived is not None:
            shorter_seconds, survival = survived
            own = 1 - survival ** (seconds / shorter_seconds)
        if own is None:
            own = model.horizons[horizon].whole.prior if horizon in model.horizons else 0.0
        else:
            survived = (seconds, 1 - own)
        prior = (question.prior_by_horizon or {}).get(horizon, own)
        floor = max(floor, scarce * own + (1 - scarce) * prior)
        by_horizon[horizon] = floor
    day = by_horizon[DAY]
    return RiskPrediction(
        prediction_id=prediction_id,
        interruption_probability=day,
        horizon_seconds=HORIZON_SECONDS[DAY],
        confidence_score=max(scarce, 1 - scarce) if question.past and question.prior_by_horizon else 0.5,
        recommended_action=action_for(day, flag=question.flag),
        probability_by_horizon=by_horizon,
        hazard_per_hour=-math.log1p(-min(by_horizon["1h"], 1 - 1e-9)),
    )


def scarcity(question: RiskQuestion) -> float:
    """Give the probability that this is a scarce pool, from the losses seen in its hours up.

    Without a past, or without a prior to compare with, it is taken for an ordinary one or a scarce one whole.
    """
    hourly = (question.prior_by_horizon or {}).get("1h")
    if hourly is None:
        return 1.0
    if question.past is None:
        return 0.0
    up = question.past.up
    up_hours = float((up > 0).sum()) * question.past.tick_seconds / 3_600
    losses = int(((up[:-1] > up[1:]) & (up[1:] >= 0)).sum())
    hazard = -math.log1p(-min(max(hourly, 1e-9), 1 - 1e-9))
    # Poisson counts under a known hazard, and under a gamma of hazards; up_hours^losses / losses! is in both.
    ordinary = losses * math.log(hazard) - hazard * up_hours
    as_scarce = (
        math.lgamma(SCARCE_SHAPE + losses)
        - math.lgamma(SCARCE_SHAPE)
        + SCARCE_SHAPE * math.log(SCARCE_UP_HOURS)
        - (SCARCE_SHAPE + losses) * math.log(SCARCE_UP_HOURS + up_hours)
    )
    log_odds = math.log(SCARCE_AT_FIRST / (1 - SCARCE_AT_FIRST)) + as_scarce - ordinary
    return 1 / (1 + math.exp(min(max(-log_odds, -500), 500)))


def _from_past(model: RiskModel, horizon: str, past: Trace | None) -> float | None:
    """Give the model's probability now; None where nothing was seen, or the model has no skill."""
    if past is None or not len(past.up) or past.up[-1] < 1 or horizon not in model.horizons:
        return None
    member = model.horizons[horizon].whole
    if member.calibrator.is_flat:
        return None
    last = np.array([len(past.up) - 1])
    return float(member.probability(features.past_of(past, HORIZON_SECONDS[horizon]), last)[0])
