"""The part of the objective that is not price."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain import interruption_cost, objectives
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import MICRO, Offer
from services.optimizer.domain.rules import Objective, PlanRules
from services.optimizer.domain.spot_tolerance import SpotJudge, spot_judge
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, Pod, SpotWish, Workload
from tests.builders import make_node, make_pool
from tests.unit.optimizer.domain.market import make_workload

RULES = PlanRules(usd_per_restart=0.002, restart_seconds=180, usd_per_downtime_hour=0.4)
SPOT = Offer(make_pool(capacity_type=CapacityType.SPOT), 0.04, 0.1)


def judge_of(pods: list[Pod], rules: PlanRules = RULES, *workloads: Workload) -> SpotJudge:
    return spot_judge(ClusterObjects(pods=tuple(pods), workloads=workloads), rules)


def standing(offer: Offer | None, pods: list[Pod]) -> StandingNode:
    return StandingNode(make_node(), offer, tuple(pods), None)


def test_a_restart_costs_a_fixed_part_and_an_nth_of_the_outage() -> None:
    pods = make_workload("web", 4)
    # 0.002 USD, and a quarter of 0.4 USD/h for three minutes.
    assert interruption_cost.cost_micro_usd(pods[0], judge_of(pods)) == 2000 + 5000


def test_what_a_pod_states_wins_over_its_workload_and_that_over_the_policy() -> None:
    pods = make_workload("web", 2)
    workload = Workload("shop", "Deployment", "web", 2, spot_wish=SpotWish(interruption_cost_usd=0.5))
    judge = judge_of(pods, RULES, workload)
    assert interruption_cost.cost_micro_usd(pods[0], judge) == 500_000
    own = replace(pods[0], spot_wish=SpotWish(interruption_cost_usd=0.0))
    assert interruption_cost.cost_micro_usd(own, judge) == 0


def test_an_unknown_chance_is_assumed_and_named_and_never_zero() -> None:
    pods = make_workload("web", 2)
    unknown = replace(SPOT, interruption_probability=None)
    found = objectives.breakdown([standing(unknown, pods)], judge_of(pods))
    assert found.risk > 0
    assert found.assumed_pools == ("spot:m5.xlarge:use1-az1",)
    assert interruption_cost.chance(unknown, RULES) == RULES.unknown_interruption_probability
    assert interruption_cost.chance(replace(SPOT, interruption_probability=0.0), RULES) == 0.0


@pytest.mark.parametrize(
    ("objective", "weight"),
    [(Objective.LOWEST_COST, 0), (Objective.BALANCED, 1), (Objective.CAPACITY_OPTIMIZED, 5)],
)
def test_strategies_are_weights_of_one_term(objective: Objective, weight: int) -> None:
    pods = make_workload("web", 4)
    rules = replace(RULES, objective=objective)
    found = objectives.breakdown([standing(SPOT, pods)], judge_of(pods, rules))
    assert (found.objective, found.risk_weight) == (objective, weight)
    assert found.price == 40_000
    assert found.risk == weight * 4 * 700
    assert found.total == found.price + found.risk


def test_on_demand_has_no_risk_and_an_unpriced_node_no_part() -> None:
    pods = make_workload("web", 4)
    on_demand = Offer(make_pool(), 0.192)
    found = objectives.breakdown([standing(on_demand, pods), standing(None, pods)], judge_of(pods))
    assert (found.price, found.risk, found.assumed_pools) == (round(0.192 * MICRO), 0, ())


@given(st.integers(1, 60), st.floats(0, 1), st.floats(0, 1))
def test_a_likelier_interruption_never_costs_less(replicas: int, one: float, other: float) -> None:
    pods = make_workload("web", replicas)
    judge = judge_of(pods)
    low, high = sorted((one, other))
    costs = [
        interruption_cost.node_micro_usd(replace(SPOT, interruption_probability=p), pods, judge)
        for p in (low, high)
    ]
    assert 0 <= costs[0] <= costs[1]
