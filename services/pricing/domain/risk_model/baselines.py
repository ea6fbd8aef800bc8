"""What the model must beat: things anyone can know, given the same calibration.

The base rate of the training zones; Spot Advisor's band as a constant hazard; and persistence, the older the
safer: with nothing known but the time T since the last change, the odds of a change within h are h to T.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from services.pricing.domain.interruption_risk import (
    HOURS_PER_MONTH,
    LOST_IN_A_MONTH_RATIO,
    AdvisorBand,
)
from services.pricing.domain.risk_model import features
from services.pricing.domain.risk_model.model import Member, Rival
from services.pricing.domain.risk_model.traces import Floats, Integers, Trace

BASE_RATE: Final = "base_rate"
SPOT_ADVISOR: Final = "spot_advisor"
PERSISTENCE: Final = "persistence"

Ratings = Mapping[str, Mapping[str, AdvisorBand]]
"""Spot Advisor's bands by region and type."""


def rivals(ratings: Ratings) -> dict[str, Rival]:
    """Give the baselines that are fitted; the base rate needs no fitting."""
    return {
        SPOT_ADVISOR: lambda trace, ticks, horizon: advisor_log_odds(trace, ticks, horizon, ratings=ratings),
        PERSISTENCE: persistence_log_odds,
    }


def advisor_log_odds(
    trace: Trace, ticks: Integers, horizon_seconds: float, *, ratings: Ratings
) -> Floats | None:
    """Read the type's band as a constant hazard; None where the Advisor does not list it."""
    band = ratings.get(trace.zone[:-1], {}).get(trace.instance_type)
    if band is None:
        return None
    hazard_per_hour = -math.log1p(-LOST_IN_A_MONTH_RATIO[band]) / HOURS_PER_MONTH
    cumulative = hazard_per_hour * horizon_seconds / 3_600
    return np.full(len(ticks), math.log(math.expm1(cumulative)))


def persistence_log_odds(trace: Trace, ticks: Integers, horizon_seconds: float) -> Floats:
    """Give log(h / time since the last change)."""
    return np.asarray(
        np.log(horizon_seconds / 3_600 / features.hours_since_change(trace)[ticks]), dtype=np.float64
    )


def probability(
    name: str, rival: Rival | None, member: Member, *, trace: Trace, ticks: Integers, horizon_seconds: float
) -> Floats | None:
    """Give a baseline's calibrated probability; None where it says nothing of such a pool."""
    if rival is None:
        return np.full(len(ticks), member.prior) if name == BASE_RATE else None
    log_odds = rival(trace, ticks, horizon_seconds)
    calibrator = member.rivals.get(name)
    return None if log_odds is None or calibrator is None else calibrator.apply(log_odds, trace.kind)
