from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain.risk_model import features
from services.pricing.domain.risk_model.traces import UNKNOWN, Trace, with_siblings
from tests.unit.pricing.risk_model.recordings import drawn_up, make_trace

counts = st.lists(st.integers(UNKNOWN, 3), min_size=2, max_size=80)


def rows(trace: Trace, horizon: float) -> np.ndarray:
    return features.past_of(trace, horizon).matrix(np.arange(len(trace.up)), 0.3)


@given(counts, counts, counts, st.sampled_from([600.0, 3_600.0, 21_600.0]))
def test_another_future_changes_nothing_now(
    past: list[int], future: list[int], other: list[int], horizon: float
) -> None:
    now = len(past)
    length = min(len(future), len(other))
    one, two = (
        with_siblings(
            [make_trace(past + tail[:length]), make_trace(tail[:0] + past + tail[:length][::-1], name="b")]
        )[0]
        for tail in (future, other)
    )

    assert np.array_equal(rows(one, horizon)[:now], rows(two, horizon)[:now])


@given(counts, counts, st.sampled_from([600.0, 3_600.0]))
def test_the_recording_s_end_changes_nothing_before_it(
    past: list[int], future: list[int], horizon: float
) -> None:
    whole, begun = make_trace(past + future), make_trace(past)

    assert np.allclose(rows(whole, horizon)[: len(past)], rows(begun, horizon), atol=1e-9)


@given(counts)
def test_every_feature_is_a_number(up: list[int]) -> None:
    assert np.isfinite(rows(make_trace(up), 3_600)).all()


def test_a_window_is_known_when_it_ends_and_not_before() -> None:
    read = features.past_of(make_trace([1, 1, 1, 0, 1, 1, 1]), 1_800).rates
    all_time = features.OWN_HALF_LIFE_HOURS.index(float("inf"))

    seen_windows = read.seen[:, all_time] * 3  # in ticks: a horizon is three of them
    assert seen_windows.tolist() == pytest.approx([0, 0, 0, 1, 2, 3, 3])
    assert read.lost[:, all_time].tolist() == pytest.approx([0, 0, 0, 1 / 3, 2 / 3, 1, 1])


def test_a_pool_without_a_past_has_the_others_rate() -> None:
    read = features.past_of(make_trace([1]), 3_600)

    assert read.rates.shrunk(0.3)[0] == pytest.approx(np.log(0.3 / 0.7))


def test_the_longer_the_past_the_less_the_others_count() -> None:
    read = features.past_of(make_trace(np.ones(600, dtype=np.int64)), 3_600)
    own = read.rates.shrunk(0.5)[:, features.OWN_HALF_LIFE_HOURS.index(float("inf"))]

    assert (np.diff(own) <= 1e-12).all()
    assert own[-1] < -3


def test_age_starts_again_after_a_loss_a_return_and_a_gap() -> None:
    ages = features.hours_since_change(make_trace([1, 1, 0, 1, 1, UNKNOWN, 1, 1], tick_seconds=3_600))

    assert ages.tolist() == [1, 2, 1, 1, 2, 1, 1, 2]


def test_age_starts_again_when_one_of_several_is_lost_but_not_when_one_joins() -> None:
    ages = features.hours_since_change(make_trace([3, 3, 2, 2, 4, 4], tick_seconds=3_600))

    assert ages.tolist() == [1, 2, 1, 2, 3, 4]


def test_siblings_are_of_one_family_and_one_clock() -> None:
    up = drawn_up(0.1, ticks=50, seed=1)
    small = make_trace(np.ones(50, dtype=np.int64), name="small")
    large = replace(make_trace(up, name="large"), instance_type="p3.16xlarge")
    stranger = replace(make_trace(1 - up, name="stranger"), instance_type="r5.16xlarge")
    later = replace(make_trace(1 - up, name="later"), collection="d")

    told = with_siblings([small, large, stranger, later])

    assert told[0].siblings_up is not None
    assert np.array_equal(told[0].siblings_up, (up > 0).astype(float))
    assert told[2].siblings_up is None
    assert told[3].siblings_up is None
