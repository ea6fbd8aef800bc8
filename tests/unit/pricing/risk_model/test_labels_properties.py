from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from services.pricing.domain.risk_model import labels
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, UNKNOWN
from tests.unit.pricing.risk_model.recordings import make_trace

counts = st.lists(st.integers(UNKNOWN, 4), min_size=1, max_size=60)
tick_lengths = st.integers(20, 2_000)
horizons = st.one_of(st.sampled_from(sorted(HORIZON_SECONDS.values())), st.integers(1, 90_000))


@given(counts, tick_lengths, horizons)
@example([1, 1, 0, 1], 600, 900)
@example([1, 1, 1, 0, 1], 600, 1_499)
@example([1, 0, 1], 600, 599)
def test_every_window_is_judged_as_by_hand(up: list[int], tick: int, horizon: int) -> None:
    judged = labels.windows(make_trace(up, tick_seconds=float(tick)), float(horizon))

    if horizon < tick:
        assert judged is None
        return
    # Whole half ticks, no rounding: a loss seen k ticks later happened k·2 - 1 half ticks later.
    within = 0
    while (2 * within + 1) * tick <= 2 * horizon:
        within += 1
    expected = []
    for opening, count in enumerate(up):
        ahead = up[opening + 1 :][:within]
        if count > 0 and len(ahead) == within and UNKNOWN not in ahead:
            expected.append((opening, count, max(0, count - min(ahead))))
    assert judged is not None
    assert list(zip(judged.ticks, judged.at_risk, judged.lost, strict=True)) == expected


@given(tick_lengths, horizons)
def test_the_middle_of_the_last_tick_is_within_the_horizon_and_that_of_the_next_is_not(
    tick: int, horizon: int
) -> None:
    span = labels.ticks_in(horizon, tick)

    assert (span == 0) == (horizon < tick)
    if span:
        assert (span - Fraction(1, 2)) * tick <= horizon < (span + Fraction(1, 2)) * tick


@given(counts, st.sampled_from([600, 3_600]))
def test_a_longer_horizon_never_loses_fewer(up: list[int], horizon: int) -> None:
    trace = make_trace(up)
    short, long = labels.windows(trace, horizon), labels.windows(trace, 2 * horizon)

    assert short is not None
    assert long is not None
    lost = dict(zip(short.ticks.tolist(), short.lost.tolist(), strict=True))
    assert all(lost[tick] <= more for tick, more in zip(long.ticks.tolist(), long.lost.tolist(), strict=True))


def test_a_horizon_below_the_tick_is_not_judged() -> None:
    assert labels.windows(make_trace([1, 0, 1]), 599) is None
    assert labels.windows(make_trace([1, 0, 1]), 600) is not None


def test_a_window_past_the_end_is_censored_even_when_its_loss_was_seen() -> None:
    judged = labels.windows(make_trace([1, 1, 0]), 1_200)

    assert judged is not None
    assert judged.ticks.tolist() == [0]


def test_a_window_is_censored_for_a_gap_in_the_tick_that_only_its_second_half_reaches() -> None:
    judged = labels.windows(make_trace([1, 1, 0, UNKNOWN, 1, 1, 1]), 900)

    assert judged is not None
    assert judged.ticks.tolist() == [0, 4]
    assert judged.lost.tolist() == [1, 0]


def test_a_loss_at_the_opening_tick_is_not_counted_twice() -> None:
    judged = labels.windows(make_trace([1, 0, 0, 1, 1]), 600)

    assert judged is not None
    assert judged.ticks.tolist() == [0, 3]
    assert judged.lost.tolist() == [1, 0]


def test_fifteen_minutes_hold_the_ticks_whose_middle_they_hold() -> None:
    assert labels.ticks_in(900, 195) == 5  # the middle of the fifth is at 877.5 s
    assert labels.ticks_in(900, 600) == 2  # the middle of the second is at 900 s
    assert labels.ticks_in(900, 601) == 1
    assert labels.ticks_in(900, 900) == 1
    assert np.isnan(labels.Windows(*(np.zeros(0, dtype=np.int64),) * 3).rate)
