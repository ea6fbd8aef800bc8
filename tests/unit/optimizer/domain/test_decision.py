"""Who wins when packing, risk, sizing and schedules disagree."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.optimizer.domain import decision, planning
from services.optimizer.domain.decision import Party, SizingWish, SleepWish, Wishes
from services.optimizer.domain.offers import Market
from services.optimizer.domain.rules import PlanRules
from shared.kernel.workload import ClusterObjects
from tests.builders import make_pod, make_resources
from tests.unit.optimizer.domain.market import TEMPLATE, make_cluster, make_market, make_workload

RULES = PlanRules()
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def a_cluster() -> ClusterObjects:
    return make_cluster(make_workload("web", 4, cpu=500, gib=1))


def test_without_wishes_everything_is_planned_as_it_is() -> None:
    objects = a_cluster()
    settled = decision.settle(objects, RULES, decision.NO_WISHES)
    assert (settled.objects, settled.rules, settled.conflicts) == (objects, RULES, ())


def test_a_pod_counts_at_the_larger_of_what_it_requests_and_what_sizing_wishes() -> None:
    wish = SizingWish("shop/Deployment/web", make_resources(cpu=1500, gib=0.5), "it is throttled")
    settled = decision.settle(a_cluster(), RULES, Wishes(sizing=(wish,)))
    assert all(p.requests == make_resources(cpu=1500, gib=1) for p in settled.objects.pods)


def test_packing_gives_way_to_larger_requests_and_smaller_ones_give_way_to_what_runs() -> None:
    wish = SizingWish("shop/Deployment/web", make_resources(cpu=1500, gib=0.5), "usage of two weeks")
    first, second = decision.settle(a_cluster(), RULES, Wishes(sizing=(wish,))).conflicts
    assert (first.wished_by, first.winner) == (Party.SIZING, Party.STABILITY)
    assert (second.wished_by, second.winner) == (Party.PACKING, Party.SIZING)
    assert "usage of two weeks" in first.wish
    assert "usage of two weeks" in second.objection


def test_a_wish_for_another_workload_changes_nothing() -> None:
    wish = SizingWish("shop/Deployment/api", make_resources(cpu=9000), "it is throttled")
    settled = decision.settle(a_cluster(), RULES, Wishes(sizing=(wish,)))
    assert settled.objects == a_cluster()
    assert settled.conflicts == ()


def test_a_bare_pod_is_nobodys_workload() -> None:
    objects = make_cluster([make_pod("alone", owner=None)])
    wish = SizingWish("shop/Deployment/web", make_resources(cpu=9000), "it is throttled")
    assert decision.settle(objects, RULES, Wishes(sizing=(wish,))).objects == objects


@pytest.mark.parametrize(("seconds", "expected"), [(600, 600), (0, 1), (7200, RULES.payback_seconds)])
def test_what_does_not_pay_before_the_cluster_sleeps_is_not_done(seconds: int, expected: int) -> None:
    settled = decision.settle(a_cluster(), RULES, Wishes(sleep=SleepWish(seconds, "nights")))
    assert settled.rules.payback_seconds == expected
    assert bool(settled.conflicts) == (seconds < RULES.payback_seconds)


def test_a_plan_shrinks_when_the_cluster_sleeps_at_once() -> None:
    objects, market = make_cluster(make_workload("web", 12, cpu=900)), make_market()
    awake = planning.plan(objects, market, RULES, TEMPLATE)
    asleep = planning.plan(objects, market, RULES, TEMPLATE, wishes=Wishes(sleep=SleepWish(5, "nights")))
    assert awake.moves
    assert not any(move.launches for move in asleep.moves)
    assert [c.winner for c in asleep.conflicts if c.subject == "the cluster"] == [Party.SCHEDULE]


def test_larger_wished_requests_make_a_larger_fleet() -> None:
    objects, market = make_cluster(make_workload("web", 12, cpu=900)), make_market()
    wish = SizingWish("shop/Deployment/web", make_resources(cpu=3000, gib=1), "it is throttled")
    now = planning.plan(objects, market, RULES, TEMPLATE, mode=planning.PlanMode.GREENFIELD)
    then = planning.plan(
        objects, market, RULES, TEMPLATE, mode=planning.PlanMode.GREENFIELD, wishes=Wishes(sizing=(wish,))
    )
    assert (then.cost_after_usd_per_hour or 0) > 2 * (now.cost_after_usd_per_hour or 0)


def test_a_plan_names_the_nodes_that_stability_keeps_with_what_they_cost() -> None:
    objects = make_cluster(make_workload("web", 4, cpu=500))
    pinned = replace(objects.nodes[0], do_not_disrupt=True)
    objects = replace(objects, nodes=(pinned, *objects.nodes[1:]))
    draft = planning.plan(objects, make_market(), RULES, TEMPLATE)
    (kept,) = [c for c in draft.conflicts if c.held_by is Party.STABILITY]
    assert kept.subject == f"node {pinned.name}"
    assert kept.objection == "it is marked do-not-disrupt"
    assert kept.forgone_usd_per_hour == pytest.approx(0.384)


def test_a_plan_names_the_workloads_that_risk_keeps_off_spot() -> None:
    objects = make_cluster([*make_workload("web", 4), *make_workload("db", 1)])
    draft = planning.plan(objects, make_market(), RULES, TEMPLATE)
    assert [c.subject for c in draft.conflicts if c.held_by is Party.RISK] == ["shop/Deployment/db"]


def test_a_plan_names_the_flagged_pools_that_would_have_been_cheaper() -> None:
    market = make_market()
    objects = make_cluster(make_workload("web", 12, cpu=900))
    draft = planning.plan(objects, market, RULES, TEMPLATE)
    taken = draft.moves[0].launches[0].offers[0]
    flagged = tuple(replace(o, flagged_since=NOW) if o.pool == taken.pool else o for o in market.offers)
    again = planning.plan(objects, Market(market.instance_types, flagged), RULES, TEMPLATE)
    chosen = {o.pool for m in again.moves for launch in m.launches for o in launch.offers[:1]}
    assert taken.pool not in chosen
    if any(pool.instance_type == taken.pool.instance_type for pool in chosen):
        assert f"pool {taken.pool}" in {c.subject for c in again.conflicts}
