"""The budget of requests: never more than it allows, slower when throttled, and back in the end."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import request_budget
from services.pricing.domain.request_budget import HALVED_AT_MOST_EVERY, Allowance, RequestBudget
from tests.fakes.clock import EPOCH

SECOND = timedelta(seconds=1)


ALLOWANCE = Allowance(rate=10, burst=5)


def fresh(allowance: Allowance = ALLOWANCE) -> RequestBudget:
    return request_budget.within(None, allowance, now=EPOCH)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.floats(0.5, 50), st.integers(1, 30))
def test_in_no_stretch_of_time_more_is_asked_than_burst_and_rate(
    gaps: list[float], rate: float, burst: int
) -> None:
    allowance = Allowance(rate=rate, burst=burst)
    budget, now, starts = fresh(allowance), EPOCH, []
    for gap in gaps:
        now += timedelta(seconds=gap)
        budget, wait = request_budget.taken(budget, allowance, now=now)
        starts.append(now + wait)
    assert starts == sorted(starts), "first come, first served"
    for first, begin in enumerate(starts):
        for last in range(first, len(starts)):
            seconds = (starts[last] - begin).total_seconds()
            # Durations are whole microseconds.
            assert last - first + 1 <= burst + rate * seconds + 1 + 1e-3


def test_a_burst_goes_at_once_and_the_rest_waits_its_turn() -> None:
    budget, waits = fresh(), []
    for _ in range(8):
        budget, wait = request_budget.taken(budget, ALLOWANCE, now=EPOCH)
        waits.append(wait.total_seconds())
    assert waits == pytest.approx([0, 0, 0, 0, 0, 0.1, 0.2, 0.3])
    _, wait = request_budget.taken(budget, ALLOWANCE, now=EPOCH + 10 * SECOND)
    assert not wait


def test_throttling_halves_once_for_requests_that_were_under_way_together() -> None:
    budget = fresh()
    for _ in range(5):
        budget = request_budget.throttled(budget, ALLOWANCE, now=EPOCH)
    assert (budget.rate, budget.tokens) == (5, 0)
    budget = request_budget.throttled(budget, ALLOWANCE, now=EPOCH + HALVED_AT_MOST_EVERY)
    assert budget.rate == 2.5


@given(st.integers(1, 100))
def test_it_never_falls_to_nothing_and_comes_back_slowly(times: int) -> None:
    budget = fresh()
    for number in range(times):
        budget = request_budget.throttled(budget, ALLOWANCE, now=EPOCH + number * HALVED_AT_MOST_EVERY)
    assert budget.rate >= 10 / 64
    after_one = request_budget.answered(budget, ALLOWANCE)
    assert 0 < after_one.rate - budget.rate <= 10 / 100
    for _ in range(200):
        budget = request_budget.answered(budget, ALLOWANCE)
    assert budget.rate == 10


def test_a_clock_that_goes_back_brings_nothing() -> None:
    allowance = Allowance(rate=10, burst=1)
    budget, _ = request_budget.taken(fresh(allowance), allowance, now=EPOCH)
    earlier, wait = request_budget.taken(budget, allowance, now=EPOCH - 100 * SECOND)
    assert wait == SECOND / 10
    assert earlier.as_of == EPOCH


def test_who_may_ask_less_slows_down_at_once_and_who_may_ask_more_speeds_up_slowly() -> None:
    less, more = Allowance(rate=4, burst=2), Allowance(rate=40, burst=50)
    slow = request_budget.within(fresh(), less, now=EPOCH)
    assert slow.rate == 4
    assert request_budget.taken(slow, less, now=EPOCH)[0].tokens == 1
    fast = request_budget.within(fresh(), more, now=EPOCH)
    assert fast.rate == 10
    assert 10 < request_budget.answered(fast, more).rate <= 10.4


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 5), (float("nan"), 5), (10, 0)])
def test_a_budget_of_nothing_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="allows nothing"):
        Allowance(rate=rate, burst=burst)
