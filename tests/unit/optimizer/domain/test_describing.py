"""Every kind of move says what it beat, what it costs and risks, and what binds."""

from dataclasses import replace

import pytest

from services.optimizer.domain import describing
from services.optimizer.domain.drafts import DraftKind, DraftReason, MoveDraft, PlanDraft
from services.optimizer.domain.offers import Market
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import Consolidation, PlanRules
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects
from tests.unit.optimizer.domain.market import (
    ON_DEMAND,
    TEMPLATE,
    make_cluster,
    make_market,
    make_workload,
)

PODS = [*make_workload("web", 20), *make_workload("db", 4, cpu=2000, gib=8)]


def only(market: Market, instance_type: str) -> Market:
    """Leave one on-demand offer."""
    offers = (o for o in market.offers if o.pool.instance_type == instance_type and not o.is_spot)
    return replace(market, offers=tuple(offers)[:1])


def of_kind(draft: PlanDraft, kind: DraftKind) -> list[MoveDraft]:
    return [m for m in draft.moves if m.kind is kind]


@pytest.mark.parametrize("rules", [PlanRules(), ON_DEMAND])
def test_every_move_of_a_plan_is_told_in_full(rules: PlanRules) -> None:
    late = make_workload("late", 6, cpu=3000, gib=12)
    objects = make_cluster(PODS)
    draft = plan(replace(objects, pods=(*objects.pods, *late)), make_market(), rules, TEMPLATE)
    assert draft.moves
    for move in draft.moves:
        assert move.runner_up
        assert move.runner_up_extra_usd_per_hour is not None
        assert move.binding_constraint
        assert move.interruptions_per_day_before is not None
        assert move.interruptions_per_day_after is not None
        assert (move.payback_seconds is None) == (move.kind is DraftKind.LAUNCH)
        assert (move.disruption_usd > 0) == (move.disruption_pods > 0)


def test_a_node_that_is_given_up_names_what_the_nodes_that_take_its_pods_are_fullest_in() -> None:
    rules = replace(ON_DEMAND, consolidation=Consolidation.DELETE_ONLY)
    moves = plan(make_cluster(PODS), make_market(), rules, TEMPLATE).moves
    assert {m.kind for m in moves} == {DraftKind.DELETE}
    for move in moves:
        assert (move.binding_constraint or "").endswith(
            "of what the nodes that take the pods have is requested then"
        )
        assert (move.runner_up or "").startswith("keeping ")


def test_an_empty_node_binds_nothing_and_pays_back_at_once() -> None:
    objects = replace(make_cluster(make_workload("web", 2)), pods=())
    (move,) = plan(objects, make_market(), ON_DEMAND, TEMPLATE).moves
    assert move.reason is DraftReason.EMPTY
    assert move.binding_constraint == "none: nothing that must move runs there"
    assert move.payback_seconds == 0


def test_a_replacement_without_another_offer_beats_what_runs() -> None:
    objects = make_cluster(make_workload("web", 2))
    # A price for what runs, and one type to replace it by.
    market = make_market()
    old = (o for o in market.offers if o.pool.instance_type == "m5.2xlarge" and not o.is_spot)
    offers = (*only(market, "m5.large").offers, *old)
    draft = plan(
        objects,
        replace(market, offers=offers),
        replace(ON_DEMAND, excluded_instance_types=frozenset({"m5.2xlarge"})),
        TEMPLATE,
    )
    (move,) = of_kind(draft, DraftKind.REPLACE)
    assert (move.runner_up or "").startswith("keeping 1 m5.2xlarge on-demand")
    assert move.runner_up_extra_usd_per_hour == pytest.approx(move.worth_usd_per_hour)


def test_a_launch_without_another_offer_beats_waiting() -> None:
    objects = ClusterObjects(pods=tuple(make_workload("web", 1)))
    (move,) = plan(objects, only(make_market(), "m5.large"), PlanRules(), TEMPLATE).moves
    assert move.runner_up == "no launch: 1 pod would go on waiting, and no other offer holds them"
    assert move.runner_up_extra_usd_per_hour is None
    assert "without room" in describing.leaving_them(0)


def test_wishes_are_named_only_where_somebody_has_some() -> None:
    draft = plan(make_cluster(PODS), make_market(), PlanRules(), TEMPLATE)
    told = [m.explanation for m in draft.moves]
    assert any("expected cost of interruptions by" in text for text in told)
    assert not any("preferences" in text for text in told)
    assert any(n.node.capacity_type is CapacityType.SPOT for n in draft.nodes)
