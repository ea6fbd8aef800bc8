"""What nodes cost: prices that change, prices nobody knows, intervals that lie across slices."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.reporting.domain import ledger
from services.reporting.domain.ledger import NodeSpan, PricePoint
from shared.kernel.pools import CapacityType, PoolKey

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POOL = PoolKey("us-east-1", "m5.large", "use1-az1", CapacityType.SPOT)


def span(since: datetime, until: datetime | None = None, *, pool: PoolKey | None = POOL) -> NodeSpan:
    return NodeSpan("a", pool, 2000, 8 * 2**30, since, until)


def test_a_price_change_in_the_middle_of_a_slice_cuts_the_charge() -> None:
    prices = {POOL: [PricePoint(NOON - HOUR, Decimal("0.10")), PricePoint(NOON + HOUR / 4, Decimal("0.20"))]}
    charged = ledger.charges([span(NOON - HOUR)], prices, start=NOON, end=NOON + HOUR)
    assert [(c.start, c.end, c.usd_per_hour, c.cost_usd) for c in charged] == [
        (NOON, NOON + HOUR / 4, Decimal("0.10"), Decimal("0.025")),
        (NOON + HOUR / 4, NOON + HOUR, Decimal("0.20"), Decimal("0.15")),
    ]


def test_the_same_price_published_again_cuts_nothing() -> None:
    prices = {POOL: [PricePoint(NOON - HOUR, Decimal("0.1")), PricePoint(NOON + HOUR / 2, Decimal("0.10"))]}
    charged = ledger.charges([span(NOON)], prices, start=NOON, end=NOON + HOUR)
    assert [c.cost_usd for c in charged] == [Decimal("0.1")]


def test_an_unknown_price_is_no_price_of_zero() -> None:
    for node, prices in ((span(NOON), {}), (span(NOON, pool=None), {POOL: [PricePoint(NOON, Decimal(1))]})):
        (charge,) = ledger.charges([node], prices, start=NOON, end=NOON + HOUR)
        assert charge.usd_per_hour is None
        assert charge.cost_usd is None


def test_time_before_the_first_known_price_is_unpriced() -> None:
    prices = {POOL: [PricePoint(NOON + HOUR / 2, Decimal("0.2"))]}
    charged = ledger.charges([span(NOON)], prices, start=NOON, end=NOON + HOUR)
    assert [c.cost_usd for c in charged] == [None, Decimal("0.1")]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        pytest.param(NOON - HOUR, None, HOUR, id="still there"),
        pytest.param(NOON + HOUR / 4, NOON + HOUR / 2, HOUR / 4, id="came and went"),
        pytest.param(NOON - HOUR, NOON, None, id="gone at the start"),
        pytest.param(NOON + HOUR, None, None, id="comes at the end"),
    ],
)
def test_only_the_time_in_the_slice_counts(
    since: datetime, until: datetime | None, expected: timedelta | None
) -> None:
    charged = ledger.charges([span(since, until)], {}, start=NOON, end=NOON + HOUR)
    assert [c.end - c.start for c in charged] == ([] if expected is None else [expected])


def test_an_unlabelled_node_is_priced_as_on_demand_and_said_so() -> None:
    pool, is_assumed = ledger.pool_of("us-east-1", "m5.large", "use1-az1", None)
    assert pool is not None
    assert (pool.capacity_type, is_assumed) == (CapacityType.ON_DEMAND, True)
    assert ledger.pool_of("us-east-1", None, "use1-az1", CapacityType.SPOT) == (None, False)


def test_slices_end_at_multiples_of_their_length_and_where_a_baseline_begins() -> None:
    start = NOON + timedelta(minutes=2)
    length = timedelta(minutes=5)
    assert ledger.slice_end(start, length=length) == NOON + timedelta(minutes=5)
    assert ledger.slice_end(NOON, length=length) == NOON + timedelta(minutes=5)
    begins = NOON + timedelta(minutes=3)
    assert ledger.slice_end(start, length=length, baselines=[NOON, start, begins]) == begins
