"""The solver against the obvious, and what must hold whatever it is asked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain.columns.problem import Effort, Ending, FleetProblem
from services.optimizer.domain.columns.solve import prove_bound, solve_fleet
from tests.unit.optimizer.columns import brute_force
from tests.unit.optimizer.columns.problems import made, problems, wrongs

EXACT = Effort(tolerance_ratio=0.0)


def two_sizes(counts: list[int]) -> FleetProblem:
    return made(
        [[700, 900, 1], [1100, 300, 1], [310, 2100, 1]],
        counts,
        [[1900, 3000, 8], [3900, 7000, 20], [3900, 3000, 20]],
        [90_000, 190_000, 150_000],
    )


def test_a_node_that_its_pods_fill_is_proven_to_be_the_cheapest() -> None:
    solution = solve_fleet(made([[500, 512]], [4], [[2000, 2048], [1000, 1024]], [100, 60]))
    assert (solution.micro_usd, solution.lower_bound_micro_usd) == (100, 100)
    assert solution.ended_by is Ending.CONVERGED
    assert solution.gap_ratio == 0.0


def test_no_pods_need_no_fleet() -> None:
    solution = solve_fleet(two_sizes([0, 0, 0]))
    assert solution.nodes == ()
    assert (solution.micro_usd, solution.lower_bound_micro_usd) == (0, 0)


def test_a_pod_that_fits_nowhere_is_left_out_and_the_others_are_not() -> None:
    solution = solve_fleet(made([[500, 512], [9000, 512]], [2, 1], [[2000, 2048]], [100]))
    assert solution.unplaced.tolist() == [0, 1]
    assert solution.micro_usd == 100


def test_a_free_node_that_runs_already_is_used_first() -> None:
    solution = solve_fleet(made([[500, 512]], [5], [[2000, 2048], [2000, 2048]], [0, 100], copies=[1, 10**6]))
    assert solution.micro_usd == 100
    assert sorted(n.offer for n in solution.nodes) == [0, 1]


def test_pods_beyond_the_copies_there_are_stay_unplaced() -> None:
    solution = solve_fleet(made([[500, 512]], [5], [[2000, 2048]], [100], copies=[1]))
    assert solution.unplaced.tolist() == [1]
    assert solution.lower_bound_micro_usd <= solution.micro_usd == 100


def test_a_cheap_node_that_pods_are_at_risk_on_is_avoided() -> None:
    solution = solve_fleet(made([[1000]], [2], [[2000], [2000]], [50, 60], costs=[[10], [0]]))
    assert [n.offer for n in solution.nodes] == [1]
    assert solution.micro_usd == 60


def test_zones_by_mask_are_kept() -> None:
    allowed = [[True, False], [False, True]]
    solution = solve_fleet(made([[10], [10]], [3, 3], [[100], [100]], [5, 7], allowed))
    assert solution.micro_usd == 12
    assert sorted((n.offer, n.counts.tolist()) for n in solution.nodes) == [(0, [3, 0]), (1, [0, 3])]


def test_arrays_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed is"):
        made([[1]], [1], [[1]], [1], [[True, True]])
    with pytest.raises(ValueError, match="micro_usd holds -1"):
        made([[1]], [1], [[1]], [-1])


@given(problems() | problems(limited=True))
def test_the_bound_is_never_above_the_cheapest_fleet_and_no_fleet_below_it(problem: FleetProblem) -> None:
    solution = solve_fleet(problem, effort=EXACT)
    assert wrongs(problem, solution) == []
    cheapest = brute_force.cheapest(problem)
    if cheapest is None:
        assert solution.unplaced.any()
    else:
        assert solution.lower_bound_micro_usd <= cheapest
        if not solution.unplaced.any():
            assert solution.micro_usd >= cheapest


@given(problems() | problems(limited=True))
def test_a_bound_alone_is_never_above_the_cheapest_fleet(problem: FleetProblem) -> None:
    cheapest = brute_force.cheapest(problem)
    if cheapest is not None:
        assert prove_bound(problem, effort=EXACT) <= cheapest


@given(problems(pods=9, plain=True))
def test_every_pod_with_an_unlimited_offer_is_placed_near_the_cheapest(problem: FleetProblem) -> None:
    solution = solve_fleet(problem, effort=EXACT)
    cheapest = brute_force.cheapest(problem)
    assert cheapest is not None
    assert not solution.unplaced.any()
    assert solution.lower_bound_micro_usd <= cheapest <= solution.micro_usd <= cheapest * 1.35


@given(problems(pods=30) | problems(pods=30, limited=True), st.integers(0, 12))
def test_a_run_stopped_at_any_moment_gives_a_fleet_and_a_bound_that_hold(
    problem: FleetProblem, checks: int
) -> None:
    asked = iter(range(10**6))
    stopped = solve_fleet(problem, effort=EXACT, should_stop=lambda: next(asked) >= checks)
    assert wrongs(problem, stopped) == []
    whole = solve_fleet(problem, effort=EXACT)
    if (whole.unplaced == stopped.unplaced).all():
        assert stopped.lower_bound_micro_usd <= whole.micro_usd


@given(problems(pods=30, plain=True), st.data())
def test_more_offers_never_raise_the_optimum_of_the_relaxation(
    problem: FleetProblem, data: st.DataObject
) -> None:
    kept = [0, *data.draw(st.sets(st.integers(0, len(problem.micro_usd) - 1)).map(lambda s: sorted(s - {0})))]
    fewer = replace(
        problem,
        room=problem.room[kept],
        micro_usd=problem.micro_usd[kept],
        allowed=problem.allowed[kept],
    )
    more, less = solve_fleet(problem, effort=EXACT), solve_fleet(fewer, effort=EXACT)
    assert more.lower_bound_micro_usd <= less.lower_bound_micro_usd + 1
    assert more.micro_usd <= less.micro_usd * (1 + more.gap_ratio) + 1


@given(problems(pods=30, plain=True), st.data())
def test_another_pod_never_lowers_the_optimum_of_the_relaxation(
    problem: FleetProblem, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(problem.counts) - 1))
    counts = problem.counts.copy()
    counts[at] += 1
    less, more = (
        solve_fleet(problem, effort=EXACT),
        solve_fleet(replace(problem, counts=counts), effort=EXACT),
    )
    assert more.lower_bound_micro_usd >= less.lower_bound_micro_usd - 1


@given(problems(pods=30) | problems(pods=30, limited=True), st.randoms(use_true_random=False))
def test_shuffled_input_gives_the_same_cost_and_bound(problem: FleetProblem, random: object) -> None:
    shapes, offers = np.arange(len(problem.counts)), np.arange(len(problem.micro_usd))
    getattr(random, "shuffle")(shapes)  # noqa: B009
    getattr(random, "shuffle")(offers)  # noqa: B009
    shuffled = FleetProblem(
        requests=problem.requests[shapes],
        counts=problem.counts[shapes],
        room=problem.room[offers],
        micro_usd=problem.micro_usd[offers],
        allowed=problem.allowed[np.ix_(offers, shapes)],
        per_node=problem.per_node[shapes] if problem.per_node.size else problem.per_node,
        copies=problem.copies[offers] if problem.copies.size else problem.copies,
        pod_micro_usd=problem.pod_micro_usd[np.ix_(offers, shapes)]
        if problem.pod_micro_usd.size
        else problem.pod_micro_usd,
        own=problem.own[np.ix_(offers, shapes)] if problem.own.size else problem.own,
        limits=tuple(
            replace(limit, weights=limit.weights[shapes], group=limit.group[offers])
            for limit in problem.limits
        ),
    )
    one, other = solve_fleet(problem), solve_fleet(shuffled)
    assert (one.micro_usd, one.lower_bound_micro_usd) == (other.micro_usd, other.lower_bound_micro_usd)


def test_the_same_problem_gives_the_same_fleet() -> None:
    one, other = solve_fleet(two_sizes([50, 40, 30])), solve_fleet(two_sizes([50, 40, 30]))
    assert [(n.offer, n.counts.tolist()) for n in one.nodes] == [
        (n.offer, n.counts.tolist()) for n in other.nodes
    ]
    assert one.lower_bound_micro_usd == other.lower_bound_micro_usd


def test_a_run_without_rounds_says_that_its_budget_ended_it() -> None:
    solution = solve_fleet(two_sizes([50, 40, 30]), effort=Effort(rounds=0, improvements=0))
    assert solution.ended_by is Ending.BUDGET
    assert 0 < solution.lower_bound_micro_usd <= solution.micro_usd
