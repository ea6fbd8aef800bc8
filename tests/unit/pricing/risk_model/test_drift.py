"""The population stability index: none where nothing changed, and said only of pools enough."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import pool_observations
from services.pricing.domain.risk_model import drift, features, model
from services.pricing.domain.risk_model.drift import Drift
from services.pricing.domain.risk_model.model import RiskModel
from services.pricing.domain.risk_model.traces import Trace
from tests.unit.pricing.risk_model.recordings import drawn_up, make_trace, unlike_pools

WEEK = 1_008
shares = st.lists(st.floats(0.0, 1.0), min_size=10, max_size=10).filter(lambda s: sum(s) > 0.1)


def spread(values: list[float]) -> np.ndarray:
    return np.array([values]) / sum(values)


@pytest.fixture(scope="module")
def trained() -> RiskModel:
    found = model.fit_horizon(model.samples(unlike_pools(), 3_600), 3_600, rivals={})
    assert found is not None
    return RiskModel({"1h": found})


def weeks(*, hazards: tuple[float, ...] = (0.01, 0.2), pools: int = 24) -> list[Trace]:
    return [
        make_trace(drawn_up(hazards[n % len(hazards)], ticks=WEEK, seed=500 + n), name=str(n))
        for n in range(pools)
    ]


@given(shares, shares)
def test_the_index_is_never_negative_and_the_same_both_ways(one: list[float], two: list[float]) -> None:
    a, b = spread(one), spread(two)

    assert drift.index(a, a)[0] == pytest.approx(0)
    assert drift.index(a, b)[0] >= 0
    assert drift.index(a, b)[0] == pytest.approx(drift.index(b, a)[0])


def test_the_index_is_that_of_a_book() -> None:
    # (0.6 - 0.5) ln(0.6 / 0.5) + (0.4 - 0.5) ln(0.4 / 0.5)
    assert drift.index(np.array([[0.6, 0.4]]), np.array([[0.5, 0.5]]))[0] == pytest.approx(0.0405, abs=1e-4)


def test_a_live_pool_s_past_is_as_long_as_those_it_is_compared_with() -> None:
    assert pool_observations.LOOK_BACK.total_seconds() == drift.LOOK_BACK_SECONDS


def test_every_feature_has_a_name_and_tenths_of_the_training_pools(trained: RiskModel) -> None:
    histogram = trained.horizons["1h"].histogram
    assert histogram is not None

    assert len(features.NAMES) == len(set(features.NAMES)) == len(histogram.shares)
    assert np.allclose(histogram.shares.sum(axis=1), 1)
    own_rate = features.NAMES.index("own rate 24 h")
    assert np.allclose(histogram.shares[own_rate], 0.1, atol=0.01)


def test_pools_like_those_learnt_from_are_no_drift(trained: RiskModel) -> None:
    found = trained.drift(weeks())

    assert found.is_known
    assert not found.is_drift
    assert set(found.index_by_feature) == {
        f"1h/{features.NAMES[n]}" for n in np.flatnonzero(trained.horizons["1h"].whole.weights)
    }


@pytest.mark.parametrize("hazard", [0.0005, 0.06])
def test_pools_of_another_sort_are_drift(trained: RiskModel, hazard: float) -> None:
    found = trained.drift(weeks(hazards=(hazard,)))

    assert found.is_drift
    assert found.index_by_feature[found.drifted[0]] == max(found.index_by_feature.values())


def test_of_few_pools_nobody_knows(trained: RiskModel) -> None:
    found = trained.drift(weeks(hazards=(0.0005,), pools=drift.LEAST_POOLS - 1))

    assert found.drifted
    assert not found.is_known
    assert not found.is_drift


def test_pools_that_never_ran_say_nothing(trained: RiskModel) -> None:
    found = trained.drift([make_trace([0] * 50)] * drift.LEAST_POOLS)

    assert found.index_by_feature == {}
    assert not found.is_known


def test_pools_that_never_ran_do_not_make_few_pools_enough(trained: RiskModel) -> None:
    ran = weeks(hazards=(0.0005,), pools=3)

    found = trained.drift([*ran, *[make_trace([0] * 50)] * drift.LEAST_POOLS])

    assert (found.pools, bool(found.drifted)) == (3, True)
    assert not found.is_drift


@pytest.mark.parametrize(("above", "is_drift"), [(0, False), (2, False), (3, True), (8, True)])
def test_one_feature_alone_is_no_drift(above: int, *, is_drift: bool) -> None:
    found = Drift(50, {str(n): 0.9 if n < above else 0.1 for n in range(8)})

    assert len(found.drifted) == above
    assert found.is_drift is is_drift


def test_a_horizon_that_reads_no_feature_has_none_to_drift(trained: RiskModel) -> None:
    flat = RiskModel({"1h": replace(trained.horizons["1h"], histogram=None)})

    assert flat.drift(weeks()).index_by_feature == {}
