"""Shares of whole amounts, as they are written: 29 % of 100 is 29, although no float holds 0.29."""

from fractions import Fraction
from functools import lru_cache

PRECISION = 10**9
"""A share is read as the nearest fraction with no larger denominator: 0.29 is 29/100."""


@lru_cache(maxsize=4096)
def share_of(ratio: float, amount: int) -> int:
    """Give ratio x amount, rounded down."""
    return int(Fraction(ratio).limit_denominator(PRECISION) * amount)
