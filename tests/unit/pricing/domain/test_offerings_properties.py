"""Prices: whatever a source sends and in whatever order, unknown is never zero and old is never new."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import offerings
from services.pricing.domain.offerings import PricePoint
from shared.kernel.pools import CapacityType
from tests.builders import make_pool
from tests.fakes.clock import EPOCH

POOLS = [make_pool(name, capacity_type=CapacityType.SPOT) for name in ("m5.large", "c5.large")]

any_decimals = st.decimals(allow_nan=True, allow_infinity=True) | st.sampled_from(
    [
        Decimal(text)
        for text in ("NaN", "sNaN", "-NaN", "Infinity", "-0", "0", "0E-30", "-1", "10000", "10000.01")
    ]
)
sound_decimals = st.decimals("0.0001", "100", places=4)
instants = st.integers(-100, 100).map(lambda hours: EPOCH + timedelta(hours=hours))


def points(usd: st.SearchStrategy[Decimal]) -> st.SearchStrategy[PricePoint]:
    return st.builds(PricePoint, st.sampled_from(POOLS), usd, instants)


@given(st.lists(points(any_decimals)))
def test_every_row_is_believed_or_refused_with_a_reason(rows: list[PricePoint]) -> None:
    good, bad = offerings.sift(rows, now=EPOCH)
    assert sorted(map(id, [*good, *(refusal.point for refusal in bad)])) == sorted(map(id, rows))
    for point in good:
        assert 0 < point.usd_per_hour <= offerings.HIGHEST_USD_PER_HOUR
        assert point.effective_at <= EPOCH + offerings.FUTURE_TOLERANCE
    assert all(refusal.reason for refusal in bad)


@given(st.lists(points(sound_decimals)), st.randoms())
def test_the_newest_is_the_same_in_any_order_and_repetition(rows: list[PricePoint], random: object) -> None:
    shuffled = [*rows, *rows[::2]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    newest = offerings.latest(rows)
    assert offerings.latest(shuffled) == newest
    for row in rows:
        assert newest[row.pool].effective_at >= row.effective_at


@given(st.lists(points(sound_decimals)), st.lists(points(sound_decimals)))
def test_what_moved_is_newer_and_different(before: list[PricePoint], rows: list[PricePoint]) -> None:
    known = offerings.latest(before)
    moved = offerings.changed(rows, known=known)
    assert moved == sorted(moved, key=lambda point: point.pool)
    for point in moved:
        held = known.get(point.pool)
        assert held is None or (
            point.effective_at > held.effective_at and point.usd_per_hour != held.usd_per_hour
        )
    after = known | {point.pool: point for point in moved}
    assert offerings.changed(rows, known=after) == [], "hearing it twice is hearing it once"


@given(sound_decimals, st.integers(-10_000, 10_000), st.integers(0, 10_000))
def test_a_quote_is_never_below_the_price_and_never_of_negative_age(
    usd: Decimal, age_seconds: int, fresh_seconds: int
) -> None:
    quoted = offerings.quote(
        usd,
        as_of=EPOCH - timedelta(seconds=age_seconds),
        now=EPOCH,
        fresh_for=timedelta(seconds=fresh_seconds),
    )
    assert quoted.age == timedelta(seconds=max(age_seconds, 0))
    assert quoted.is_stale is (age_seconds > fresh_seconds)
    assert quoted.usd_per_hour == (usd * offerings.STALE_MARGIN if quoted.is_stale else usd)


@pytest.mark.parametrize(
    ("usd", "hours", "reason"),
    [
        ("NaN", 0, "the price is not a number"),
        ("sNaN", 0, "the price is not a number"),
        ("Infinity", 0, "the price is not a number"),
        ("0", 0, "the price is not positive"),
        ("-0.1", 0, "the price is not positive"),
        ("10000.01", 0, "the price is absurdly high"),
        ("0.1", 1, "the price is dated in the future"),
    ],
)
def test_a_refusal_names_its_reason(usd: str, hours: int, reason: str) -> None:
    point = PricePoint(POOLS[0], Decimal(usd), EPOCH + timedelta(hours=hours))
    assert offerings.refusal_of(point, now=EPOCH) == reason


def test_a_price_from_a_clock_slightly_ahead_is_believed() -> None:
    point = PricePoint(POOLS[0], Decimal(1), EPOCH + offerings.FUTURE_TOLERANCE)
    assert offerings.refusal_of(point, now=EPOCH) is None


def test_of_two_prices_at_one_instant_the_dearer_counts() -> None:
    cheap, dear = (PricePoint(POOLS[0], Decimal(usd), EPOCH) for usd in (1, 2))
    assert offerings.latest([cheap, dear]) == offerings.latest([dear, cheap]) == {POOLS[0]: dear}
