"""Quantities, exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.kubernetes.quantity import millis, parse_quantity, whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [("100m", 100), ("1", 1000), ("0.1", 100), ("1.5", 1500), ("100u", 1), (2, 2000), ("1e3", 1_000_000)],
)
def test_cpu(text: str | int, expected: int) -> None:
    assert millis(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1Ki", 1024), ("1k", 1000), ("1.5Gi", 3 * 2**29), ("128974848000m", 128974848), ("2E", 2 * 10**18)],
)
def test_bytes(text: str, expected: int) -> None:
    assert whole(text) == expected


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "1KB", "--1", "NaN", "inf"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_thousandths_survive(number: int) -> None:
    assert millis(f"{number}m") == number
