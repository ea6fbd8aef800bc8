"""From Spot Advisor's bands to probabilities, and from incidents to flags."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import interruption_risk
from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.risk_flags import RENEWED_AFTER, flag_for
from shared.kernel.pool_flags import FLAG_LIFETIME, PoolFlag
from shared.kernel.pools import CapacityType
from tests.builders import make_pool
from tests.fakes.clock import EPOCH

SPOT = make_pool(capacity_type=CapacityType.SPOT)


@given(st.floats(0, 0.99), st.floats(0, 0.99))
def test_more_losses_in_a_month_are_a_higher_risk_within_an_hour(one: float, other: float) -> None:
    low, high = sorted((one, other))
    risks = [interruption_risk.hourly_probability(ratio) for ratio in (low, high)]
    assert 0 <= risks[0] <= risks[1] < 1


@given(st.floats(0.001, 0.99))
def test_a_months_worth_of_hours_loses_the_months_share(ratio: float) -> None:
    kept = (1 - interruption_risk.hourly_probability(ratio)) ** interruption_risk.HOURS_PER_MONTH
    assert math.isclose(kept, 1 - ratio, rel_tol=1e-9)


def test_an_unrated_type_takes_its_family_then_the_fallback_then_nothing() -> None:
    ratings = {"m5.large": AdvisorBand(0), "m5.xlarge": AdvisorBand(4), "m5d.large": AdvisorBand(1)}
    rated = interruption_risk.estimate("m5.large", ratings=ratings)
    family = interruption_risk.estimate("m5.metal", ratings=ratings)
    prior = interruption_risk.regional_prior(ratings)
    assert rated is not None
    assert family is not None
    assert prior is not None
    assert [e.source for e in (rated, family, prior)] == ["spot_advisor", "family_prior", "regional_prior"]
    assert rated.interruption_probability < family.interruption_probability
    mean = interruption_risk.hourly_probability((0.025 + 0.25) / 2)
    assert family.interruption_probability == mean, "m5d is another family than m5"
    assert interruption_risk.estimate("c5.large", ratings=ratings) is None
    assert interruption_risk.estimate("c5.large", ratings=ratings, fallback=prior) == prior
    assert interruption_risk.regional_prior({}) is None


@pytest.mark.parametrize("capacity_type", [CapacityType.ON_DEMAND, CapacityType.RESERVED])
def test_only_spot_is_interrupted_but_any_pool_may_be_empty(capacity_type: CapacityType) -> None:
    pool = make_pool(capacity_type=capacity_type)
    assert flag_for(pool, reason="interruption", at=EPOCH, now=EPOCH) is None
    assert flag_for(pool, reason="insufficient_capacity", at=EPOCH, now=EPOCH) is not None


@given(st.integers(-7200, 7200))
def test_a_flag_is_raised_anew_once_it_says_less_than_a_new_one(seconds: int) -> None:
    at = EPOCH + timedelta(seconds=seconds)
    held = PoolFlag(SPOT, "interruption", EPOCH, EPOCH + FLAG_LIFETIME)
    raised = flag_for(SPOT, reason="interruption", at=at, now=at, held=held)
    assert (raised is None) is (at < EPOCH + RENEWED_AFTER)
    assert raised is None or (raised.raised_at, raised.expires_at) == (at, at + FLAG_LIFETIME)


@given(st.integers(-3600, 3 * 3600))
def test_old_news_raise_what_is_left_of_a_flag_or_none(age_seconds: int) -> None:
    at = EPOCH - timedelta(seconds=age_seconds)
    raised = flag_for(SPOT, reason="interruption", at=at, now=EPOCH)
    assert (raised is None) is (at + FLAG_LIFETIME <= EPOCH)
    assert raised is None or raised.expires_at == min(at, EPOCH) + FLAG_LIFETIME
