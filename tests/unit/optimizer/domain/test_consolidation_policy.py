"""What a policy says of consolidation changes the plan."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.optimizer.domain import levels, sequence
from services.optimizer.domain.drafts import DraftKind, PlanDraft
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.offers import Offer
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import (
    Consolidation,
    ConsolidationLevel,
    HeadroomShape,
    PlanRules,
    Strategy,
)
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects
from tests.builders import make_instance_type, make_node, make_pod, make_pool
from tests.unit.optimizer.domain.market import TEMPLATE, make_cluster, make_market, make_workload

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
MARKET = replace(make_market(), as_of=NOW)


def planned(rules: PlanRules, objects: ClusterObjects | None = None) -> PlanDraft:
    return plan(objects or make_cluster(make_workload("web", 20)), MARKET, rules, TEMPLATE)


def test_off_gives_nothing_up_and_still_makes_room() -> None:
    rules = PlanRules(consolidation=Consolidation.OFF)
    draft = planned(rules)
    assert draft.moves == ()
    assert draft.skip_reason == "The policy lets no node be given up."
    objects = make_cluster(make_workload("web", 2))
    waiting = make_pod("big", cpu=12000, gib=40)
    draft = planned(rules, replace(objects, pods=(*objects.pods, waiting)))
    assert [m.kind for m in draft.moves] == [DraftKind.LAUNCH]


def test_who_waits_in_vain_is_told_before_what_the_policy_lets_be_saved() -> None:
    objects = make_cluster(make_workload("web", 2))
    waiting = replace(objects, pods=(*objects.pods, make_pod("huge", cpu=500_000)))
    off = planned(PlanRules(consolidation=Consolidation.OFF), waiting)
    assert off.skip_reason == "No offer takes the pods that wait. The policy lets no node be given up."
    headroom = (HeadroomShape(500_000, 1, 1),)
    kept_free = planned(PlanRules(consolidation=Consolidation.OFF, headroom=headroom), objects)
    assert kept_free.skip_reason == (
        "No offer has the room that the policy wants kept free. The policy lets no node be given up."
    )


def test_delete_only_launches_nothing() -> None:
    draft = planned(PlanRules(consolidation=Consolidation.DELETE_ONLY))
    assert draft.moves
    assert {m.kind for m in draft.moves} == {DraftKind.DELETE}
    assert draft.nodes_after < draft.nodes_before
    assert any(m.launches for m in planned(PlanRules()).moves)


def test_the_bound_knows_that_delete_only_buys_nothing() -> None:
    draft, free = planned(PlanRules(consolidation=Consolidation.DELETE_ONLY)), planned(PlanRules())
    bound, objective = draft.lower_bound_usd_per_hour or 0.0, draft.objective_usd_per_hour or 0.0
    assert (free.objective_usd_per_hour or 0.0) < bound <= objective + 1e-9
    waiting = make_pod("big", cpu=12000, gib=40)
    objects = make_cluster(make_workload("web", 20))
    draft = planned(
        PlanRules(consolidation=Consolidation.DELETE_ONLY), replace(objects, pods=(*objects.pods, waiting))
    )
    assert any(m.kind is DraftKind.LAUNCH for m in draft.moves)
    assert (draft.lower_bound_usd_per_hour or 0.0) <= (draft.objective_usd_per_hour or 0.0) + 1e-9


@pytest.mark.parametrize(
    ("level", "is_full"),
    [
        (ConsolidationLevel.CONSERVATIVE, True),
        (ConsolidationLevel.BALANCED, True),
        (ConsolidationLevel.AGGRESSIVE, False),
    ],
)
def test_a_level_is_a_share_of_what_is_requested(level: ConsolidationLevel, is_full: bool) -> None:  # noqa: FBT001
    node = StandingNode(make_node(cpu=4000, gib=16), None, (make_pod(cpu=100, gib=8),), None)
    assert levels.is_full(node, PlanRules(consolidation_level=level)) is is_full


def test_a_well_used_node_is_not_packed_away() -> None:
    objects = make_cluster(make_workload("web", 20, cpu=1000), per_node=4)
    delete_only = PlanRules(consolidation=Consolidation.DELETE_ONLY)
    assert planned(delete_only, objects).moves
    balanced = replace(delete_only, consolidation_level=ConsolidationLevel.BALANCED)
    assert planned(balanced, objects).moves == ()


def test_a_well_used_node_may_be_replaced_by_a_cheaper_one() -> None:
    objects = make_cluster(make_workload("web", 20, cpu=1000), per_node=4)
    draft = planned(PlanRules(consolidation_level=ConsolidationLevel.BALANCED), objects)
    assert draft.moves
    assert sum(len(m.launches) for m in draft.moves) >= sum(len(m.drains) for m in draft.moves)


def test_a_young_node_stays_and_so_does_one_of_unknown_age() -> None:
    objects = make_cluster(make_workload("web", 20))
    rules = PlanRules(min_node_age_seconds=600)
    ages = {0: 599, 1: 600}
    nodes = tuple(
        replace(n, created_at=NOW - timedelta(seconds=ages[i]) if i in ages else None)
        for i, n in enumerate(objects.nodes)
    )
    draft = planned(rules, replace(objects, nodes=nodes))
    drained = {name for m in draft.moves for name in m.drains}
    assert drained <= {"node-001"}
    assert (
        "Node node-000 stays as it is: it is younger than the 600 s that the policy asks for." in draft.notes
    )
    assert any("node-002" in note and "age is unknown" in note for note in draft.notes)


def test_what_a_moved_pod_costs_can_forbid_a_change() -> None:
    assert planned(PlanRules(usd_per_moved_pod=1.0)).moves == ()
    assert planned(PlanRules(usd_per_moved_pod=1.0, payback_seconds=7 * 24 * 3600)).moves


def test_a_move_keeps_to_the_budget_of_each_node_pool() -> None:
    pools = {"web": 10, "db": 2}
    before = [
        StandingNode(make_node(f"{pool}-{i}", node_pool=pool), Offer(make_pool("m5.xlarge"), 0.2), (), None)
        for pool, number in pools.items()
        for i in range(number)
    ]
    state = FleetState(tuple(before), (), ClusterObjects(), ())
    worth = {n.node.name: n.micro_usd for n in before}
    after = replace(state, nodes=())
    cuts = sequence.cut(state, after, worth=worth, min_savings_micro_usd=1, disrupted_ratio=0.2)
    assert sorted(name for cut in cuts for name in cut.drains) == sorted(n.node.name for n in before)
    for cut in cuts:
        assert sum(name.startswith("web") for name in cut.drains) <= 2
        assert sum(name.startswith("db") for name in cut.drains) <= 1


def test_delete_only_replaces_no_node_that_the_policy_would_not_buy_again() -> None:
    node = make_node("spot", cpu=7910, gib=29, instance_type="m5.2xlarge", capacity_type=CapacityType.SPOT)
    pod = make_pod("web-0", node="spot")
    rules = PlanRules(strategy=Strategy.ON_DEMAND, consolidation=Consolidation.DELETE_ONLY)
    draft = planned(rules, ClusterObjects(nodes=(node,), pods=(pod,)))
    assert draft.moves == ()
    assert draft.skip_reason is not None


@pytest.mark.parametrize(
    ("running", "waiting", "launched", "drained"),
    [
        pytest.param((5000, 3500), 12000, "c5.4xlarge", 0, id="only a new node would take its pods"),
        pytest.param((5000, 3500, 1000), 12000, "c5.4xlarge", 1, id="trimming finds room on a new node"),
        pytest.param((5000, 2000), 7500, "c5.2xlarge", 1, id="a larger new node would take them all"),
    ],
)
def test_delete_only_drains_no_node_whose_pods_depend_on_what_is_launched_for_pods_that_wait(
    running: tuple[int, ...], waiting: int, launched: str, drained: int
) -> None:
    pods = [p for i, cpu in enumerate(running) for p in make_workload(f"w{i}", 1, cpu=cpu)]
    objects = make_cluster(pods, per_node=1)
    objects = replace(objects, pods=(*objects.pods, make_pod("big", cpu=waiting, gib=4)))
    rules = PlanRules(strategy=Strategy.ON_DEMAND, consolidation=Consolidation.DELETE_ONLY)
    draft = planned(rules, objects)
    launches = [launch for move in draft.moves for launch in move.launches]
    assert [(x.offers[0].pool.instance_type, x.pods) for x in launches] == [(launched, ("shop/big",))]
    assert sum(len(move.drains) for move in draft.moves) == drained
    assert [n.pods for n in draft.nodes if n.existing is None] == [("shop/big",)]


def test_a_plan_without_moves_says_why_even_when_headroom_finds_room_on_a_node_with_devices() -> None:
    gpu = make_instance_type("g4dn.xlarge", vcpus=4, gib=16, gpus={"nvidia.com/gpu": 1})
    market = replace(
        MARKET,
        instance_types={**MARKET.instance_types, gpu.name: gpu},
        offers=(*MARKET.offers, Offer(make_pool(gpu.name), 0.526)),
    )
    nodes = [make_node(f"n{i}", cpu=3900, gib=14, gpu=1, instance_type=gpu.name) for i in range(2)]
    pods = [make_pod(f"render-{i}", gpu=1, node=f"n{i}", is_ready=True) for i in range(2)]
    rules = PlanRules(
        strategy=Strategy.ON_DEMAND,
        consolidation=Consolidation.DELETE_ONLY,
        headroom=(HeadroomShape(1000, 2**30, 1),),
        min_nodes=2,
    )
    draft = plan(ClusterObjects(nodes=tuple(nodes), pods=tuple(pods)), market, rules, TEMPLATE)
    assert bool(draft.moves) is (draft.skip_reason is None)
