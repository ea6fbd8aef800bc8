"""What a flag says about its pool and its siblings, and for how long."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.pool_flags import (
    AVOID_LEVEL,
    CAUTION_PER_HOUR,
    FLAG_LIFETIME,
    SIBLING_SHARE,
    PoolFlag,
    PoolFlags,
)
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_pool
from tests.fakes.clock import EPOCH

SPOT = make_pool("m5.xlarge", capacity_type=CapacityType.SPOT)


def spot(name: str = "m5.xlarge", zone_id: str = SPOT.zone_id) -> PoolKey:
    return make_pool(name, zone_id=zone_id, capacity_type=CapacityType.SPOT)


def flag(pool: PoolKey = SPOT, at: datetime = EPOCH) -> PoolFlag:
    return PoolFlag(pool, "interruption", at, at + FLAG_LIFETIME)


def after(minutes: float, *flags: PoolFlag) -> PoolFlags:
    return PoolFlags(flags or [flag()], now=EPOCH + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("minutes", "level", "is_avoided"),
    [(0, 1.0, True), (14, 16 / 30, True), (15, 0.5, False), (29, 1 / 30, False), (-5, 1.0, True)],
)
def test_a_flag_fades_in_half_an_hour(minutes: float, level: float, is_avoided: bool) -> None:  # noqa: FBT001
    raised = after(minutes).of(SPOT)
    assert raised is not None
    assert raised.level == pytest.approx(level)
    assert raised.is_avoided is is_avoided is (raised.level > AVOID_LEVEL)


def test_after_half_an_hour_nothing_is_left() -> None:
    flags = after(30)
    assert flags.of(SPOT) is None
    assert flags.of(spot("m5.large")) is None
    assert flags.probability(SPOT, 0.001) == 0.001
    assert len(flags) == 0


@pytest.mark.parametrize(
    ("pool", "is_raised"),
    [
        pytest.param(spot("m5.large"), True, id="another size in the zone"),
        pytest.param(spot(zone_id="use1-az6"), True, id="the type in another zone"),
        pytest.param(spot("m5.large", "use1-az6"), False, id="another size in another zone"),
        pytest.param(spot("m5d.xlarge"), False, id="another family"),
        pytest.param(make_pool("m5.large", zone_id=SPOT.zone_id), False, id="on-demand"),
    ],
)
def test_siblings_are_raised_less_and_never_avoided(pool: PoolKey, is_raised: bool) -> None:  # noqa: FBT001
    raised = after(0).of(pool)
    assert (raised is not None) is is_raised
    if raised is not None:
        assert (raised.level, raised.is_own, raised.is_avoided) == (SIBLING_SHARE, False, False)
        near, own = after(0).probability(pool, 0.001), after(0).probability(SPOT, 0.001)
        assert near is not None
        assert own is not None
        assert 0.001 < near < own


def test_a_flag_of_its_own_counts_before_its_siblings() -> None:
    raised = after(29, flag(), flag(spot("m5.large"), EPOCH + timedelta(minutes=29))).of(SPOT)
    assert raised is not None
    assert raised.is_own


@given(st.floats(0, 1) | st.none(), st.floats(0, 29.99))
def test_a_live_flag_makes_at_least_caution_and_never_a_risk_smaller(
    base: float | None, minutes: float
) -> None:
    raised = after(minutes).probability(SPOT, base)
    assert raised is not None
    assert max(base or 0.0, CAUTION_PER_HOUR) <= raised + 1e-12
    assert raised <= 1


def test_nothing_on_demand_is_interrupted() -> None:
    pool = make_pool()
    flags = after(0, PoolFlag(pool, "insufficient_capacity", EPOCH, EPOCH + FLAG_LIFETIME))
    raised = flags.of(pool)
    assert raised is not None
    assert raised.is_avoided
    assert flags.probability(pool, None) is None


@given(
    st.permutations([flag(spot(n, z)) for n in ("m5.large", "m5.xlarge") for z in ("use1-az1", "use1-az2")])
)
def test_the_order_of_flags_changes_nothing(flags: list[PoolFlag]) -> None:
    for pool in (spot("m5.2xlarge", "use1-az1"), spot("m5.large", "use1-az3")):
        assert after(3, *flags).of(pool) == after(3, *sorted(flags, key=lambda f: f.pool)).of(pool)
