"""No pool and no zone holds too much, and the loss of one is survived."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain import diversification, residual_risk
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer
from services.optimizer.domain.rules import PlanRules, Strategy
from services.optimizer.domain.spot_tolerance import SpotJudge, spot_judge
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.workload import ClusterObjects, DisruptionBudget, Node, Pod
from tests.builders import app_selector, make_node, make_pod, make_pool
from tests.unit.optimizer.domain.market import make_workload

QUARTER = PlanRules(max_pool_share_ratio=0.25)
BUDGET = DisruptionBudget("shop", "web", app_selector(), min_available="6")


def judge_of(pods: list[Pod], rules: PlanRules = QUARTER, *budgets: DisruptionBudget) -> SpotJudge:
    return spot_judge(ClusterObjects(pods=tuple(pods), budgets=budgets), rules)


def node_of(
    number: int, pods: list[Pod], *, capacity_type: CapacityType = CapacityType.SPOT, zone: int = 1
) -> StandingNode:
    node = make_node(
        f"n{number}",
        instance_type=f"m{number}.large",
        zone_id=f"use1-az{zone}",
        capacity_type=capacity_type,
    )
    pool = make_pool(f"m{number}.large", zone_id=f"use1-az{zone}", capacity_type=capacity_type)
    return StandingNode(node, Offer(pool, 0.1, 0.01), tuple(pods), None)


def test_too_many_replicas_in_a_pool_are_a_sentence() -> None:
    pods = make_workload("web", 8)
    fleet = [node_of(1, pods[:3]), node_of(2, pods[3:5]), node_of(3, pods[5:7]), node_of(4, pods[7:])]
    found = diversification.breaches(fleet, judge_of(pods))
    assert [b.sentence for b in found] == [
        "3 of the 8 replicas of shop/Deployment/web are in spot:m1.large:use1-az1, where 2 may be."
    ]
    assert residual_risk.at_risk(fleet, judge_of(pods)) == [
        residual_risk.AtRisk("shop/Deployment/web", found[0].sentence.rstrip("."))
    ]


def test_two_nodes_of_a_type_in_a_zone_are_one_pool_and_on_demand_is_none() -> None:
    pods = make_workload("web", 8)
    one_pool = [node_of(1, pods[:2]), node_of(1, pods[2:4])]
    on_demand = [node_of(1, pods[4:], capacity_type=CapacityType.ON_DEMAND)]
    found = diversification.breaches([*one_pool, *on_demand], judge_of(pods))
    assert [(b.amount, b.at_most) for b in found] == [(4, 2)]


def test_a_fleet_of_too_few_pools_could_never_keep_to_the_limit() -> None:
    pods = make_workload("web", 8, cpu=100, gib=0.1)
    judge = judge_of(pods)
    crowded = [node_of(1, pods), *(node_of(n, []) for n in (2, 3, 4))]
    assert diversification.unspreadable(crowded, judge) == []
    found = diversification.unspreadable(crowded[:3], judge)
    assert [(b.amount, b.at_most) for b in found] == [(8, 6)]
    with_on_demand = [*crowded[:3], node_of(5, [], capacity_type=CapacityType.ON_DEMAND)]
    assert diversification.unspreadable(with_on_demand, judge) == []
    large = make_workload("web", 8, cpu=100, gib=1000)
    assert [b.at_most for b in diversification.unspreadable([node_of(1, large)], judge_of(large))] == [0]


def test_shares_of_the_whole_cluster_are_checked_in_vcpu() -> None:
    pods = make_workload("web", 4) + make_workload("big", 2, cpu=3000)
    rules = PlanRules(max_cluster_pool_share_ratio=0.5, max_zone_share_ratio=0.75)
    fleet = [node_of(1, pods[:2]), node_of(2, pods[2:4]), node_of(3, pods[4:], zone=2)]
    found = diversification.breaches(fleet, judge_of(pods, rules))
    assert [b.sentence for b in found if not b.what.startswith("shop")] == [
        "Pool spot:m3.large:use1-az2 holds 75.0% of the requested vCPU, more than 50.0%."
    ]


def test_only_what_gets_worse_is_held_against_a_change() -> None:
    pods = make_workload("web", 8)
    judge = judge_of(pods)
    today = diversification.breaches([node_of(1, pods)], judge)
    better = diversification.breaches([node_of(1, pods[:4]), node_of(2, pods[4:6])], judge)
    elsewhere = diversification.breaches([node_of(2, pods)], judge)
    assert diversification.added(today, better) == []
    assert diversification.added(better, today) == today
    assert diversification.added(today, elsewhere) == elsewhere


def candidate(*, zone_id: str = "use1-az1", capacity_type: CapacityType = CapacityType.SPOT) -> Node:
    return make_node(instance_type="m5.large", zone_id=zone_id, capacity_type=capacity_type)


def test_limits_of_the_cluster_leave_out_what_stands_already() -> None:
    nodes = [candidate(), candidate(capacity_type=CapacityType.ON_DEMAND), candidate(zone_id="use1-az2")]
    shares = diversification.Shares(
        PlanRules(max_cluster_pool_share_ratio=0.4, max_zone_share_ratio=0.6), 10_000
    )
    shares.add(nodes[0], 1500)
    shares.add(nodes[1], 6000)
    pool, zone = shares.limits(nodes, np.array([500, 1000]))
    assert pool.group.tolist() == [0, -1, 1]
    assert pool.at_most.tolist() == [2500, 4000]
    assert zone.group.tolist() == [0, 0, 1]
    assert zone.at_most.tolist() == [0, 6000]
    assert zone.weights.tolist() == [500, 1000]
    assert [shares.room(n, 500) for n in nodes] == [0, 0, 8]


def test_without_shares_there_are_no_limits() -> None:
    shares = diversification.Shares(QUARTER, 10_000)
    assert not shares
    assert shares.limits([candidate()], np.array([500])) == ()
    assert shares.room(candidate(), 500) is None


def test_the_worst_loss_names_what_it_breaks() -> None:
    pods = make_workload("web", 8)
    heavy = [make_pod("heavy-0", app="heavy", cpu=9000)]
    fleet = [node_of(1, heavy), node_of(2, pods[:3]), node_of(3, pods[3:5])]
    fleet.append(node_of(9, pods[5:], capacity_type=CapacityType.ON_DEMAND))
    loss = residual_risk.worst_pool_loss(fleet, [BUDGET])
    assert loss is not None
    assert (loss.pool, loss.nodes, loss.pods) == ("spot:m2.large:use1-az1", 1, 3)
    assert loss.below_minimum == ("shop/web",)
    assert loss.vcpu_share_ratio == 1500 / 13_000
    harmless = residual_risk.worst_pool_loss(fleet, [])
    assert harmless is not None
    assert (harmless.pool, harmless.below_minimum) == ("spot:m1.large:use1-az1", ())


def test_nothing_on_spot_is_nothing_to_lose() -> None:
    fleet = [node_of(1, make_workload("web", 2), capacity_type=CapacityType.ON_DEMAND)]
    assert residual_risk.worst_pool_loss(fleet, [BUDGET]) is None
    assert residual_risk.at_risk(fleet, judge_of(make_workload("web", 2))) == []


def test_what_only_the_policy_puts_on_spot_is_at_risk() -> None:
    pods = make_workload("web", 1)
    rules = PlanRules(strategy=Strategy.SPOT)
    found = residual_risk.at_risk([node_of(1, pods)], judge_of(pods, rules))
    assert found == [residual_risk.AtRisk("shop/Deployment/web", "it is the only replica")]


@given(
    st.integers(4, 24),
    st.integers(0, 24),
    st.floats(0.05, 1),
    st.lists(st.integers(0, 5), min_size=24, max_size=24),
)
def test_a_fleet_within_its_limits_survives_the_loss_of_any_pool(
    replicas: int, minimum: int, share: float, where: list[int]
) -> None:
    pods = make_workload("web", replicas)
    budget = DisruptionBudget("shop", "web", app_selector(), min_available=str(minimum))
    judge = judge_of(pods, PlanRules(max_pool_share_ratio=share), budget)
    limit = judge.pool_limit(pods[0])
    assert limit is not None
    held: dict[int, list[Pod]] = {}
    for pod, number in zip(pods, where, strict=False):
        # Number 0 is on-demand, and so is what no pool may hold any more.
        at = number if number == 0 or len(held.get(number, [])) < limit else 0
        held.setdefault(at, []).append(pod)
    fleet = [
        node_of(n, on, capacity_type=CapacityType.SPOT if n else CapacityType.ON_DEMAND)
        for n, on in held.items()
    ]
    assert diversification.breaches(fleet, judge) == []
    loss = residual_risk.worst_pool_loss(fleet, [budget])
    assert loss is None or loss.below_minimum == ()


def test_a_pool_is_named_by_what_the_node_says() -> None:
    key: PoolKey = make_pool("m5.large", capacity_type=CapacityType.SPOT)
    node = make_node(instance_type="m5.large", capacity_type=CapacityType.SPOT)
    assert diversification.pool_name(node) == str(key)
