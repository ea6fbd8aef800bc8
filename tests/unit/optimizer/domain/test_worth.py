"""What moves are worth in the objective, where risk counts."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.optimizer.domain.consolidation import objective
from services.optimizer.domain.describing import next_offer
from services.optimizer.domain.drafts import DraftKind, PlanDraft
from services.optimizer.domain.offers import Market
from services.optimizer.domain.packing.shelf import build_shelf
from services.optimizer.domain.planning import plan, study
from services.optimizer.domain.rules import Objective, PlanRules
from services.optimizer.domain.sequence import Cut, savings, worthwhile
from services.optimizer.domain.spot_tolerance import spot_judge
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, PodPhase
from tests.builders import make_node
from tests.unit.optimizer.domain.market import TEMPLATE, TYPES, make_cluster, make_market, make_workload

SAFE = PlanRules(
    objective=Objective.CAPACITY_OPTIMIZED,
    usd_per_restart=0.05,
    max_pool_share_ratio=1.0,
    min_move_savings_usd_per_hour=0.005,
)


def on_risky_spot(chance: float, *, nodes: int = 2) -> tuple[ClusterObjects, Market]:
    """Give a cluster that lies on spot nodes of one zone, where interruptions have become likely."""
    offers = tuple(
        replace(o, interruption_probability=chance)
        if o.is_spot and o.pool.zone_id == "use1-az1" and o.pool.instance_type == "c5.xlarge"
        else o
        for o in make_market().offers
    )
    pods = [
        replace(p, node_name=f"s-{i // 6}", phase=PodPhase.RUNNING)
        for i, p in enumerate(make_workload("web", 6 * nodes))
    ]
    standing = [
        make_node(
            f"s-{i}",
            cpu=3900,
            gib=6.9,
            zone="us-east-1a",
            zone_id="use1-az1",
            instance_type="c5.xlarge",
            capacity_type=CapacityType.SPOT,
        )
        for i in range(nodes)
    ]
    return ClusterObjects(nodes=tuple(standing), pods=tuple(pods)), Market(TYPES, offers)


def saving(draft: PlanDraft) -> list[float]:
    return [m.worth_usd_per_hour for m in draft.moves if m.kind is not DraftKind.LAUNCH]


@pytest.mark.parametrize("chance", [0.3, 0.6])
def test_every_move_that_buys_less_risk_is_worth_what_the_policy_asks_of_a_move(chance: float) -> None:
    draft = plan(*on_risky_spot(chance), SAFE, TEMPLATE)
    assert draft.cost_before_usd_per_hour is not None
    assert draft.cost_after_usd_per_hour is not None
    assert draft.moves
    assert sum(m.savings_usd_per_hour for m in draft.moves) < 0.005, (
        "the case is that the price alone saves nothing"
    )
    assert min(saving(draft)) >= SAFE.min_move_savings_usd_per_hour
    for move in draft.moves:
        assert f"worth {move.worth_usd_per_hour:.4g} USD/h" in move.explanation
        assert move.payback_seconds is not None


@settings(max_examples=15, deadline=None)
@given(st.floats(0.02, 0.9), st.integers(1, 4), st.sampled_from(list(Objective)))
def test_the_worth_of_all_moves_is_what_the_objective_falls_by(
    chance: float, nodes: int, goal: Objective
) -> None:
    objects, market = on_risky_spot(chance, nodes=nodes)
    rules = replace(SAFE, objective=goal)
    found = study(objects, market, rules, TEMPLATE)
    if not found.draft.moves:
        return
    judge = spot_judge(objects, rules)
    before = objective(found.before.nodes, judge)
    after = objective(found.after.nodes, judge)
    assert sum(m.worth_usd_per_hour for m in found.draft.moves) == pytest.approx((before - after) / 1e6)
    if goal is Objective.LOWEST_COST:
        assert all(m.worth_usd_per_hour == m.savings_usd_per_hour for m in found.draft.moves)
        assert not any("worth" in m.explanation for m in found.draft.moves)


def test_a_runner_up_is_compared_with_its_risk() -> None:
    objects, market = on_risky_spot(0.6)
    judge = spot_judge(objects, SAFE)
    at = {str(o.pool): o for o in market.offers}
    planned, cheaper = at["spot:c5.xlarge:use1-az2"], at["spot:c5.xlarge:use1-az1"]
    assert cheaper.micro_usd < planned.micro_usd
    shelf = build_shelf(market, SAFE, TEMPLATE, ())
    found = next_offer((planned, cheaper), objects.pods[:6], judge, shelf)
    assert found is not None
    text, extra = found
    # 5 x (60 % - 1 %) x 6 pods x (0.05 USD and what a twelfth of the service is worth) is far more than the price.
    assert extra > 0.8
    assert f"{extra:+.4g} USD/h with risk and preferences" in text


def test_fallbacks_are_in_the_order_of_price_and_risk() -> None:
    draft = plan(*on_risky_spot(0.6), SAFE, TEMPLATE)
    for move in draft.moves:
        assert move.runner_up_extra_usd_per_hour is None or move.runner_up_extra_usd_per_hour >= 0
        for launch in move.launches:
            assert "spot:c5.xlarge:use1-az1" not in {str(o.pool) for o in launch.offers}


def test_a_plan_that_is_worth_less_than_the_policy_asks_of_a_move_has_none_and_says_so() -> None:
    objects, market = make_cluster(make_workload("web", 4)), make_market()
    whole = sum(saving(plan(objects, market, PlanRules(), TEMPLATE)))
    enough = plan(objects, market, PlanRules(min_move_savings_usd_per_hour=whole), TEMPLATE)
    assert sum(saving(enough)) == pytest.approx(whole)
    assert min(saving(enough)) >= whole - 1e-9
    short = plan(objects, market, PlanRules(min_move_savings_usd_per_hour=2 * whole), TEMPLATE)
    assert short.moves == ()
    assert short.cost_after_usd_per_hour == short.cost_before_usd_per_hour
    assert short.skip_reason == (
        f"The best change found is worth {whole:.4g} USD/h, less than the {2 * whole:.4g} USD/h that the policy"
        " asks of a move (min_move_savings_usd_per_hour)."
    )


def test_a_plan_that_is_worth_too_little_still_makes_room_for_pods_that_wait() -> None:
    waiting = make_workload("late", 2, cpu=7000)
    objects = make_cluster(make_workload("web", 4))
    objects = replace(objects, pods=(*objects.pods, *waiting))
    draft = plan(objects, make_market(), PlanRules(min_move_savings_usd_per_hour=50), TEMPLATE)
    assert [m.drains for m in draft.moves] == [()]
    assert draft.skip_reason is None


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 20)), min_size=1, max_size=8),
    st.integers(1, 12),
)
def test_moves_are_joined_until_each_is_worth_enough_or_one_is_left(
    amounts: list[tuple[int, int]], least: int
) -> None:
    worth = {f"new-{i}": cost for i, (cost, _) in enumerate(amounts)}
    worth |= {f"old-{i}": saved for i, (_, saved) in enumerate(amounts)}
    cuts = [Cut([f"new-{i}"], [f"old-{i}"]) for i in range(len(amounts))]
    joined = worthwhile(cuts, worth, least)
    assert len(joined) == 1 or min(savings(m, worth) for m in joined) >= least
    assert [d for m in joined for d in m.drains] == [d for m in cuts for d in m.drains]
    if all(savings(m, worth) >= least for m in cuts):
        assert joined == cuts
