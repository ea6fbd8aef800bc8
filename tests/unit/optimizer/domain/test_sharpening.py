"""The price of a committed dollar that proves most is found in few proofs."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain.sharpening import NEAR, PROOFS, sharpest

DOLLARS = 1_000_000
HOLDINGS = st.lists(st.tuples(st.integers(0, 4_000_000), st.integers(0, 5_000_000)), min_size=1, max_size=6)
"""Fleets: what each costs beside the plan, and what it takes of the plan's dollars, in micro-dollars."""


class _Prover:
    def __init__(self, fleets: list[tuple[int, int]]) -> None:
        self._fleets = fleets
        self.asked: list[Fraction] = []

    def __call__(self, worth: Fraction) -> int:
        self.asked.append(worth)
        return max(int(min(beside + worth * (taken - DOLLARS) for beside, taken in self._fleets) // 1), 0)


def test_where_two_lines_meet_is_found_at_once() -> None:
    # Wholly on the plan's terms, or wholly on spot.
    prover = _Prover([(0, 3 * DOLLARS), (1_750_000, 0)])
    worth, micro_usd = sharpest(
        prover, [Fraction(5, 3)], most=Fraction(2), dollars=DOLLARS, objective=1_300_000
    )
    assert abs(worth - Fraction(7, 12)) < Fraction(1, 1000)
    assert abs(micro_usd - 2 * 1_750_000 // 3) < 3000
    assert len(prover.asked) <= 4


def test_a_price_that_proves_enough_is_the_only_one_tried() -> None:
    prover = _Prover([(0, 3 * DOLLARS), (1_750_000, 0)])
    worth, micro_usd = sharpest(
        prover, [Fraction(1, 2)], most=Fraction(2), dollars=DOLLARS, objective=1_000_000
    )
    assert (worth, micro_usd) == (Fraction(1, 2), 1_000_000)
    assert prover.asked == [Fraction(1, 2)]


def test_told_to_stop_it_proves_once_at_the_first_price() -> None:
    prover = _Prover([(0, 3 * DOLLARS), (1_750_000, 0)])
    first = [Fraction(5, 3), Fraction(1)]
    found = sharpest(
        prover, first, most=Fraction(2), dollars=DOLLARS, objective=1_300_000, should_stop=lambda: True
    )
    assert found == (Fraction(5, 3), prover(Fraction(5, 3)))
    assert prover.asked[:-1] == [Fraction(5, 3)]


@given(HOLDINGS, st.fractions(0, 4, max_denominator=50))
def test_no_price_on_a_fine_grid_proves_much_more_and_few_are_tried(
    fleets: list[tuple[int, int]], first: Fraction
) -> None:
    prover = _Prover(fleets)
    # What the cheapest fleet costs cannot be less than what any price proves.
    objective = min(beside + 4 * max(taken - DOLLARS, 0) for beside, taken in fleets)
    _, micro_usd = sharpest(prover, [first], most=Fraction(4), dollars=DOLLARS, objective=objective)
    assert len(prover.asked) <= PROOFS
    assert len(prover.asked) == len(set(prover.asked))
    assert micro_usd == max(_Prover(fleets)(x) for x in prover.asked)
    assert micro_usd <= objective
    if len(prover.asked) < PROOFS:
        best = max(_Prover(fleets)(Fraction(x, 64)) for x in range(4 * 64 + 1))
        # One part of a price is worth what the fleets take.
        assert best - micro_usd <= 2 * objective / NEAR + 5_000_000 / 1024 * 2
