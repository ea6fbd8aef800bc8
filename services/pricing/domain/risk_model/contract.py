"""Contract v1 of an interruption model: what it is asked, what it answers, and what the answer obliges to.

Layers, each where it says more than the one before it: Spot Advisor's figure; what was seen of the pool itself;
the model. The recordings that the model learnt from are of scarce pools, most of which fall within a day; most
pools of EC2 are not like that. So a pool's own past decides, by Bayes' rule, whether it is one of those: losses
seen speak for it, quiet hours for Spot Advisor's figure. Of a scarce pool the model knows most; where it cannot
be asked, a gamma-Poisson count of the pool's losses stands in.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Trace
from shared.kernel.errors import PermanentError

CONTRACT_VERSION: Final = 1
CAUTION_FROM: Final = 0.2
AVOID_ABOVE: Final = 0.5
DAY: Final = "24h"
SCARCE_SHARE_OF_RISK: Final = 0.5
"""How much of Spot Advisor's hourly risk is taken to come from scarce pools. Nobody could tell us: a guess."""
SCARCE_SHAPE: Final = 2.0
SCARCE_UP_HOURS: Final = 5.0
"""Scarce pools' losses per hour up: gamma with this shape and rate, from the recordings' 0.1 to 1.2 an hour."""
UNSURE: Final = 0.5
"""The confidence of who knows nothing."""
STAND_IN: Final = "heuristic"
"""In place of the model, with why: loading, drift, timeout."""
OBSERVED: Final = "observed"
"""The layer of what was seen of the pool itself."""


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
    prior_source: str = "spot_advisor"
    is_prior_old: bool = False
    """Its source has not answered for too long."""
    flag: FlagState = FlagState.NONE

    def __post_init__(self) -> None:
        if not (0 <= self.hour_of_day <= 23 and 0 <= self.day_of_week <= 6):
            raise RiskQuestionError("hour_of_day is 0 to 23 and day_of_week 0 to 6.")
        if not all(math.isfinite(p.usd_per_hour) and p.usd_per_hour > 0 for p in self.spot_price_history):
            raise RiskQuestionError("A spot price is a number above zero.")
        if any(not 0 <= p <= 1 for p in (self.prior_by_horizon or {}).values()):
            raise RiskQuestionError("A probability lies within 0 and 1.")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the model says of a pool whose past it was shown."""

    probability_by_horizon: Mapping[str, float]
    """Only the horizons at which it knows more than a base rate."""
    strange_share: float
    """The share of its features that lie far out of all it was trained on, within 0 and 1."""


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
    layers: tuple[str, ...]
    """What had a part in it, the broadest first: spot_advisor, observed, model:<version> or heuristic:<why>."""

    @property
    def source(self) -> str:
        """Give the layers in one word."""
        return "+".join(self.layers)


def action_for(probability: float, *, flag: FlagState) -> RecommendedAction:
    """Say what a day's risk and a live flag mean."""
    if flag is FlagState.FRESH or probability > AVOID_ABOVE:
        return RecommendedAction.AVOID
    if flag is FlagState.DECAYED or probability >= CAUTION_FROM:
        return RecommendedAction.CAUTION
    return RecommendedAction.SAFE


def predict(
    question: RiskQuestion,
    *,
    prediction_id: str,
    opinion: Opinion | None = None,
    model_name: str = "",
    why_not: str = "",
) -> RiskPrediction:
    """Answer with the model as far as the pool is scarce, and with the prior as far as it is not.

    Without an opinion of the model the pool's own count of losses speaks for a scarce pool. A horizon at which
    the model says nothing goes on with the hazard of the one before it. `why_not` says why there is a model that
    is not listened to.
    """
    seen = _Seen.of(question.past)
    scarce = scarcity(question)
    said = opinion.probability_by_horizon if opinion else {}
    by_horizon: dict[str, float] = {}
    survived: tuple[float, float] | None = None
    floor = 0.0
    for horizon, seconds in HORIZON_SECONDS.items():
        own = said.get(horizon)
        if own is None and survived is not None:
            shorter_seconds, survival = survived
            own = 1 - survival ** (seconds / shorter_seconds)
        if own is None:
            own = seen.probability(seconds)
        else:
            survived = (seconds, 1 - own)
        prior = (question.prior_by_horizon or {}).get(horizon, own)
        floor = max(floor, scarce * own + (1 - scarce) * prior)
        by_horizon[horizon] = floor
    day = by_horizon[DAY]
    layers = [question.prior_source] if question.prior_by_horizon else []
    layers += [OBSERVED] if question.past else []
    if said:
        layers.append(f"model:{model_name}")
    elif why_not and question.past:
        layers.append(f"{STAND_IN}:{why_not}")
    return RiskPrediction(
        prediction_id=prediction_id,
        interruption_probability=day,
        horizon_seconds=HORIZON_SECONDS[DAY],
        confidence_score=_confidence(question, scarce),
        recommended_action=action_for(day, flag=question.flag),
        probability_by_horizon=by_horizon,
        hazard_per_hour=-math.log1p(-min(by_horizon["1h"], 1 - 1e-9)),
        layers=tuple(layers) or ("scarce_pools",),
    )


def _confidence(question: RiskQuestion, scarce: float) -> float:
    """Give how sure it is which kind of pool this is; half as far from knowing nothing where the prior is old."""
    if not (question.past and question.prior_by_horizon):
        return UNSURE
    sure = max(scarce, 1 - scarce)
    return (sure + UNSURE) / 2 if question.is_prior_old else sure


def scarcity(question: RiskQuestion) -> float:
    """Give the probability that this is a scarce pool, from the losses seen in its hours up.

    Without a past it is taken for an ordinary pool whole, without a prior to compare with for a scarce one.
    """
    hourly = (question.prior_by_horizon or {}).get("1h")
    if hourly is None:
        return 1.0
    if question.past is None:
        return 0.0
    seen = _Seen.of(question.past)
    hazard = -math.log1p(-min(max(hourly, 1e-9), 1 - 1e-9))
    # An hour of an instance is in a scarce pool as often as explains their share of the Advisor's risk.
    at_first = min(SCARCE_SHARE_OF_RISK * hazard * SCARCE_UP_HOURS / SCARCE_SHAPE, 0.5)
    # Poisson counts under a known hazard, and under a gamma of hazards; up_hours^losses / losses! is in both.
    ordinary = seen.losses * math.log(hazard) - hazard * seen.up_hours
    as_scarce = (
        math.lgamma(seen.shape)
        - math.lgamma(SCARCE_SHAPE)
        + SCARCE_SHAPE * math.log(SCARCE_UP_HOURS)
        - seen.shape * math.log(seen.rate_hours)
    )
    log_odds = math.log(at_first / (1 - at_first)) + as_scarce - ordinary
    return 1 / (1 + math.exp(min(max(-log_odds, -500), 500)))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a pool's past says about its losses per hour, were it a scarce one."""

    losses: int
    up_hours: float

    @classmethod
    def of(cls, past: Trace | None) -> Self:
        """Count a past's losses and hours up; none in none."""
        if past is None:
            return cls(0, 0.0)
        up = past.up
        return cls(
            int(((up[:-1] > up[1:]) & (up[1:] >= 0)).sum()),
            float((up > 0).sum()) * past.tick_seconds / 3_600,
        )

    @property
    def shape(self) -> float:
        return SCARCE_SHAPE + self.losses

    @property
    def rate_hours(self) -> float:
        return SCARCE_UP_HOURS + self.up_hours

    def probability(self, seconds: float) -> float:
        """Give P(a loss within `seconds`) under the gamma that the losses seen leave."""
        return float(1 - (self.rate_hours / (self.rate_hours + seconds / 3_600)) ** self.shape)
