"""Shares of whole amounts."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.shares import share_of


def test_a_share_is_what_is_written_and_not_what_a_float_holds() -> None:
    assert [share_of(0.29, 100), share_of(0.1, 30), share_of(0.7, 10)] == [29, 3, 7]


@given(st.integers(1, 100), st.integers(0, 10_000))
def test_a_share_in_percent_is_exact(percent: int, amount: int) -> None:
    assert share_of(percent / 100, amount) == int(Fraction(percent, 100) * amount)
