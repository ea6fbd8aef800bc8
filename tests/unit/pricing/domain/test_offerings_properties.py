"""Prices: whatever a source sends and in whatever order, unknown is never zero and old is never new."""

from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import offerings
from services.pricing.domain.offerings import PricePoint
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_pool
from tests.fakes.clock import EPOCH

POOLS = [make_pool(name, capacity_type=CapacityType.SPOT) for name in ("m5.large", "c5.large")]

sound_decimals = st.decimals("0.0001", "100", places=4)
instants = st.integers(-100, 100).map(lambda hours: EPOCH + timedelta(hours=hours))


def points(usd: st.SearchStrategy[Decimal]) -> st.SearchStrategy[PricePoint]:
    return st.builds(PricePoint, st.sampled_from(POOLS), usd, instants)


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


@given(st.integers(-10_000, 10_000), st.integers(1, 10_000))
def test_confidence_falls_with_age_and_is_a_half_when_fresh_ends(
    age_seconds: int, fresh_seconds: int
) -> None:
    fresh_for = timedelta(seconds=fresh_seconds)
    age = offerings.age_of(EPOCH - timedelta(seconds=age_seconds), now=EPOCH)
    assert age == timedelta(seconds=max(age_seconds, 0))
    confidence = offerings.confidence(age, fresh_for=fresh_for)
    assert 0 <= confidence <= 1
    assert (confidence < 0.5) is (age > fresh_for)


def test_of_two_prices_at_one_instant_the_dearer_counts() -> None:
    cheap, dear = (PricePoint(POOLS[0], Decimal(usd), EPOCH) for usd in (1, 2))
    assert offerings.latest([cheap, dear]) == offerings.latest([dear, cheap]) == {POOLS[0]: dear}


NAMED = [make_pool(f"m{n}.large", capacity_type=CapacityType.SPOT) for n in range(6)]
pools = st.frozensets(st.sampled_from(NAMED))


@given(pools, pools, st.dictionaries(st.sampled_from(NAMED), instants), st.integers(0, 300))
def test_whatever_an_answer_leaves_out_grows_old_and_what_it_names_is_fresh(
    priced: frozenset[PoolKey], named: frozenset[PoolKey], unnamed: dict[PoolKey, datetime], hours: int
) -> None:
    unnamed = {pool: at for pool, at in unnamed.items() if pool in priced}
    last, now = EPOCH + timedelta(hours=100), EPOCH + timedelta(hours=100 + hours)
    found = offerings.naming(
        priced=priced, named=named, unnamed=unnamed, last_answer_at=last, now=now, kept=timedelta(hours=150)
    )
    old = (frozenset(unnamed) - found.back | found.missing) - found.gone
    fresh = priced - old - found.gone
    assert fresh == priced & named
    assert not found.gone & named
    for pool in old:
        assert now - unnamed.get(pool, last) < timedelta(hours=150)
    for pool in found.gone:
        assert now - unnamed.get(pool, last) >= timedelta(hours=150)
