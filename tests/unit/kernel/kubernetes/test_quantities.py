"""Quantities: exact, and rounded up where whole units are needed."""

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.kubernetes import cpu_millicores, memory_bytes, parse_quantity


@pytest.mark.parametrize(
    ("text", "exact", "millicores", "in_bytes"),
    [
        ("100m", Fraction(1, 10), 100, 1),
        ("1.5", Fraction(3, 2), 1500, 2),
        ("0", Fraction(0), 0, 0),
        ("2Gi", Fraction(2**31), 2**31 * 1000, 2**31),
        ("1e3", Fraction(1000), 1_000_000, 1000),
        ("1E3", Fraction(1000), 1_000_000, 1000),
        ("1E", Fraction(10**18), 10**21, 10**18),
        ("12E-1", Fraction(6, 5), 1200, 2),
        ("500k", Fraction(500_000), 500_000_000, 500_000),
        ("1500u", Fraction(3, 2000), 2, 1),
        ("1n", Fraction(1, 10**9), 1, 1),
        (".5", Fraction(1, 2), 500, 1),
        ("5.", Fraction(5), 5000, 5),
        ("128974848000m", Fraction(128974848), 128974848000, 128974848),
        ("+1", Fraction(1), 1000, 1),
        ("-1500m", Fraction(-3, 2), -1500, -1),
    ],
)
def test_known_quantities(text: str, exact: Fraction, millicores: int, in_bytes: int) -> None:
    assert parse_quantity(text) == exact
    assert cpu_millicores(text) == millicores
    assert memory_bytes(text) == in_bytes


@pytest.mark.parametrize(
    "text",
    ["abc", "", " 1", "1 ", "1 Gi", "1gi", "1K", "1e", "--1", ".", "1.2.3", "٣", "0x10", "NaN", "inf", "1\n"],
)
def test_what_is_no_quantity_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["1e999999999", "9e30", "99Ei", "9" * 60])
def test_amounts_beyond_kubernetes_range_are_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        parse_quantity(text)


def test_a_long_string_is_not_worked_on() -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity("1" * 10_000_000)


@given(st.integers(0, 2**53))
def test_whole_amounts_survive_every_spelling(amount: int) -> None:
    assert memory_bytes(str(amount)) == amount
    assert memory_bytes(f"{amount}000m") == amount
    assert memory_bytes(f"{amount}e0") == amount
    assert cpu_millicores(f"{amount}m") == amount


@given(st.fractions(min_value=0, max_value=10**9).map(lambda f: Fraction(round(f * 10**9), 10**9)))
def test_rounding_goes_up_and_by_less_than_one_unit(amount: Fraction) -> None:
    nano = f"{int(amount * 10**9)}n"
    assert parse_quantity(nano) == amount
    assert 0 <= memory_bytes(nano) - amount < 1
    assert 0 <= cpu_millicores(nano) - amount * 1000 < 1


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_quantity(text) * 10**9 >= -(2**63) * 10**9
