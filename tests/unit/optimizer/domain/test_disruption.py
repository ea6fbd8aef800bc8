"""What a change costs is set against what it saves."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain import disruption
from services.optimizer.domain.evictions import NO_BUDGETS, Slack
from services.optimizer.domain.fleet_state import StandingNode, read_state
from services.optimizer.domain.offers import Offer
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import Consolidation, PlanRules
from services.optimizer.domain.spot_tolerance import spot_judge
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, DisruptionBudget, Pod
from tests.builders import app_selector, make_node, make_pod, make_pool
from tests.unit.optimizer.domain.market import (
    NOW,
    ON_DEMAND,
    TEMPLATE,
    make_cluster,
    make_market,
    make_workload,
)

RULES = PlanRules(usd_per_moved_pod=0.001, overlap_seconds=360, payback_seconds=1800, restart_seconds=60)
OLD = 86_400


def standing(
    *pods: Pod, price: float = 1.0, age: int | None = OLD, slack: Slack = NO_BUDGETS
) -> StandingNode:
    return StandingNode(make_node(), Offer(make_pool(), price), pods, None, age, slack)


def budget(allowed: int) -> DisruptionBudget:
    return DisruptionBudget(
        "shop",
        "web",
        app_selector("web"),
        min_available="4",
        disruptions_allowed=allowed,
        current_healthy=8,
        desired_healthy=4,
        expected_pods=8,
    )


def ready(number: int) -> list[Pod]:
    return [make_pod(f"web-{i}", node="node-1") for i in range(number)]


def test_pods_that_move_and_nodes_that_overlap_are_charged_once() -> None:
    drained = [standing(make_pod("a"), make_pod("b"))]
    assert disruption.charge(drained, [standing(price=2.0)], RULES) == 2_000 + 200_000


def test_daemons_do_not_move_and_an_empty_node_goes_for_nothing() -> None:
    daemon = make_pod("log-x", owner=type(make_pod().owner)("DaemonSet", "log"))  # type: ignore[misc]
    assert disruption.charge([standing(daemon)], [], RULES) == 0


@pytest.mark.parametrize(("allowed", "rounds"), [(9, 1), (6, 1), (3, 2), (2, 3), (1, 6), (0, 7)])
def test_a_budget_with_little_slack_is_waited_for_in_rounds(allowed: int, rounds: int) -> None:
    node = standing(*ready(6), slack=Slack([budget(allowed)]))
    # A minute at a dollar an hour for each round but the first, which the overlap of the launch pays for.
    assert disruption.charge([node], [], RULES) == 6_000 + (rounds - 1) * 60 * 1_000_000 // 3600


def test_budgets_are_waited_for_at_the_same_time_and_pods_that_are_not_ready_for_nothing() -> None:
    other = replace(budget(1), name="api", selector=app_selector("api"))
    pods = [*ready(2), *(make_pod(f"api-{i}", app="api", node="node-1") for i in range(3))]
    slack = Slack([budget(1), other])
    assert slack.rounds(pods) == 3
    assert slack.rounds([replace(p, is_ready=False) for p in pods]) == 1
    assert slack.rounds([]) == 0


@pytest.mark.parametrize(
    ("age", "micro"), [(0, 100_000), (900, 50_000), (1800, 0), (OLD, 0), (None, 100_000)]
)
def test_a_young_node_has_yet_to_earn_the_rest_of_its_own_launch(age: int | None, micro: int) -> None:
    assert disruption.charge([standing(age=age)], [], RULES) == micro


def test_the_age_is_counted_to_the_moment_of_the_prices() -> None:
    objects = make_cluster(make_workload("web", 2))
    young = replace(objects.nodes[0], created_at=NOW - timedelta(minutes=10))
    market = make_market()
    for known, age in ((replace(objects, nodes=(young,)), 600), (objects, 86_400)):
        state = read_state(known, market, RULES, TEMPLATE, spot_judge(known, RULES))
        assert state.nodes[0].age_seconds == age
    unknown = read_state(objects, replace(market, as_of=None), RULES, TEMPLATE, spot_judge(objects, RULES))
    assert unknown.nodes[0].age_seconds is None


COUNTS = st.integers(0, 12)
AGES = st.none() | st.integers(-60, 4000)


@given(COUNTS, COUNTS, COUNTS, COUNTS, AGES, AGES, st.floats(0.01, 5))
def test_more_slack_and_age_never_cost_more_and_more_pods_never_less(
    pods: int, more: int, allowed: int, slack: int, age: int | None, older: int | None, price: float
) -> None:
    def charged(pods: int, allowed: int, age: int | None) -> int:
        node = standing(*ready(pods), price=price, age=age, slack=Slack([budget(allowed)]))
        return disruption.charge([node], [], RULES)

    base = charged(pods, allowed, age)
    assert base >= 0
    assert charged(pods + more, allowed, age) >= base
    assert charged(pods, allowed + slack, age) <= base
    assert charged(pods, allowed, max(age or 0, 0) + max(older or 0, 0)) <= base
    assert charged(pods, allowed, None) >= base


@given(st.lists(st.tuples(COUNTS, COUNTS, AGES, st.floats(0.01, 5)), max_size=4), st.floats(0.01, 5))
def test_what_is_charged_of_single_nodes_adds_up_to_what_the_change_is_charged(
    nodes: list[tuple[int, int, int | None, float]], price: float
) -> None:
    drained = [
        standing(*ready(pods), price=p, age=age, slack=Slack([budget(allowed)]))
        for pods, allowed, age, p in nodes
    ]
    launched = [standing(price=price)] * 2
    parts = [disruption.charge([n], [], RULES) for n in drained]
    parts += [disruption.charge([], [n], RULES) for n in launched]
    assert disruption.charge(drained, launched, RULES) == sum(parts)


@pytest.mark.parametrize(("once", "an_hour"), [(0, 0), (1, 2), (100_000, 200_000)])
def test_what_is_charged_once_must_be_earned_in_time(once: int, an_hour: int) -> None:
    assert disruption.hourly(once, RULES) == an_hour


def test_a_spot_fleet_that_another_undercuts_by_little_stays() -> None:
    objects = _on_spot(make_cluster(make_workload("web", 39), per_node=13))
    market = make_market(spot_ratio=0.33)
    free = PlanRules(usd_per_moved_pod=0, overlap_seconds=0)
    assert plan(objects, market, free, TEMPLATE).moves
    assert plan(objects, market, PlanRules(), TEMPLATE).moves == ()


def test_a_change_that_would_pay_back_too_late_says_so() -> None:
    objects = make_cluster(make_workload("web", 20))
    draft = plan(objects, make_market(), PlanRules(payback_seconds=1), TEMPLATE)
    assert draft.moves == ()
    assert draft.skip_reason is not None
    assert "would earn within" in draft.skip_reason


def test_budgets_and_age_may_cost_a_move_its_worth() -> None:
    # Two nodes of which one is enough: 0.384 USD/h are saved, which is 0.192 USD within half an hour.
    pods = make_workload("web", 8, cpu=500, gib=1)
    objects = make_cluster(pods, per_node=4)
    rules = replace(ON_DEMAND, consolidation=Consolidation.DELETE_ONLY, restart_seconds=600)
    market = make_market(spot_ratio=None)
    assert plan(objects, market, rules, TEMPLATE).moves
    ample, scarce = (replace(objects, budgets=(budget(allowed),)) for allowed in (4, 1))
    assert plan(ample, market, rules, TEMPLATE).moves
    # Three rounds more, of ten minutes each, cost as much as half an hour of the node.
    assert plan(scarce, market, rules, TEMPLATE).moves == ()
    new = replace(objects, nodes=tuple(replace(n, created_at=NOW) for n in objects.nodes))
    slow = replace(rules, overlap_seconds=1800)
    assert plan(objects, market, slow, TEMPLATE).moves
    assert plan(new, market, slow, TEMPLATE).moves == ()


def _on_spot(objects: ClusterObjects) -> ClusterObjects:
    spot = CapacityType.SPOT
    labels = {"karpenter.sh/capacity-type": spot.value}
    return replace(
        objects,
        nodes=tuple(replace(n, capacity_type=spot, labels={**n.labels, **labels}) for n in objects.nodes),
    )
