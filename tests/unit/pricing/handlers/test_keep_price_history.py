"""Months of prices: made ahead, folded once they are old, dropped in the end."""

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import price_history
from services.pricing.errors import HistoryBusyError
from services.pricing.handlers.keep_price_history import MONTHS_AHEAD, keep_price_history
from tests.fakes.clock import FakeClock
from tests.fakes.pricing import InMemoryPricing

DAY = timedelta(days=1)
days = st.dates(date(2019, 1, 1), date(2040, 12, 31))
instants = st.datetimes(datetime(2019, 1, 1), datetime(2040, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(instants, st.integers(0, 400))
def test_an_event_is_kept_as_long_as_asked_and_at_most_a_month_longer(at: datetime, kept_days: int) -> None:
    month, kept = price_history.month_of(at), kept_days * DAY
    assert price_history.over_since([month], now=at + kept, kept=kept) == []
    assert price_history.over_since([month], now=at + kept + 31 * DAY, kept=kept) == [month]


@given(instants, st.integers(0, 30))
def test_the_months_ahead_follow_each_other(now: datetime, count: int) -> None:
    months = price_history.months_ahead(now, count=count)
    assert (len(months), months[0]) == (count + 1, now.date().replace(day=1))
    for earlier, later in itertools.pairwise(months):
        assert later.day == 1
        assert (later.year * 12 + later.month) - (earlier.year * 12 + earlier.month) == 1


async def keep(store: InMemoryPricing) -> int:
    return await keep_price_history(
        unit_of_work=store.unit_of_work,
        clock=FakeClock(),
        events_kept=90 * DAY,
        days_kept=396 * DAY,
        quarantined_rows=10,
    )


@pytest.mark.looptime
async def test_old_months_are_folded_oldest_first_and_the_oldest_dropped() -> None:
    store = InMemoryPricing()
    store.history.events = {
        date(2025, 8, 1): 7,
        date(2025, 9, 1): 5,
        date(2025, 10, 1): 3,
        date(2026, 1, 1): 1,
    }
    store.history.days = {date(2024, 10, 1), date(2024, 11, 1), date(2024, 12, 1)}
    assert await keep(store) == 12, "October ends within the last 90 days of the year"
    assert min(store.history.events) == date(2025, 10, 1)
    assert len([m for m in store.history.events if m >= date(2026, 1, 1)]) == MONTHS_AHEAD + 1
    assert min(store.history.days) == date(2024, 12, 1)
    assert await keep(store) == 0


@pytest.mark.looptime
async def test_a_month_in_use_stops_the_job_and_what_is_done_stays_done() -> None:
    store = InMemoryPricing()
    store.history.events = {date(2025, 8, 1): 7}
    store.history.next_error = HistoryBusyError()
    with pytest.raises(HistoryBusyError):
        await keep(store)
    assert date(2026, 4, 1) in store.history.events, "there is room for the months to come"
    store.history.next_error = None
    assert await keep(store) == 7
