"""Whole plans under policies that ask for more than a low price."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.optimizer.domain.drafts import DraftKind, DraftReason, PlanDraft
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import (
    Commitments,
    HeadroomShape,
    Objective,
    OnDemandFloor,
    PlanRules,
    ReservedInstances,
    Strategy,
)
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, DisruptionBudget, Pod, SpotWish
from tests.builders import GIB, app_selector
from tests.unit.optimizer.domain.market import TEMPLATE, carried_out, make_cluster, make_market, make_workload

QUARTER = PlanRules(max_pool_share_ratio=0.25)
FRESH = PlanMode.GREENFIELD
SPOT_WISH = SpotWish(allowed=True)


def on_spot(draft: PlanDraft) -> list[str]:
    return [p for n in draft.nodes if n.node.capacity_type is CapacityType.SPOT for p in n.pods]


def shop() -> ClusterObjects:
    workloads = {"web": 8, "api": 12, "pair": 2, "trio": 3}
    pods = [p for name, n in workloads.items() for p in make_workload(name, n, cpu=700)]
    budgets = (
        DisruptionBudget("shop", "web", app_selector("web"), min_available="75%"),
        DisruptionBudget("shop", "api", app_selector("api"), max_unavailable="2"),
        DisruptionBudget("shop", "pair", app_selector("pair"), min_available="1"),
    )
    return make_cluster(pods, budgets=budgets)


def survivors(draft: PlanDraft, pool: tuple[str | None, str | None]) -> list[str]:
    """Give the pods that are left when all spot nodes of a pool (type and zone) are gone at once."""
    return [
        p
        for n in draft.nodes
        if n.node.capacity_type is not CapacityType.SPOT or (n.node.instance_type, n.node.zone) != pool
        for p in n.pods
    ]


@pytest.mark.parametrize("mode", [PlanMode.SAVE, PlanMode.GREENFIELD])
def test_a_fleet_under_a_quarter_per_pool_survives_the_loss_of_any_pool(mode: PlanMode) -> None:
    draft = plan(shop(), make_market(), QUARTER, TEMPLATE, mode=mode)
    pools = {
        (n.node.instance_type, n.node.zone) for n in draft.nodes if n.node.capacity_type is CapacityType.SPOT
    }
    assert len(pools) >= 4
    for pool in pools:
        left = survivors(draft, pool)
        by_app = {app: sum(p.startswith(f"shop/{app}-") for p in left) for app in ("web", "api", "pair")}
        assert by_app["web"] >= 6
        assert by_app["api"] >= 10
        assert by_app["pair"] >= 1
    assert not any(p.startswith(("shop/pair", "shop/trio")) for p in on_spot(draft))
    assert draft.assurance is not None
    assert draft.assurance.at_risk == ()
    assert draft.assurance.breaches == ()
    assert draft.assurance.worst_pool_loss is not None
    assert draft.assurance.worst_pool_loss.below_minimum == ()


@pytest.mark.parametrize("mode", [PlanMode.SAVE, PlanMode.GREENFIELD])
def test_no_pool_and_no_zone_holds_more_than_its_share_of_the_cluster(mode: PlanMode) -> None:
    rules = PlanRules(max_cluster_pool_share_ratio=0.2, max_zone_share_ratio=0.4)
    objects = make_cluster(make_workload("web", 40) + make_workload("api", 20, cpu=1500))
    draft = plan(objects, make_market(), rules, TEMPLATE, mode=mode)
    assert draft.unplaced == ()
    assert draft.moves
    assert draft.assurance is not None
    assert draft.assurance.breaches == ()
    asked = {p.key: p.requests.cpu_millicores for p in objects.pods}
    total = sum(asked.values())
    held: dict[tuple[str | None, ...], int] = {}
    for node in draft.nodes:
        millicores = sum(asked[p] for p in node.pods)
        spot = node.node.capacity_type is CapacityType.SPOT
        for key in ((node.node.zone,), *([(node.node.instance_type, node.node.zone)] if spot else [])):
            held[key] = held.get(key, 0) + millicores
    assert max(m for key, m in held.items() if len(key) == 1) <= 0.4 * total
    assert max(m for key, m in held.items() if len(key) == 2) <= 0.2 * total


def test_a_pod_that_no_share_leaves_room_for_runs_all_the_same_and_that_is_told() -> None:
    rules = PlanRules(strategy=Strategy.SPOT, max_cluster_pool_share_ratio=0.01)
    objects = make_cluster(make_workload("web", 4))
    draft = plan(objects, make_market(), rules, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert draft.unplaced == ()
    assert draft.assurance is not None
    assert any("more than 1.0%" in sentence for sentence in draft.assurance.breaches)


def test_where_on_demand_is_forbidden_what_is_not_safe_is_listed_with_the_reason() -> None:
    rules = replace(QUARTER, strategy=Strategy.SPOT)
    draft = plan(shop(), make_market(), rules, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert draft.unplaced == ()
    assert draft.assurance is not None
    assert {r.workload for r in draft.assurance.at_risk} == {
        "shop/Deployment/pair",
        "shop/Deployment/trio",
    }
    assert all("less than one" in r.reason for r in draft.assurance.at_risk)


@pytest.mark.parametrize("mode", [PlanMode.SAVE, PlanMode.GREENFIELD])
def test_a_floor_of_replicas_stays_on_on_demand(mode: PlanMode) -> None:
    rules = PlanRules(on_demand_floors=(OnDemandFloor("shop/web", 3),))
    objects = make_cluster(make_workload("web", 12) + make_workload("api", 12))
    draft = plan(objects, make_market(), rules, TEMPLATE, mode=mode)
    spot = on_spot(draft)
    assert sum(p.startswith("shop/web-") for p in spot) == 9
    assert sum(p.startswith("shop/api-") for p in spot) == 12
    assert draft.assurance is not None
    told = {(t.workload, t.may_use_spot, t.pods) for t in draft.assurance.tolerance}
    assert ("shop/Deployment/web", False, 3) in told
    assert ("shop/Deployment/web", True, 9) in told


def test_an_annotated_workload_goes_where_it_says() -> None:
    web = [replace(p, spot_wish=SpotWish(allowed=False)) for p in make_workload("web", 6)]
    lone = [replace(p, spot_wish=SPOT_WISH) for p in make_workload("lone", 1)]
    for pods, expected in ((web, []), (lone, ["shop/lone-0"])):
        draft = plan(make_cluster(pods), make_market(), PlanRules(), TEMPLATE, mode=PlanMode.GREENFIELD)
        assert on_spot(draft) == expected


def room_for(draft: PlanDraft, pods: list[Pod], objects: ClusterObjects) -> bool:
    """Whether the pods fit beside what is planned, each on some node."""
    asked = {p.key: p.requests for p in objects.pods}
    free = []
    for node in draft.nodes:
        used = sum(asked[p].cpu_millicores for p in node.pods)
        held = sum(asked[p].memory_bytes for p in node.pods)
        room = node.node.allocatable
        free.append([room.cpu_millicores - used, room.memory_bytes - held])
    for pod in pods:
        for has in free:
            if pod.requests.cpu_millicores <= has[0] and pod.requests.memory_bytes <= has[1]:
                has[0] -= pod.requests.cpu_millicores
                has[1] -= pod.requests.memory_bytes
                break
        else:
            return False
    return True


@pytest.mark.parametrize("mode", [PlanMode.SAVE, PlanMode.GREENFIELD])
def test_headroom_is_kept_free_and_told_as_headroom_only(mode: PlanMode) -> None:
    rules = PlanRules(headroom=(HeadroomShape(2000, 4 * GIB, 3),))
    objects = make_cluster(make_workload("web", 20))
    draft = plan(objects, make_market(), rules, TEMPLATE, mode=mode)
    bare = plan(objects, make_market(), PlanRules(), TEMPLATE, mode=mode)
    spare = make_workload("spare", 3, cpu=2000, gib=4)
    assert room_for(draft, spare, objects)
    assert not room_for(bare, spare, objects)
    assert draft.assurance is not None
    assert [(k.placed, k.shape.count) for k in draft.assurance.headroom] == [(3, 3)]
    named = [p for n in draft.nodes for p in n.pods]
    named += [p for m in draft.moves for x in m.launches for p in x.pods]
    assert {p.split("/")[0] for p in named} == {"shop"}
    assert draft.unplaced == ()


def test_a_launch_for_headroom_alone_says_so() -> None:
    rules = PlanRules(headroom=(HeadroomShape(6000, 4 * GIB, 3),))
    draft = plan(make_cluster(make_workload("web", 4)), make_market(), rules, TEMPLATE, mode=PlanMode.PENDING)
    assert [x.pods for m in draft.moves for x in m.launches] == [()]
    assert draft.moves[0].explanation.endswith("to keep the headroom that the policy asks for.")


def test_a_launch_of_a_saving_plan_is_for_pods_that_wait_only_if_some_do() -> None:
    rules = PlanRules(headroom=(HeadroomShape(6000, 4 * GIB, 2),))
    draft = plan(make_cluster(make_workload("web", 20)), make_market(), rules, TEMPLATE)
    first = draft.moves[0]
    assert first.kind is DraftKind.LAUNCH
    assert first.reason is DraftReason.HEADROOM
    assert any(m.drains for m in draft.moves)


def test_headroom_that_nothing_can_hold_is_missing_and_no_pod_is() -> None:
    rules = PlanRules(headroom=(HeadroomShape(500_000, GIB, 1),))
    draft = plan(make_cluster(make_workload("web", 20)), make_market(), rules, TEMPLATE)
    assert draft.assurance is not None
    assert draft.assurance.headroom[0].placed == 0
    assert draft.unplaced == ()
    assert draft.moves


def test_no_plan_leaves_fewer_nodes_than_the_policy_asks_for() -> None:
    objects = make_cluster(make_workload("web", 20))
    few = plan(objects, make_market(), PlanRules(), TEMPLATE)
    assert few.nodes_after < 9
    draft = plan(objects, make_market(), PlanRules(min_nodes=9), TEMPLATE)
    assert draft.nodes_after >= 9
    assert draft.nodes_after == 10 or draft.moves
    fresh = plan(objects, make_market(), PlanRules(min_nodes=9), TEMPLATE, mode=PlanMode.GREENFIELD)
    assert fresh.nodes_after >= 9


def test_the_weight_of_risk_decides_between_a_cheap_pool_and_a_calm_one() -> None:
    market = make_market(chance=0.02)
    calm = tuple(
        replace(o, usd_per_hour=o.usd_per_hour * 1.08, interruption_probability=0.0005)
        if o.is_spot and o.pool.zone_id == "use1-az3"
        else o
        for o in market.offers
    )
    market = replace(market, offers=calm)
    objects = make_cluster(make_workload("web", 30))
    found = {}
    for objective in Objective:
        rules = PlanRules(objective=objective, usd_per_restart=0.02)
        draft = plan(objects, market, rules, TEMPLATE, mode=PlanMode.GREENFIELD)
        assert draft.assurance is not None
        assert draft.assurance.objective.objective is objective
        assert draft.objective_usd_per_hour == pytest.approx(draft.assurance.objective.total / 1e6)
        found[objective] = (draft.cost_after_usd_per_hour, draft.expected_interruptions_per_day_after)
    cheap, calmest = found[Objective.LOWEST_COST], found[Objective.CAPACITY_OPTIMIZED]
    assert (cheap[0] or 0) < (calmest[0] or 0)
    assert (cheap[1] or 0) > (calmest[1] or 0)


def test_a_reserved_node_costs_nothing_more_and_is_not_given_up() -> None:
    objects = make_cluster(make_workload("web", 20))
    reserved = ReservedInstances(instance_type="m5.2xlarge", count=10)
    rules = PlanRules(commitments=Commitments(reserved_instances=(reserved,)))
    draft = plan(objects, make_market(), rules, TEMPLATE)
    assert draft.cost_before_usd_per_hour == 0
    assert draft.moves == ()
    assert draft.assurance is not None
    assert draft.assurance.commitments is not None
    assert draft.assurance.commitments.covered_nodes == 10


@pytest.mark.parametrize("mode", [PlanMode.SAVE, PlanMode.GREENFIELD])
def test_reservations_that_nothing_uses_are_used_first_and_no_more_often_than_they_are(
    mode: PlanMode,
) -> None:
    objects = make_cluster(make_workload("web", 40))
    reserved = ReservedInstances(instance_type="c5.2xlarge", count=2)
    rules = PlanRules(commitments=Commitments(reserved_instances=(reserved,)))
    draft = plan(objects, make_market(), rules, TEMPLATE, mode=mode)
    free = [n for n in draft.nodes if n.usd_per_hour == 0]
    assert [(n.node.instance_type, n.node.capacity_type) for n in free] == [
        ("c5.2xlarge", CapacityType.ON_DEMAND)
    ] * 2
    assert draft.assurance is not None
    assert draft.assurance.commitments is not None
    assert draft.assurance.commitments.unused_instances == ()
    assert draft.lower_bound_usd_per_hour is not None
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour <= draft.objective_usd_per_hour


def test_a_plan_that_was_carried_out_meets_its_policy_again() -> None:
    rules = replace(QUARTER, headroom=(HeadroomShape(1000, GIB, 2),), min_nodes=4)
    objects = shop()
    for _ in range(2):
        objects = carried_out(objects, plan(objects, make_market(), rules, TEMPLATE))
    last = plan(objects, make_market(), rules, TEMPLATE)
    assert last.moves == ()
    assert last.assurance is not None
    assert last.assurance.breaches == ()
    assert [k.placed for k in last.assurance.headroom] == [2]


@settings(max_examples=8, deadline=None)
@given(
    replicas=st.lists(st.integers(1, 14), min_size=1, max_size=4),
    share=st.sampled_from([0.2, 0.25, 0.5, 1.0]),
    floor=st.integers(0, 4),
    spare=st.integers(0, 3),
    reserved=st.integers(0, 2),
    objective=st.sampled_from(Objective),
    salt=st.integers(0, 3),
)
def test_any_policy_is_kept_whatever_the_order_of_the_input(
    *,
    replicas: list[int],
    share: float,
    floor: int,
    spare: int,
    reserved: int,
    objective: Objective,
    salt: int,
) -> None:
    pods = [p for i, n in enumerate(replicas) for p in make_workload(f"w{i}", n, cpu=400 + 300 * i)]
    budgets = tuple(
        DisruptionBudget("shop", f"w{i}", app_selector(f"w{i}"), min_available=f"{60 + 10 * i}%")
        for i in range(len(replicas))
    )
    rules = PlanRules(
        max_pool_share_ratio=share,
        on_demand_floors=(OnDemandFloor("shop/w0", floor),) if floor else (),
        headroom=(HeadroomShape(900, GIB, spare),) if spare else (),
        commitments=Commitments(
            reserved_instances=(ReservedInstances(instance_type="m5.xlarge", count=reserved),)
        )
        if reserved
        else Commitments(),
        objective=objective,
    )
    draft = plan(
        ClusterObjects(pods=tuple(pods), budgets=budgets), make_market(), rules, TEMPLATE, mode=FRESH
    )
    turned = pods[salt:] + pods[:salt]
    again = plan(
        ClusterObjects(pods=tuple(turned), budgets=budgets), make_market(), rules, TEMPLATE, mode=FRESH
    )
    assert again == draft
    found = draft.assurance
    assert found is not None
    assert draft.unplaced == ()
    assert found.breaches == ()
    assert found.at_risk == ()
    assert found.worst_pool_loss is None or found.worst_pool_loss.below_minimum == ()
    assert all(k.placed == k.shape.count for k in found.headroom)
    on_demand = sum(p.startswith("shop/w0-") for p in {p.key for p in pods} - set(on_spot(draft)))
    assert on_demand >= min(floor, replicas[0])
    assert sum(n.usd_per_hour == 0 for n in draft.nodes) <= reserved
    assert draft.lower_bound_usd_per_hour is not None
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour <= draft.objective_usd_per_hour + 1e-9
