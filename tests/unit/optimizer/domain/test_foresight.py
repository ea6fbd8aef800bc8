"""Of a small cluster the next plan is made at once: what it would find is found by the first."""

import random
from dataclasses import replace

from services.optimizer.domain import foresight
from services.optimizer.domain.fleet_state import FleetState, read_state
from services.optimizer.domain.planning import plan, study
from services.optimizer.domain.rules import (
    Commitments,
    Consolidation,
    HeadroomShape,
    PlanRules,
    SavingsPlan,
    Strategy,
)
from services.optimizer.domain.spot_tolerance import spot_judge
from shared.kernel.workload import ClusterObjects
from tests.builders import GIB
from tests.unit.optimizer.domain.market import (
    TEMPLATE,
    YESTERDAY,
    carried_out,
    make_cluster,
    make_market,
    make_workload,
)

RULES = PlanRules(strategy=Strategy.HYBRID)


def _drawn(seed: int) -> tuple[ClusterObjects, Strategy, float]:
    rng = random.Random(seed)
    pods = []
    for number in range(rng.choice((3, 8, 8, 15, 30))):
        cpu = rng.choice((50, 100, 250, 500, 1000, 1500, 3000))
        replicas = rng.randint(1, 8)
        pods += make_workload(f"w{number}", replicas, cpu=cpu, gib=cpu / 1000 * rng.choice((1, 2, 4, 8)))
    strategy = rng.choice((Strategy.SPOT, Strategy.HYBRID, Strategy.ON_DEMAND))
    rng.shuffle(pods)
    return make_cluster(pods, per_node=rng.choice((1, 2, 4, 8))), strategy, rng.choice((0.3, 0.35, 0.5))


def _state(objects: ClusterObjects, rules: PlanRules = RULES) -> FleetState:
    return read_state(objects, make_market(), rules, TEMPLATE, spot_judge(objects, rules))


def test_a_plan_of_the_next_day_finds_nothing_left_to_do() -> None:
    objects, strategy, ratio = _drawn(23)
    market, rules = make_market(spot_ratio=ratio), PlanRules(strategy=strategy)
    first = plan(objects, market, rules, TEMPLATE)
    assert first.moves
    after = carried_out(objects, first)
    after = replace(after, nodes=tuple(replace(n, created_at=YESTERDAY) for n in after.nodes))
    assert plan(after, market, rules, TEMPLATE).moves == ()


def test_what_a_plan_leads_to_is_what_the_next_one_reads() -> None:
    shape = HeadroomShape(cpu_millicores=500, memory_bytes=GIB, count=2)
    objects, rules = make_cluster(make_workload("web", 6), per_node=1), replace(RULES, headroom=(shape,))
    found = study(objects, make_market(), rules, TEMPLATE)
    assert found.draft.moves
    start = found.before
    later = foresight.carried_out(start, found.after, spot_judge(objects, rules))
    old = {n.node.name for n in start.nodes}
    assert [n.node.name for n in later.nodes] == [n.node.name for n in found.after.nodes]
    assert {p.key for n in later.nodes for p in n.movable} == {p.key for p in objects.pods}
    assert {p.key for p in later.objects.pods if not p.is_daemon} == {p.key for p in objects.pods}
    assert all(n.age_seconds == rules.payback_seconds for n in later.nodes if n.node.name not in old)
    back = foresight.led_to(start, later)
    assert back.objects is start.objects
    assert all(n.age_seconds is None for n in back.nodes if n.node.name not in old)


def test_a_node_that_took_a_pod_that_cannot_be_moved_stays() -> None:
    (bare,) = make_workload("alone", 1)
    objects = make_cluster(make_workload("web", 2), per_node=1)
    start = _state(replace(objects, pods=(*objects.pods, replace(bare, owner=None))))
    first = start.nodes[0]
    after = replace(
        start,
        nodes=(replace(first, pods=(*first.pods, start.pending[0].on(first.node.name))), *start.nodes[1:]),
        pending=(),
    )
    later = foresight.carried_out(start, after, spot_judge(start.objects, RULES))
    assert later.nodes[0].kept_because is not None
    assert later.nodes[1].kept_because is None


def test_it_is_looked_ahead_where_another_search_takes_no_time_and_its_answer_is_one_for_today() -> None:
    small = _state(make_cluster(make_workload("web", 6), per_node=1))
    assert foresight.is_worth_it(small, RULES)
    assert not foresight.is_worth_it(small, replace(RULES, consolidation=Consolidation.DELETE_ONLY))
    plans = Commitments(savings_plans=(SavingsPlan(usd_per_hour=1.0, rates={"m5.large": 0.05}),))
    assert not foresight.is_worth_it(small, replace(RULES, commitments=plans))
    crowd = make_workload("web", foresight.FORESEEN_PODS + 1, cpu=10)
    assert not foresight.is_worth_it(_state(make_cluster(crowd, per_node=50)), RULES)
    wide = make_workload("web", foresight.FORESEEN_NODES + 1)
    assert not foresight.is_worth_it(_state(make_cluster(wide, per_node=1)), RULES)
