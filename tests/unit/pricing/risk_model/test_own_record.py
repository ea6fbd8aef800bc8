import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain.risk_model import own_record
from services.pricing.domain.risk_model.own_record import OwnRecord
from services.pricing.domain.risk_model.traces import Floats

TICK_SECONDS = 300.0
SPAN = 6
EVEN = 0.0
"""Log odds of one half."""


def record(lost: Floats) -> OwnRecord:
    return OwnRecord(np.arange(len(lost)), lost, SPAN, TICK_SECONDS)


def corrected(lost: Floats, *, variance: float = 0.1) -> Floats:
    return own_record.corrections(
        record(lost), np.full(len(lost), EVEN), np.arange(len(lost)), variance=variance
    )


def test_nothing_is_corrected_before_a_window_has_ended() -> None:
    assert not corrected(np.ones(SPAN)).any()


def test_an_empty_record_corrects_nothing() -> None:
    nothing = own_record.corrections(record(np.zeros(0)), np.zeros(0), np.arange(4), variance=1.0)

    assert nothing.tolist() == [0.0, 0.0, 0.0, 0.0]


def test_more_losses_than_said_raise_the_risk_and_fewer_lower_it() -> None:
    worse, better = corrected(np.ones(500)), corrected(np.zeros(500))

    assert worse[-1] > 1 > 0 > -1 > better[-1]
    assert worse[-1] > worse[100] > 0


def test_a_pool_that_does_as_said_is_left_alone() -> None:
    assert abs(corrected(np.tile([0.0, 1.0], 300))[-1]) < 0.2


def test_a_wider_prior_learns_faster() -> None:
    assert corrected(np.ones(60), variance=2.0)[-1] > corrected(np.ones(60), variance=0.1)[-1]


@given(lost=st.lists(st.sampled_from([0.0, 1.0]), min_size=20, max_size=120), at=st.integers(0, 119))
def test_windows_still_open_change_nothing(lost: list[float], at: int) -> None:
    seen = np.array(lost)
    at = min(at, len(lost) - 1)
    still_open = np.arange(len(lost)) + SPAN > at
    other = np.where(still_open, 1 - seen, seen)

    assert corrected(seen)[at] == corrected(other)[at]
