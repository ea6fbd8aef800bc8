"""From Spot Advisor's bands to the probability that an instance is interrupted within an hour.

Spot Advisor says how often instances of a type were interrupted over the trailing month, in five bands
(https://aws.amazon.com/ec2/spot/instance-advisor/). Read as the share f of instances lost in a month, and
with a constant hazard, the hourly hazard is -ln(1 - f) / 730 and P(lost within h hours) = 1 - exp(-hazard x
h). It is a prior, not a prediction: it does not know zone, hour or price. A later model refines it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from statistics import fmean

HOURS_PER_MONTH = 730.0

OLD_PRIOR = "stale_regional_prior"

ADVISOR_FRESH_FOR = timedelta(days=7)
"""Unless a setting says otherwise."""


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
class AdvisorReading:
    """Spot Advisor's file."""

    bands: Mapping[str, Mapping[str, AdvisorBand]]
    """By region, then instance type, for Linux."""
    published_at: datetime | None = None
    """When it was written, where its server says so."""


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


@dataclass(frozen=True, slots=True)
class Advice:
    """What Spot Advisor's file lets us say of the types of a region, by how old it is."""

    ratings: Mapping[str, AdvisorBand]
    """Empty where the file is too old to say anything of one type."""
    fallback: RiskEstimate | None
    """For a type that neither it nor its family is in."""
    is_old: bool

    def of(self, instance_type: str) -> RiskEstimate | None:
        """Estimate one type's risk."""
        return estimate(instance_type, ratings=self.ratings, fallback=self.fallback)


def advice(
    ratings: Mapping[str, AdvisorBand], *, as_of: datetime | None, now: datetime, fresh_for: timedelta
) -> Advice:
    """Read a region's ratings as their age allows; a file of no known age is old.

    Bands move from month to month. Of an old file only the mean over all types is believed, under a name that says so.
    """
    prior = regional_prior(ratings)
    if as_of is not None and now - as_of <= fresh_for:
        return Advice(ratings, prior, is_old=False)
    return Advice({}, prior and replace(prior, source=OLD_PRIOR), is_old=True)


def over(estimate: RiskEstimate, *, seconds: float) -> float:
    """Give P(interrupted within `seconds`) under the constant hazard behind an estimate."""
    if estimate.interruption_probability >= 1:
        return 1.0
    return -math.expm1(math.log1p(-estimate.interruption_probability) * seconds / 3_600)
