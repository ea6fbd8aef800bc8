"""Whole plans on small clusters."""

import math
from dataclasses import replace
from typing import Any

import pytest

from services.optimizer.domain.drafts import DraftKind
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import PlanRules, Strategy
from shared.kernel.pools import CapacityType
from shared.kernel.resources import Resources
from shared.kernel.workload import ClusterObjects, DisruptionBudget, Owner, PodPhase
from tests.builders import app_selector, evenly, make_node, make_pod, make_pool, near
from tests.unit.optimizer.domain.market import (
    ON_DEMAND,
    TEMPLATE,
    TYPES,
    carried_out,
    make_cluster,
    make_market,
    make_workload,
)

RULES = PlanRules()


def test_half_empty_nodes_are_replaced_and_the_savings_add_up() -> None:
    objects = make_cluster(make_workload("web", 20))
    draft = plan(objects, make_market(), RULES, TEMPLATE)
    assert draft.skip_reason is None
    assert draft.cost_before_usd_per_hour == pytest.approx(10 * 0.384)
    assert draft.cost_before_usd_per_hour is not None
    assert draft.cost_after_usd_per_hour is not None
    assert draft.cost_after_usd_per_hour < 0.5 * draft.cost_before_usd_per_hour
    saved = draft.cost_before_usd_per_hour - draft.cost_after_usd_per_hour
    assert sum(m.savings_usd_per_hour for m in draft.moves) == pytest.approx(saved)
    assert draft.savings_from_packing_usd_per_hour is not None
    assert draft.savings_from_capacity_type_usd_per_hour is not None
    split = draft.savings_from_packing_usd_per_hour + draft.savings_from_capacity_type_usd_per_hour
    assert split == pytest.approx(saved)
    assert draft.savings_from_packing_usd_per_hour > 0
    assert draft.savings_from_capacity_type_usd_per_hour > 0


def test_a_plan_that_was_carried_out_is_followed_by_none() -> None:
    objects = make_cluster(make_workload("web", 12) + make_workload("api", 6, cpu=1500, gib=6))
    first = plan(objects, make_market(), RULES, TEMPLATE)
    second = plan(carried_out(objects, first), make_market(), RULES, TEMPLATE)
    draft = plan(carried_out(carried_out(objects, first), second), make_market(), RULES, TEMPLATE)
    assert first.moves
    assert draft.moves == ()
    assert draft.skip_reason is not None


def test_nodes_whose_pods_fit_elsewhere_are_only_deleted() -> None:
    objects = make_cluster(make_workload("web", 4), per_node=1)
    draft = plan(
        objects, Market(TYPES, tuple(Offer(make_pool("m5.2xlarge"), 0.384) for _ in "a")), ON_DEMAND, TEMPLATE
    )
    assert {m.kind for m in draft.moves} == {DraftKind.DELETE}
    assert draft.nodes_after == 1


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param({"owner": None}, id="bare pod"),
        pytest.param({"do_not_disrupt": True}, id="do not disrupt"),
        pytest.param({"is_mirror": True}, id="static pod"),
        pytest.param({"namespace": "kube-system"}, id="excluded namespace"),
    ],
)
def test_a_node_with_a_pod_that_must_stay_is_left_alone(pod: dict[str, object]) -> None:
    objects = make_cluster([make_pod("stays", **pod)], per_node=1)  # type: ignore[arg-type]
    rules = PlanRules(excluded_namespaces=frozenset({"kube-system"}))
    draft = plan(objects, make_market(), rules, TEMPLATE)
    assert draft.moves == ()
    assert any("node-000 stays" in note for note in draft.notes)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"instance_id": None}, id="not EC2"),
        pytest.param({"is_ready": False}, id="not ready"),
        pytest.param({"is_unschedulable": True}, id="cordoned"),
        pytest.param({"do_not_disrupt": True}, id="do not disrupt"),
    ],
)
def test_a_node_that_is_not_ours_to_change_stays(change: dict[str, object]) -> None:
    objects = make_cluster(make_workload("web", 2))
    objects = replace(objects, nodes=tuple(replace(n, **change) for n in objects.nodes))  # type: ignore[arg-type]
    draft = plan(objects, make_market(), RULES, TEMPLATE)
    assert draft.moves == ()
    assert draft.skip_reason == "No node may be changed."


def test_a_budget_that_can_never_allow_a_disruption_pins_its_node() -> None:
    budget = DisruptionBudget(
        "shop",
        "web",
        app_selector(),
        min_available="2",
        desired_healthy=2,
        current_healthy=2,
        expected_pods=2,
    )
    draft = plan(make_cluster(make_workload("web", 2), budgets=(budget,)), make_market(), RULES, TEMPLATE)
    assert draft.moves == ()


def test_an_unknown_price_is_unknown_and_not_zero() -> None:
    objects = make_cluster(make_workload("web", 4))
    strange = make_node("strange", instance_type="x9.large")
    draft = plan(replace(objects, nodes=(*objects.nodes, strange)), make_market(), RULES, TEMPLATE)
    assert draft.cost_before_usd_per_hour is None
    assert draft.cost_after_usd_per_hour is None
    assert draft.baseline is None
    assert "strange" not in {name for m in draft.moves for name in m.drains}
    assert draft.moves


def test_savings_below_the_policy_are_refused_with_the_figure() -> None:
    objects = make_cluster(make_workload("web", 20))
    draft = plan(objects, make_market(), PlanRules(min_savings_ratio=0.99), TEMPLATE)
    assert draft.moves == ()
    assert draft.cost_after_usd_per_hour == draft.cost_before_usd_per_hour
    assert draft.skip_reason is not None
    assert "less than the 99.0%" in draft.skip_reason


def test_pending_pods_get_a_node_and_nothing_else_changes() -> None:
    pods = [*make_workload("web", 4), make_pod("waits", cpu=7000, gib=8)]
    objects = make_cluster(pods[:4])
    objects = replace(objects, pods=(*objects.pods, pods[4]))
    draft = plan(objects, make_market(), RULES, TEMPLATE, mode=PlanMode.PENDING)
    assert [m.kind for m in draft.moves] == [DraftKind.LAUNCH]
    assert draft.moves[0].launches[0].pods == ("shop/waits",)
    assert draft.unplaced == ()


def test_a_pending_pod_that_fits_where_nodes_are_needs_no_launch() -> None:
    objects = make_cluster(make_workload("web", 2))
    objects = replace(objects, pods=(*objects.pods, make_pod("waits")))
    draft = plan(objects, make_market(), RULES, TEMPLATE, mode=PlanMode.PENDING)
    assert draft.moves == ()
    assert draft.unplaced == ()


def test_a_pod_larger_than_any_type_says_so() -> None:
    objects = ClusterObjects(pods=(make_pod("huge", cpu=300_000), make_pod("small")))
    draft = plan(objects, make_market(), RULES, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert [u.pod for u in draft.unplaced] == ["shop/huge"]
    assert draft.unplaced[0].reasons[0].startswith("larger than any allowed instance type: needs 300 vCPU")
    assert [p for n in draft.nodes for p in n.pods] == ["shop/small"]


def test_without_pods_the_new_fleet_is_empty_and_costs_nothing() -> None:
    draft = plan(ClusterObjects(), make_market(), RULES, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert draft.nodes == ()
    assert draft.cost_after_usd_per_hour == 0
    assert draft.cost_before_usd_per_hour is None


def test_without_offers_every_pod_is_unplaced_with_a_reason() -> None:
    objects = ClusterObjects(pods=tuple(make_workload("web", 2)))
    draft = plan(objects, Market(TYPES, ()), RULES, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert {u.reasons for u in draft.unplaced} == {("no prices are known, so nothing can be launched",)}


@pytest.mark.parametrize("poison", [math.nan, math.inf, -1.0, 0.0])
def test_a_poisoned_price_is_no_offer(poison: float) -> None:
    market = make_market(spot_ratio=None)
    market = replace(market, offers=(Offer(make_pool("r5.4xlarge"), poison), *market.offers))
    objects = ClusterObjects(pods=tuple(make_workload("web", 3)))
    draft = plan(objects, market, ON_DEMAND, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert draft.cost_after_usd_per_hour is not None
    assert 0 < draft.cost_after_usd_per_hour < math.inf


def test_on_demand_greenfield_without_risk_has_the_cost_as_objective_and_a_bound_below() -> None:
    objects = ClusterObjects(pods=tuple(make_workload("web", 40, cpu=700, gib=2.5)))
    draft = plan(objects, make_market(), ON_DEMAND, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert draft.objective_usd_per_hour == draft.cost_after_usd_per_hour
    assert draft.lower_bound_usd_per_hour is not None
    assert draft.gap_ratio is not None
    assert 0 < draft.lower_bound_usd_per_hour <= (draft.cost_after_usd_per_hour or 0)
    assert draft.gap_ratio < 0.35


def test_a_bound_above_the_objective_is_seen_and_not_told_as_a_perfect_plan() -> None:
    draft = plan(ClusterObjects(pods=tuple(make_workload("web", 4))), make_market(), ON_DEMAND, TEMPLATE)
    bounded = replace(draft, objective_usd_per_hour=1.0, lower_bound_usd_per_hour=1.1)
    assert bounded.gap_ratio is not None
    assert bounded.gap_ratio < 0
    assert replace(bounded, lower_bound_usd_per_hour=1 + 1e-7).gap_ratio == 0


def test_a_single_replica_stays_on_demand_and_replicas_go_to_spot() -> None:
    objects = ClusterObjects(pods=tuple(make_workload("one", 1) + make_workload("many", 8)))
    draft = plan(objects, make_market(), RULES, TEMPLATE, mode=PlanMode.GREENFIELD)
    bought = {p: n.node.capacity_type for n in draft.nodes for p in n.pods}
    assert bought["shop/one-0"] is CapacityType.ON_DEMAND
    assert CapacityType.SPOT in {bought[f"shop/many-{i}"] for i in range(8)}


def test_one_spot_pool_holds_at_most_its_share_of_a_workload() -> None:
    objects = ClusterObjects(pods=tuple(make_workload("many", 9)))
    draft = plan(
        objects, make_market(), PlanRules(strategy=Strategy.SPOT), TEMPLATE, mode=PlanMode.GREENFIELD
    )
    held: dict[object, int] = {}
    for n in draft.nodes:
        pool = (n.node.instance_type, n.node.zone)
        held[pool] = held.get(pool, 0) + len(n.pods)
    assert max(held.values()) <= 5
    assert sum(held.values()) == 9


def test_pods_apart_from_each_other_get_nodes_of_their_own() -> None:
    pods = make_workload("web", 4, pod_anti_affinity=(near("web", topology_key="kubernetes.io/hostname"),))
    draft = plan(
        ClusterObjects(pods=tuple(pods)), make_market(), ON_DEMAND, TEMPLATE, mode=PlanMode.GREENFIELD
    )
    assert sorted(len(n.pods) for n in draft.nodes) == [1, 1, 1, 1]
    assert draft.unplaced == ()


def test_pods_spread_over_zones_lie_evenly() -> None:
    pods = make_workload("web", 9, topology_spread=(evenly(),))
    draft = plan(
        ClusterObjects(pods=tuple(pods)), make_market(), ON_DEMAND, TEMPLATE, mode=PlanMode.GREENFIELD
    )
    by_zone: dict[object, int] = {}
    for n in draft.nodes:
        by_zone[n.node.zone] = by_zone.get(n.node.zone, 0) + len(n.pods)
    assert sorted(by_zone.values()) == [3, 3, 3]


def test_a_launch_has_other_offers_and_an_on_demand_one_last() -> None:
    draft = plan(make_cluster(make_workload("web", 20)), make_market(), RULES, TEMPLATE)
    for launch in (launch for m in draft.moves for launch in m.launches):
        assert 2 <= len(launch.offers) <= 5
        assert len({o.pool for o in launch.offers}) == len(launch.offers)
        if launch.offers[0].is_spot:
            assert not launch.offers[-1].is_spot


def test_stale_spot_prices_start_no_spot_launch() -> None:
    market = make_market()
    market = replace(
        market, offers=tuple(replace(o, age_seconds=7200 if o.is_spot else 10) for o in market.offers)
    )
    draft = plan(make_cluster(make_workload("web", 20)), market, RULES, TEMPLATE)
    assert draft.moves
    assert not any(n.node.capacity_type is CapacityType.SPOT for n in draft.nodes)


def test_daemons_take_their_room_on_new_nodes() -> None:
    daemon = make_pod("log-x", owner=None, cpu=1500, gib=1)
    daemon = replace(daemon, owner=type(make_pod().owner)("DaemonSet", "log"), node_name="node-000")  # type: ignore[misc]
    objects = ClusterObjects(pods=(replace(daemon, phase=PodPhase.RUNNING), *make_workload("web", 2)))
    draft = plan(objects, make_market(), ON_DEMAND, TEMPLATE, mode=PlanMode.GREENFIELD)
    for n in draft.nodes:
        room = n.node.allocatable - Resources(1500, 2**30)
        assert len(n.pods) * 500 <= room.cpu_millicores


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        pytest.param({"owner": None}, RULES, id="nothing would make it again"),
        pytest.param({"do_not_disrupt": True}, RULES, id="do-not-disrupt"),
        pytest.param({}, PlanRules(excluded_namespaces=frozenset({"shop"})), id="an excluded namespace"),
        pytest.param(
            {"node_selector": {"karpenter.sh/capacity-type": "on-demand"}},
            PlanRules(strategy=Strategy.SPOT),
            id="on-demand by its selector where the policy wants spot",
        ),
    ],
)
def test_a_saving_takes_no_room_from_a_pod_that_waits_and_may_not_be_moved_afterwards(
    fields: dict[str, Any], rules: PlanRules
) -> None:
    web = make_workload("web", 8, namespace="web")
    lone = make_pod("lone", cpu=7000, gib=50, app="lone", **{"owner": Owner("Deployment", "lone"), **fields})
    cluster = make_cluster(web)
    draft = plan(replace(cluster, pods=(*cluster.pods, lone)), make_market(), rules, TEMPLATE)
    assert draft.unplaced == ()
    assert lone.key in [pod for m in draft.moves for launch in m.launches for pod in launch.pods]


def test_a_plan_is_as_old_as_its_oldest_spot_price_whatever_the_age_of_price_lists() -> None:
    market = make_market()
    offers = tuple(replace(o, age_seconds=60 if o.is_spot else 200_000) for o in market.offers)
    objects = make_cluster(make_workload("web", 20))
    assert plan(objects, replace(market, offers=offers), RULES, TEMPLATE).price_age_seconds == 60
    assert plan(objects, replace(market, offers=offers), ON_DEMAND, TEMPLATE).price_age_seconds is None
