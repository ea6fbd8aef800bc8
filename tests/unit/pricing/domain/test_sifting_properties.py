"""Rows of a source: each is believed or refused with a reason, whatever stands beside it."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import sifting
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.refusals import LONGEST_ROW, RefusalReason, RefusedRow, by_reason
from shared.kernel.pools import CapacityType
from tests.builders import make_pool
from tests.fakes.clock import EPOCH

NAMES = ("m5.large", "c5.large", "unheard.of")
POOLS = [
    make_pool(name, zone_id=zone_id, capacity_type=CapacityType.SPOT)
    for name in NAMES
    for zone_id in ("use1-az1", "us-east-1-bos-1a")
]
KNOWN = sifting.Known(
    now=EPOCH,
    kept_since=EPOCH - timedelta(hours=50),
    instance_types=frozenset(NAMES[:2]),
    zone_ids=frozenset({"use1-az1"}),
)
any_decimals = st.decimals(allow_nan=True, allow_infinity=True) | st.sampled_from(
    [
        Decimal(text)
        for text in (
            "NaN",
            "sNaN",
            "-NaN",
            "Infinity",
            "-0",
            "0",
            "0E-30",
            "-1",
            "1",
            "2",
            "10000",
            "10000.01",
        )
    ]
)
instants = st.integers(-100, 100).map(lambda hours: EPOCH + timedelta(hours=hours))
rows_of_all_kinds = st.lists(st.builds(PricePoint, st.sampled_from(POOLS), any_decimals, instants))


@given(rows_of_all_kinds)
def test_every_row_is_believed_or_refused_with_a_reason(rows: list[PricePoint]) -> None:
    good, bad = sifting.sift(rows, KNOWN)
    assert len(good) + len(bad) == len(rows)
    assert len({(p.pool, p.effective_at) for p in good}) == len(good), "one price an instant"
    assert sum(by_reason(bad).values()) == len(bad)
    for point in good:
        assert 0 < point.usd_per_hour <= sifting.HIGHEST_USD_PER_HOUR
        assert EPOCH - timedelta(hours=50) <= point.effective_at <= EPOCH + sifting.FUTURE_TOLERANCE
        assert (point.pool.zone_id, point.pool.instance_type in NAMES[:2]) == ("use1-az1", True)


@given(rows_of_all_kinds, st.integers())
def test_the_order_of_rows_changes_nothing(rows: list[PricePoint], seed: int) -> None:
    shuffled = list(rows)
    Random(seed).shuffle(shuffled)
    good, bad = sifting.sift(rows, KNOWN)
    same_good, same_bad = sifting.sift(shuffled, KNOWN)
    assert {(p.pool, p.effective_at, p.usd_per_hour) for p in good} == {
        (p.pool, p.effective_at, p.usd_per_hour) for p in same_good
    }
    assert len(bad) == len(same_bad)
    unequal = {RefusalReason.DUPLICATE, RefusalReason.CONTRADICTED}
    kinds, same_kinds = (Counter(r.reason for r in found) for found in (bad, same_bad))
    assert {k: n for k, n in kinds.items() if k not in unequal} == {
        k: n for k, n in same_kinds.items() if k not in unequal
    }


@given(rows_of_all_kinds, rows_of_all_kinds)
def test_a_bad_row_spoils_no_good_one(rows: list[PricePoint], others: list[PricePoint]) -> None:
    _, bad_alone = sifting.sift(others, KNOWN)
    spoiled = [p for p in others if sifting.refusal_of(p, KNOWN) is not None]
    good, _ = sifting.sift(rows, KNOWN)
    still, _ = sifting.sift([*spoiled, *rows, *spoiled], KNOWN)
    assert still == good
    assert len(spoiled) <= len(bad_alone)


@pytest.mark.parametrize(
    ("usd", "hours", "pool", "reason"),
    [
        ("NaN", 0, POOLS[0], RefusalReason.NOT_A_NUMBER),
        ("sNaN", 0, POOLS[0], RefusalReason.NOT_A_NUMBER),
        ("Infinity", 0, POOLS[0], RefusalReason.NOT_A_NUMBER),
        ("0", 0, POOLS[0], RefusalReason.NOT_POSITIVE),
        ("-0.1", 0, POOLS[0], RefusalReason.NOT_POSITIVE),
        ("10000.01", 0, POOLS[0], RefusalReason.TOO_HIGH),
        ("0.1", 1, POOLS[0], RefusalReason.IN_FUTURE),
        ("0.1", -51, POOLS[0], RefusalReason.TOO_OLD),
        ("0.1", 0, POOLS[1], RefusalReason.UNKNOWN_ZONE),
        ("0.1", 0, POOLS[4], RefusalReason.UNKNOWN_TYPE),
        ("0.1", 0, POOLS[0], None),
    ],
)
def test_a_refusal_names_its_reason(usd: str, hours: int, pool: object, reason: object) -> None:
    point = PricePoint(pool, Decimal(usd), EPOCH + timedelta(hours=hours))  # type: ignore[arg-type]
    assert sifting.refusal_of(point, KNOWN) == reason


def test_a_price_from_a_clock_slightly_ahead_is_believed() -> None:
    point = PricePoint(POOLS[0], Decimal(1), EPOCH + sifting.FUTURE_TOLERANCE)
    assert sifting.refusal_of(point, KNOWN) is None


def test_of_rows_that_contradict_the_dearer_is_kept_and_the_same_row_twice_is_one() -> None:
    cheap, dear = (PricePoint(POOLS[0], Decimal(usd), EPOCH) for usd in (1, 2))
    for rows in ([cheap, dear], [dear, cheap]):
        good, [refused] = sifting.sift(rows, KNOWN)
        assert (good, refused.reason) == ([dear], RefusalReason.CONTRADICTED)
    good, [refused] = sifting.sift([dear, dear], KNOWN)
    assert (good, refused.reason) == ([dear], RefusalReason.DUPLICATE)


def test_a_row_is_cut_and_is_text_that_a_database_holds() -> None:
    refused = RefusedRow.of(RefusalReason.MALFORMED, "\x00" + "x" * 10_000)
    assert refused.row == "x" * LONGEST_ROW
