import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain.risk_model import labels
from services.pricing.domain.risk_model.traces import UNKNOWN
from tests.unit.pricing.risk_model.recordings import make_trace

counts = st.lists(st.integers(UNKNOWN, 4), min_size=1, max_size=60)


@given(counts, st.sampled_from([600, 900, 3_600, 6_000]))
def test_every_window_is_judged_as_by_hand(up: list[int], horizon: int) -> None:
    span = horizon // 600
    expected = []
    for tick, count in enumerate(up):
        ahead = up[tick + 1 : tick + 1 + span]
        if count > 0 and len(ahead) == span and UNKNOWN not in ahead:
            expected.append((tick, count, max(0, count - min(ahead))))

    judged = labels.windows(make_trace(up), horizon)

    assert judged is not None
    assert list(zip(judged.ticks, judged.at_risk, judged.lost, strict=True)) == expected


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


def test_a_loss_at_the_opening_tick_is_not_counted_twice() -> None:
    judged = labels.windows(make_trace([1, 0, 0, 1, 1]), 600)

    assert judged is not None
    assert judged.ticks.tolist() == [0, 3]
    assert judged.lost.tolist() == [1, 0]


def test_fifteen_minutes_hold_four_ticks_of_195_seconds() -> None:
    assert labels.ticks_in(900, 195) == 4
    assert labels.ticks_in(900, 900) == 1
    assert np.isnan(labels.Windows(*(np.zeros(0, dtype=np.int64),) * 3).rate)
