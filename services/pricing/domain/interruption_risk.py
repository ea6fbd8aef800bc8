"""From Spot Advisor's bands to the probability that an instance is interrupted within an hour.

Spot Advisor says how often instances of a type were interrupted over the trailing month, in five bands
(https://aws.amazon.com/ec2/spot/instance-advisor/). Read as the share f of instances lost in a month, and
with a constant hazard, the hourly hazard is -ln(1 - f) / 730 and P(lost within h hours) = 1 - exp(-hazard x
h). It is a prior, not a prediction: it does not know zone, hour or price. A later model refines it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from statistics import fmean

HOURS_PER_MONTH = 730.0


class AdvisorBand(IntEnum):
    """Spot Advisor's own index `r`."""

    UNDER_5_PERCENT = 0
    FROM_5_TO_10_PERCENT = 1
    FROM_10_TO_15_PERCENT = 2
    FROM_15_TO_20_PERCENT = 3
    OVER_20_PERCENT = 4


LOST_IN_A_MONTH_RATIO: Mapping[AdvisorBand, float] = {
    AdvisorBand.UNDER_5_PERCENT: 0.025,
    AdvisorBand.FROM_5_TO_10_PERCENT: 0.075,
    AdvisorBand.FROM_10_TO_15_PERCENT: 0.125,
    AdvisorBand.FROM_15_TO_20_PERCENT: 0.175,
    AdvisorBand.OVER_20_PERCENT: 0.25,
}
"""The middle of each band; the last is open, and 25 % is our guess."""


@dataclass(frozen=True, slots=True)
class RiskEstimate:
    """How likely an interruption is, and who says so."""

    interruption_probability: float
    """Within one hour."""
    source: str


def hourly_probability(lost_in_a_month_ratio: float) -> float:
    """Give P(interrupted within an hour) under a constant hazard."""
    hazard_per_hour = -math.log1p(-lost_in_a_month_ratio) / HOURS_PER_MONTH
    return -math.expm1(-hazard_per_hour)


def estimate(
    instance_type: str, *, ratings: Mapping[str, AdvisorBand], fallback: RiskEstimate | None = None
) -> RiskEstimate | None:
    """Estimate one type's risk from a region's ratings by type.

    A type that the Advisor does not list takes its family's mean, else `fallback`, else nothing is known.
    """
    band = ratings.get(instance_type)
    if band is not None:
        return RiskEstimate(hourly_probability(LOST_IN_A_MONTH_RATIO[band]), "spot_advisor")
    family = instance_type.partition(".")[0] + "."
    siblings = [LOST_IN_A_MONTH_RATIO[b] for name, b in ratings.items() if name.startswith(family)]
    if siblings:
        return RiskEstimate(hourly_probability(fmean(sorted(siblings))), "family_prior")
    return fallback


def regional_prior(ratings: Mapping[str, AdvisorBand]) -> RiskEstimate | None:
    """Give the mean over all rated types of a region; None when nothing is rated."""
    if not ratings:
        return None
    mean = fmean(sorted(LOST_IN_A_MONTH_RATIO[band] for band in ratings.values()))
    return RiskEstimate(hourly_probability(mean), "regional_prior")


def over(estimate: RiskEstimate, *, seconds: float) -> float:
    """Give P(interrupted within `seconds`) under the constant hazard behind an estimate."""
    if estimate.interruption_probability >= 1:
        return 1.0
    return -math.expm1(math.log1p(-estimate.interruption_probability) * seconds / 3_600)
