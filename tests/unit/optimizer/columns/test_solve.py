"""The solver against the obvious, and what must hold whatever it is asked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain.columns.problem import Effort, Ending, FleetProblem
from services.optimizer.domain.columns.solve import prove_bound, solve_fleet
from tests.hash_seeds import printed
from tests.unit.optimizer.columns import brute_force
from tests.unit.optimizer.columns.problems import crowded, limit, made, problems, wrongs

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


@pytest.mark.slow
def test_any_hash_seed_gives_the_same_fleet() -> None:
    told = printed(
        "from services.optimizer.domain.columns.solve import solve_fleet;"
        "from tests.unit.optimizer.columns.problems import crowded;"
        "found = solve_fleet(crowded());"
        "print([(n.offer, n.counts.tolist()) for n in found.nodes], found.micro_usd, found.lower_bound_micro_usd)"
    )
    assert told[0] == told[1] != ""


def test_a_run_without_rounds_says_that_its_budget_ended_it() -> None:
    solution = solve_fleet(two_sizes([50, 40, 30]), effort=Effort(rounds=0, improvements=0))
    assert solution.ended_by is Ending.BUDGET
    assert 0 < solution.lower_bound_micro_usd <= solution.micro_usd


def pools(at_most: int) -> FleetProblem:
    """Give eight replicas, three spot pools and an on-demand type, and how many replicas one pool may hold."""
    return made(
        [[1000]],
        [8],
        [[8000], [8000], [8000], [8000]],
        [100, 110, 120, 300],
        limits=[limit([1], [0, 1, 2, -1], [at_most] * 3)],
    )


def test_replicas_are_spread_over_pools_as_far_as_their_limit_asks() -> None:
    solution = solve_fleet(pools(4), effort=EXACT)
    assert sorted((n.offer, n.counts.tolist()) for n in solution.nodes) == [(0, [4]), (1, [4])]
    assert solution.lower_bound_micro_usd <= solution.micro_usd == 210


def test_what_pools_may_not_hold_goes_on_demand() -> None:
    solution = solve_fleet(pools(1), effort=EXACT)
    assert [n.counts.tolist() for n in solution.nodes if n.offer == 3] == [[8]]
    assert solution.micro_usd == 300


def test_pods_that_limits_leave_no_place_are_unplaced() -> None:
    asked = made([[1000]], [3], [[8000]], [100], limits=[limit([2], [0], [5])])
    solution = solve_fleet(asked, effort=EXACT)
    assert solution.unplaced.tolist() == [1]
    assert solution.lower_bound_micro_usd <= solution.micro_usd == 100


def test_two_running_nodes_are_given_up_for_one_when_that_costs_less() -> None:
    running = made(
        [[1000]], [4], [[0], [0], [4000]], [70, 70, 100], copies=[1, 1, 10**6], own=[[2], [2], [0]]
    )
    solution = solve_fleet(running, effort=EXACT)
    assert [(n.offer, n.counts.tolist()) for n in solution.nodes] == [(2, [4])]


def test_a_running_node_that_saves_nothing_is_kept_with_its_pods_and_takes_others() -> None:
    running = made([[1000]], [3], [[1000], [4000]], [60, 100], copies=[1, 10**6], own=[[2], [0]])
    solution = solve_fleet(running, effort=EXACT)
    assert [(n.offer, n.counts.tolist()) for n in solution.nodes] == [(0, [3])]
    assert solution.micro_usd == solution.lower_bound_micro_usd == 60


def test_own_pods_stay_where_no_other_of_their_kind_may_come() -> None:
    running = made([[1000]], [2], [[4000]], [60], [[False]], copies=[1], own=[[2]])
    solution = solve_fleet(running, effort=EXACT)
    assert [(n.offer, n.counts.tolist()) for n in solution.nodes] == [(0, [2])]


def test_a_run_stopped_at_once_holds_for_pods_that_only_their_own_node_may_hold() -> None:
    running = made([[1000]], [2], [[4000]], [60], [[False]], copies=[1], own=[[1]], costs=[[7]])
    solution = solve_fleet(running, effort=EXACT, should_stop=lambda: True)
    assert solution.unplaced.tolist() == [1]
    assert solution.lower_bound_micro_usd <= solution.micro_usd == 67


def test_more_own_pods_than_there_are_pods_are_refused() -> None:
    with pytest.raises(ValueError, match="own holds more pods of shape 0"):
        made([[1]], [1], [[1]], [1], copies=[1], own=[[2]])
    with pytest.raises(ValueError, match="without a number of copies"):
        made([[1]], [1], [[1]], [1], own=[[1]])


def test_limits_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="a limit is"):
        made([[1]], [1], [[1]], [1], limits=[limit([1, 1], [0], [1])])
    with pytest.raises(ValueError, match="an offer in another"):
        made([[1]], [1], [[1]], [1], limits=[limit([1], [1], [1])])


def test_thousands_of_limits_of_which_few_bind_are_solved_at_the_same_cost_as_none() -> None:
    limited = crowded()
    asked = replace(limited, limits=())
    free, held = solve_fleet(asked), solve_fleet(limited)
    assert wrongs(limited, held) == []
    assert not held.unplaced.any()
    assert held.lower_bound_micro_usd >= free.lower_bound_micro_usd * 0.99
    assert held.gap_ratio < 0.05


@pytest.mark.parametrize("checks", range(3))
def test_a_shape_that_only_a_running_node_holds_spoils_no_bound(checks: int) -> None:
    problem = FleetProblem(
        requests=np.array([[1, 1]]),
        counts=np.array([2]),
        room=np.array([[1, 1]]),
        micro_usd=np.array([1]),
        allowed=np.array([[False]]),
        copies=np.array([1]),
        pod_micro_usd=np.array([[1]]),
        own=np.array([[1]]),
    )
    asked = iter(range(10**6))
    stopped = solve_fleet(problem, effort=EXACT, should_stop=lambda: next(asked) >= checks)
    assert wrongs(problem, stopped) == []
