"""Which pods may run on spot, who says so, and why."""

from dataclasses import replace
from typing import Any

import pytest

from services.optimizer.domain.rules import OnDemandFloor, PlanRules, Strategy
from services.optimizer.domain.spot_tolerance import Source, SpotJudge, spot_judge
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, DisruptionBudget, Owner, Pod, SpotWish, Workload
from tests.builders import app_selector, make_node, make_pod
from tests.unit.optimizer.domain.market import make_workload

HYBRID = PlanRules()
QUARTER = PlanRules(max_pool_share_ratio=0.25)
YES, NO = SpotWish(allowed=True), SpotWish(allowed=False)


def judge_of(pods: list[Pod], rules: PlanRules = HYBRID, **objects: Any) -> SpotJudge:
    return spot_judge(ClusterObjects(pods=tuple(pods), **objects), rules)


def web_budget(**fields: str) -> DisruptionBudget:
    return DisruptionBudget("shop", "web", app_selector(), **fields)  # type: ignore[arg-type]


def test_several_replicas_of_a_controller_may_run_on_spot_and_the_reason_is_kept() -> None:
    pods = make_workload("web", 4)
    verdict = judge_of(pods).verdict(pods[0])
    assert verdict.may_use_spot
    assert verdict.source is Source.INFERRED
    assert "several replicas" in verdict.reason


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        pytest.param(make_workload("web", 1), "it is the only replica", id="one replica"),
        pytest.param([make_pod(owner=None)], "nothing would make the pod again", id="bare"),
        pytest.param(
            make_workload("web", 3, has_local_storage=True), "it keeps data on its node", id="local volume"
        ),
        pytest.param(
            make_workload("web", 3, do_not_disrupt=True), "it is marked do-not-disrupt", id="do not disrupt"
        ),
    ],
)
def test_what_looks_fragile_is_kept_off_spot_and_an_annotation_lets_it_go_there(
    pods: list[Pod], reason: str
) -> None:
    verdict = judge_of(pods).verdict(pods[0])
    assert (verdict.may_use_spot, verdict.source, verdict.reason) == (False, Source.INFERRED, reason)
    wishing = [replace(p, spot_wish=YES) for p in pods]
    assert judge_of(wishing).verdict(wishing[0]).may_use_spot


def test_an_annotation_of_the_workload_counts_like_one_of_its_pods() -> None:
    pods = make_workload("web", 1)
    allows = Workload("shop", "Deployment", "web", replicas=1, spot_wish=YES)
    forbids = replace(allows, spot_wish=NO)
    assert judge_of(pods, workloads=(allows,)).refusal(pods[0]) is None
    pods = make_workload("web", 4)
    assert "annotation" in (judge_of(pods, workloads=(forbids,)).refusal(pods[0]) or "")


def test_the_policy_names_workloads_and_a_no_wins_over_a_yes() -> None:
    pods = [replace(p, spot_wish=YES) for p in make_workload("web", 4)]
    rules = PlanRules(on_demand_workloads=("shop/w*",))
    assert judge_of(pods, rules).refusal(pods[0]) == "the policy keeps its workload off spot"
    alone = make_workload("web", 1)
    verdict = judge_of(alone, PlanRules(spot_workloads=("shop/web",))).verdict(alone[0])
    assert (verdict.may_use_spot, verdict.source) == (True, Source.POLICY)
    assert judge_of(alone, PlanRules(spot_workloads=("other/*",))).refusal(alone[0]) is not None


@pytest.mark.parametrize(("replicas", "limit"), [(4, 1), (7, 1), (8, 2), (100, 25)])
def test_a_quarter_of_the_replicas_may_stand_in_one_pool(replicas: int, limit: int) -> None:
    pods = make_workload("web", replicas)
    assert judge_of(pods, QUARTER).pool_limit(pods[0]) == limit


def test_too_few_replicas_for_the_share_go_on_demand() -> None:
    pods = make_workload("web", 3)
    assert "less than one" in (judge_of(pods, QUARTER).refusal(pods[0]) or "")


def test_a_budget_lowers_the_limit_per_pool() -> None:
    pods = make_workload("web", 10)
    judge = judge_of(pods, budgets=(web_budget(min_available="8"),))
    assert judge.pool_limit(pods[0]) == 2
    assert judge.refusal(pods[0]) is None


def test_a_budget_that_lets_nothing_be_lost_keeps_its_pods_on_demand_even_against_an_annotation() -> None:
    pods = [replace(p, spot_wish=YES) for p in make_workload("web", 10)]
    judge = judge_of(pods, budgets=(web_budget(max_unavailable="0"),))
    assert "disruption budget" in (judge.refusal(pods[0]) or "")


def test_where_the_policy_forbids_on_demand_they_spread_as_far_as_they_can() -> None:
    pods = make_workload("web", 3)
    judge = judge_of(pods, replace(QUARTER, strategy=Strategy.SPOT))
    assert judge.refusal(pods[0]) is None
    assert judge.pool_limit(pods[0]) == 1


def test_a_job_of_one_pod_may_run_on_spot() -> None:
    pod = make_pod(owner=Owner("Job", "nightly"))
    assert judge_of([pod], QUARTER).refusal(pod) is None


def test_an_on_demand_policy_refuses_everything() -> None:
    pods = [replace(p, spot_wish=YES) for p in make_workload("web", 4)]
    rules = PlanRules(strategy=Strategy.ON_DEMAND)
    assert judge_of(pods, rules).refusal(pods[0]) == "the policy allows on-demand only"


def test_the_floor_takes_the_replicas_that_stand_on_demand_already() -> None:
    nodes = (make_node("a", capacity_type=CapacityType.SPOT), make_node("b"))
    pods = [replace(p, node_name="b" if i == 3 else "a") for i, p in enumerate(make_workload("web", 6))]
    rules = PlanRules(on_demand_floors=(OnDemandFloor("shop/web", 2),))
    judge = judge_of(pods, rules, nodes=nodes)
    kept = [p.name for p in pods if judge.refusal(p)]
    assert kept == ["web-0", "web-3"]
    assert judge.refusal(pods[3]) == "2 of its 6 replicas are to stay on on-demand"


def test_the_largest_stated_floor_counts_and_an_unreadable_one_is_everything() -> None:
    pods = make_workload("web", 4)
    rules = PlanRules(on_demand_floors=(OnDemandFloor("shop/*", 1),))
    three = Workload("shop", "Deployment", "web", replicas=4, spot_wish=SpotWish(on_demand_min_replicas=3))
    judge = judge_of(pods, rules, workloads=(three,))
    assert sum(judge.refusal(p) is not None for p in pods) == 3
    every = [replace(p, spot_wish=SpotWish(on_demand_min_replicas=2**31 - 1)) for p in pods]
    judge = judge_of(every)
    assert all(judge.refusal(p) for p in every)


def test_the_order_of_the_input_changes_nothing() -> None:
    pods = make_workload("web", 5)
    rules = PlanRules(on_demand_floors=(OnDemandFloor("shop/web", 2),))
    forward, backward = judge_of(pods, rules), judge_of(pods[::-1], rules)
    assert [forward.verdict(p) for p in pods] == [backward.verdict(p) for p in pods]
