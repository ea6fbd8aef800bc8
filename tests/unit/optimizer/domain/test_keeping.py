"""The model of what to keep: a node goes where that is worth more than moving its pods."""

from dataclasses import replace

import pytest

from services.optimizer.domain.daemons import daemon_sets
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.fleet_state import read_state
from services.optimizer.domain.keeping import Answer, Keeper
from services.optimizer.domain.packing.fleet import LOOKING
from services.optimizer.domain.packing.grouping import Grouper, selectors_meant
from services.optimizer.domain.packing.launching import Style
from services.optimizer.domain.packing.shelf import build_shelf
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import Consolidation, PlanRules, Strategy
from services.optimizer.domain.spot_tolerance import spot_judge
from shared.kernel.workload import ClusterObjects
from tests.unit.optimizer.domain import stopping
from tests.unit.optimizer.domain.carrying_out import carry_out
from tests.unit.optimizer.domain.market import ON_DEMAND, TEMPLATE, make_cluster, make_market, make_workload

MARKET = make_market()
ROOMY = Style(0.05, 0)


def _ask(objects: ClusterObjects, rules: PlanRules, *, keeps_full: bool = False) -> Answer:
    judge = spot_judge(objects, rules)
    state = read_state(objects, MARKET, rules, TEMPLATE, judge)
    grouper = Grouper(rules, TEMPLATE, judge, selectors_meant(objects.pods))
    shelf = build_shelf(MARKET, rules, TEMPLATE, daemon_sets(objects))
    return Keeper(state, shelf, grouper, LOOKING).ask(ROOMY, keeps_full=keeps_full)


def test_of_half_empty_nodes_only_those_that_are_needed_stay_when_nothing_may_be_launched() -> None:
    objects = make_cluster(make_workload("a", 12, cpu=1000, gib=4), per_node=2)
    rules = replace(ON_DEMAND, consolidation=Consolidation.DELETE_ONLY)
    answer = _ask(objects, rules)
    # Six of these pods fit on a node of 29 GiB that leaves a twentieth free.
    assert len(answer.given_up) == 4
    assert answer.launched == ()


def test_a_full_node_at_a_fair_price_is_not_worth_moving_its_pods() -> None:
    objects = make_cluster(make_workload("a", 14, cpu=1000, gib=3), per_node=7)
    assert _ask(objects, ON_DEMAND) == Answer(frozenset(), ())


def test_nodes_go_for_spot_where_that_earns_more_than_the_moves_are_charged() -> None:
    objects = make_cluster(make_workload("a", 14, cpu=1000, gib=3), per_node=7)
    rules = PlanRules(strategy=Strategy.HYBRID)
    answer = _ask(objects, rules)
    assert len(answer.given_up) == 2
    assert answer.launched
    # At a dollar a move nothing earns what it costs within the time to pay back.
    assert _ask(objects, replace(rules, usd_per_moved_pod=1.0)) == Answer(frozenset(), ())


def test_nodes_that_are_used_well_stay_when_asked() -> None:
    objects = make_cluster(make_workload("a", 14, cpu=1000, gib=3), per_node=7)
    answer = _ask(objects, PlanRules(strategy=Strategy.HYBRID), keeps_full=True)
    assert answer == Answer(frozenset(), ())


def test_a_node_that_must_stay_takes_pods_in() -> None:
    objects = make_cluster(make_workload("a", 6, cpu=1000, gib=3), per_node=2)
    pinned = replace(objects.nodes[0], do_not_disrupt=True)
    objects = replace(objects, nodes=(pinned, *objects.nodes[1:]))
    rules = replace(ON_DEMAND, consolidation=Consolidation.DELETE_ONLY)
    assert _ask(objects, rules).given_up == {"node-001", "node-002"}


def test_the_answer_does_not_depend_on_the_order_of_the_input() -> None:
    objects = make_cluster(
        [*make_workload("a", 9, cpu=700), *make_workload("b", 9, cpu=400, gib=3)], per_node=3
    )
    turned = replace(objects, nodes=objects.nodes[::-1], pods=objects.pods[::-1])
    rules = PlanRules(strategy=Strategy.HYBRID)
    assert _ask(objects, rules) == _ask(turned, rules)


def _large(pods: int) -> ClusterObjects:
    sizes = (50, 100, 150, 250)
    workloads = [
        make_workload(f"w{i}", 30, cpu=sizes[i % 4], gib=sizes[i % 4] / 1000 * (1, 2, 4)[i % 3])
        for i in range(pods // 30)
    ]
    # One of each workload in turn, so that every node holds a mixture.
    return make_cluster([w[i] for i in range(30) for w in workloads], per_node=30)


@pytest.mark.slow
def test_a_large_half_empty_cluster_gets_a_plan_that_holds_when_it_is_carried_out() -> None:
    objects = _large(2400)
    draft: PlanDraft = plan(objects, MARKET, PlanRules(), TEMPLATE)
    assert draft.cost_after_usd_per_hour is not None
    assert draft.cost_before_usd_per_hour is not None
    assert draft.cost_after_usd_per_hour < draft.cost_before_usd_per_hour / 3
    assert draft.lower_bound_usd_per_hour is not None
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour <= draft.objective_usd_per_hour
    outcome = carry_out(objects, draft, seed=1)
    assert outcome.homeless == ()
    assert outcome.refused == ()


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 5, 30])
def test_a_plan_of_a_large_cluster_that_is_cut_short_is_safe_or_has_no_moves(asked: int) -> None:
    objects = _large(2400)
    draft = plan(objects, MARKET, PlanRules(), TEMPLATE, should_stop=stopping.after(asked))
    assert any("time limit" in note for note in draft.notes)
    outcome = carry_out(objects, draft, seed=2)
    assert outcome.homeless == ()
