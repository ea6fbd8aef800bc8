"""What is remembered of a problem, and linear programs that do not end by themselves."""

import numpy as np
from hypothesis import given

from services.optimizer.domain.columns import linear
from services.optimizer.domain.columns.problem import Effort, FleetProblem
from services.optimizer.domain.columns.proofs import REMEMBERED, Proofs
from services.optimizer.domain.columns.reduced import reduce
from services.optimizer.domain.columns.solve import prove, solve_fleet
from tests.unit.optimizer.columns import brute_force
from tests.unit.optimizer.columns.problems import crowded, made, problems

SHORT = Effort(rounds=2, improvements=0, proves=False)


def many(pods: int) -> FleetProblem:
    return made([[500, 512]], [pods], [[2000, 2048], [1000, 1024]], [100, 60])


def test_who_asks_again_goes_on_from_what_was_generated() -> None:
    problem, proofs = crowded(), Proofs()
    solve_fleet(problem, effort=SHORT, proofs=proofs)
    first = proofs.of(reduce(problem))
    again = prove(problem, proofs=proofs)
    second = proofs.of(reduce(problem))
    assert first is not None
    assert second is not None
    assert set(map(id, first.columns)) <= set(map(id, second.columns))
    assert again.micro_usd >= prove(problem, effort=Effort(rounds=2)).micro_usd


@given(problems())
def test_a_bound_that_goes_on_is_never_above_the_cheapest_fleet(problem: FleetProblem) -> None:
    least, proofs = brute_force.cheapest(problem), Proofs()
    found = solve_fleet(problem, effort=SHORT, proofs=proofs)
    if least is not None and not found.unplaced.any():
        assert found.lower_bound_micro_usd <= least
        assert prove(problem, proofs=proofs).micro_usd <= least


def test_a_bound_that_is_enough_is_looked_no_further_for() -> None:
    problem = crowded()
    full = prove(problem).micro_usd
    some = prove(problem, enough_micro_usd=full // 2).micro_usd
    assert full // 2 <= some <= full


def test_only_the_last_problems_are_remembered() -> None:
    proofs = Proofs()
    for at in range(1, REMEMBERED + 2):
        prove(many(at), proofs=proofs)
    assert proofs.of(reduce(many(1))) is None
    assert proofs.of(reduce(many(1 + REMEMBERED))) is not None


def test_a_linear_program_cut_short_is_solved_from_scratch() -> None:
    lp = linear.program()
    none = np.zeros(0, dtype=np.int32)
    lp.addRows(2, np.ones(2), np.full(2, linear.INFINITE), 0, none, none, np.zeros(0))
    at = np.arange(2, dtype=np.int32)
    lp.addCols(2, np.array([2.0, 3.0]), np.zeros(2), np.full(2, linear.INFINITE), 2, at, at, np.ones(2))
    linear.solve(lp, steps=0)
    assert lp.getInfo().objective_function_value == 5.0
