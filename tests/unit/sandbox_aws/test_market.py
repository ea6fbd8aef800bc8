"""The market's clock, and what simulated prices look like."""

import itertools
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.market.history import PriceHistory
from deploy.sandbox.market.market import HISTORY_SECONDS, Market
from deploy.sandbox.market.simulated import LARGEST_STEP, simulate

HOUR = 3600.0
NOW = 1.7e9
POOL = ("m5.large", "us-east-1a")


def make_market(*events: tuple[float, float], clock_factor: float = 30.0) -> Market:
    return Market(
        region="us-east-1",
        history=PriceHistory.from_events({POOL: events}),
        on_demand={"m5.large": 0.096},
        description="",
        started_at=NOW,
        clock_factor=clock_factor,
        offered=frozenset({POOL}),
    )


def test_the_market_opens_two_days_into_the_file() -> None:
    market = make_market((0.0, 0.03), (HISTORY_SECONDS - HOUR, 0.04), (HISTORY_SECONDS + HOUR, 0.05))
    assert market.spot_price(*POOL, at=NOW) == 0.04
    points = market.points(start=NOW - 2 * HOUR, end=NOW)
    assert [(p.usd_per_hour, p.at) for p in points] == [(0.04, NOW - HOUR), (0.03, NOW - HISTORY_SECONDS)]


def test_after_the_start_the_market_runs_faster_than_its_callers() -> None:
    market = make_market((0.0, 0.03), (HISTORY_SECONDS + HOUR, 0.05))
    assert market.spot_price(*POOL, at=NOW + HOUR / 30 - 1) == 0.03
    assert market.spot_price(*POOL, at=NOW + HOUR / 30) == 0.05
    assert market.spot_price(*POOL, at=NOW + 1000 * HOUR) == 0.05


def test_a_file_shorter_than_two_days_opens_at_its_end() -> None:
    assert make_market((0.0, 0.03), (HOUR, 0.04)).spot_price(*POOL, at=NOW) == 0.04


@given(
    passed=st.floats(min_value=-1e6, max_value=1e6),
    events=st.lists(st.floats(0, 1e6), min_size=1, unique=True),
)
def test_no_timestamp_lies_in_the_callers_future(passed: float, events: list[float]) -> None:
    market = make_market(*((time, 0.03) for time in events))
    for point in market.points(start=NOW - 1e7, end=NOW + passed):
        assert point.at <= NOW + passed + 1e-3


def test_an_unknown_pool_has_no_price() -> None:
    assert make_market((0.0, 0.03)).spot_price("m5.large", "us-east-1f", at=NOW) is None


@pytest.mark.slow
def test_simulated_prices_have_the_statistics_of_recorded_ones() -> None:
    on_demand = {f"m{n}.large": 0.1 * n for n in range(1, 61)}
    pools = [(name, f"us-east-1{letter}") for name in on_demand for letter in "abc"]
    history = simulate(pools, on_demand, start=0.0, end=20 * 24 * HOUR, seed=7)
    gaps: list[float] = []
    ratios: list[float] = []
    for name, zone in pools:
        points = [event for _, event in history.between([(name, zone)], 0.0, 20 * 24 * HOUR)]
        ratios += [usd / on_demand[name] for _, usd in points]
        for (t0, usd0), (t1, usd1) in itertools.pairwise(points):
            gaps.append(t1 - t0)
            assert abs(usd1 / usd0 - 1) <= LARGEST_STEP
    assert 0.34 <= median(ratios) <= 0.45
    assert max(ratios) <= 1.0
    assert 5.6 * HOUR <= median(gaps) <= 7.6 * HOUR
    assert max(gaps) <= 24 * HOUR + 1


def test_the_same_seed_gives_the_same_prices() -> None:
    def first(seed: int) -> float | None:
        return simulate([POOL], {"m5.large": 0.096}, start=0.0, end=1e5, seed=seed).price_at(POOL, 1e5)

    assert first(1) == first(1)
    assert first(1) != first(2)
