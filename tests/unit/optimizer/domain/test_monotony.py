"""More to choose from makes no fleet dearer, more pods none cheaper; no plan touches what may not be disrupted."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.offers import Market
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import HeadroomShape, PlanRules, Strategy
from shared.kernel.workload import ClusterObjects, DisruptionBudget, Pod
from tests.builders import HOSTNAME, app_selector, evenly, near
from tests.hash_seeds import printed
from tests.unit.optimizer.domain.market import PRICES, TEMPLATE, make_cluster, make_market, make_workload

MARKET = make_market()
STANDING = "m5.2xlarge"
"""What the nodes of make_cluster are: their price must be known in every market."""
SMALL = 1e-6
MODES = (PlanMode.GREENFIELD, PlanMode.SAVE)
GIB = 2**30


@st.composite
def workloads(draw: st.DrawFn, *, prefix: str = "w", most: int = 4) -> list[Pod]:
    """Some services, a few of them spread over zones or kept apart."""
    pods: list[Pod] = []
    for number in range(draw(st.integers(1, most))):
        app = f"{prefix}{number}"
        rules: dict[str, object] = {}
        kind = draw(st.sampled_from(("free", "free", "free", "zones", "apart")))
        if kind == "zones":
            rules["topology_spread"] = (evenly(app),)
        if kind == "apart":
            rules["pod_anti_affinity"] = (near(app, topology_key=HOSTNAME),)
        pods += make_workload(
            app,
            draw(st.integers(1, 6)),
            cpu=draw(st.integers(50, 3900)),
            gib=draw(st.integers(1, 80)) / 8,
            **rules,
        )
    return pods


def some_offers(kept: set[str]) -> Market:
    return replace(MARKET, offers=tuple(o for o in MARKET.offers if o.pool.instance_type in kept))


def cluster_of(pods: Sequence[Pod], mode: PlanMode) -> ClusterObjects:
    if mode is PlanMode.GREENFIELD:
        return ClusterObjects(pods=tuple(pods))
    # What stands was put there without looking at rules: pods that have some would be where they may not be.
    free = [replace(p, topology_spread=(), pod_anti_affinity=()) for p in pods]
    return make_cluster(free, per_node=1)


def amounts(draft: PlanDraft) -> tuple[float, float, float]:
    """Give objective, bound and gap."""
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour is not None
    assert draft.gap_ratio is not None
    return draft.objective_usd_per_hour, draft.lower_bound_usd_per_hour, draft.gap_ratio


@settings(max_examples=25)
@given(
    pods=workloads(),
    kept=st.sets(st.sampled_from(sorted(PRICES)), min_size=1, max_size=8),
    strategy=st.sampled_from((Strategy.HYBRID, Strategy.ON_DEMAND)),
    mode=st.sampled_from(MODES),
)
def test_more_offers_raise_neither_the_bound_above_a_fleet_nor_the_cost_by_more_than_the_gap(
    pods: list[Pod], kept: set[str], strategy: Strategy, mode: PlanMode
) -> None:
    objects, rules = cluster_of(pods, mode), PlanRules(strategy=strategy)
    fewer = plan(objects, some_offers(kept | {STANDING}), rules, TEMPLATE, mode=mode)
    more = plan(objects, MARKET, rules, TEMPLATE, mode=mode)
    assert fewer.unplaced == more.unplaced == ()
    dear, _, _ = amounts(fewer)
    cost, bound, gap = amounts(more)
    assert bound <= dear + SMALL, "a fleet of fewer offers is one of more"
    assert cost <= dear * (1 + gap) + SMALL


@settings(max_examples=25)
@given(
    pods=workloads(),
    others=workloads(prefix="more", most=2),
    strategy=st.sampled_from((Strategy.HYBRID, Strategy.ON_DEMAND)),
)
def test_a_fleet_for_more_workloads_is_never_below_the_bound_for_fewer(
    pods: list[Pod], others: list[Pod], strategy: Strategy
) -> None:
    rules = PlanRules(strategy=strategy)
    mode = PlanMode.GREENFIELD
    less = plan(cluster_of(pods, mode), MARKET, rules, TEMPLATE, mode=mode)
    more = plan(cluster_of([*pods, *others], mode), MARKET, rules, TEMPLATE, mode=mode)
    cost, bound, gap = amounts(less)
    dear, _, _ = amounts(more)
    assert bound <= dear + SMALL
    assert cost <= dear * (1 + gap) + SMALL


@settings(max_examples=25)
@given(
    pods=workloads(),
    pinned=st.sets(st.integers(0, 3)),
    closed=st.sets(st.integers(0, 3)),
    guarded=st.sets(st.integers(0, 20), max_size=3),
    level=st.sampled_from(("100%", "50%", "1")),
)
def test_no_plan_drains_a_node_whose_pods_may_not_be_disrupted(
    pods: list[Pod], pinned: set[int], closed: set[int], guarded: set[int], level: str
) -> None:
    objects = cluster_of(pods, PlanMode.SAVE)
    objects = replace(
        objects,
        pods=tuple(
            replace(
                p, do_not_disrupt=i in guarded, namespace="bank" if p.name[1] in map(str, closed) else "shop"
            )
            for i, p in enumerate(objects.pods)
        ),
    )
    budgets = tuple(
        DisruptionBudget(
            space, f"w{n}", app_selector(f"w{n}"), min_available="100%" if n in pinned else level
        )
        for n in range(4)
        for space in ("shop", "bank")
    )
    replicas = {p.name.rpartition("-")[0]: 0 for p in objects.pods}
    for p in objects.pods:
        replicas[p.name.rpartition("-")[0]] += 1
    rules = PlanRules(excluded_namespaces=frozenset({"bank"}))
    draft = plan(replace(objects, budgets=budgets), MARKET, rules, TEMPLATE)
    drained = {name for move in draft.moves for name in move.drains}
    for p in objects.pods:
        app = p.name.rpartition("-")[0]
        never = level == "100%" or int(app[1:]) in pinned or (level == "1" and replicas[app] == 1)
        if never or p.do_not_disrupt or p.namespace == "bank":
            assert p.node_name not in drained, p.key


def hybrid_cluster() -> tuple[ClusterObjects, PlanRules]:
    """Everything that a plan weighs, at once."""
    pods = [p for i in range(6) for p in make_workload(f"w{i}", 3 + i, cpu=300 + 250 * i, gib=1 + i / 2)]
    waiting = make_workload("late", 3, cpu=2500)
    objects = make_cluster(pods, per_node=2)
    budgets = (DisruptionBudget("shop", "w3", app_selector("w3"), min_available="60%"),)
    rules = PlanRules(
        max_pool_share_ratio=0.34,
        max_cluster_pool_share_ratio=0.6,
        max_zone_share_ratio=0.7,
        headroom=(HeadroomShape(900, GIB, 2),),
    )
    return replace(objects, pods=(*objects.pods, *waiting), budgets=budgets), rules


@pytest.mark.slow
def test_a_plan_for_a_cluster_does_not_depend_on_how_this_process_hashes() -> None:
    code = (
        "from tests.unit.optimizer.domain.test_monotony import *;"
        "objects, rules = hybrid_cluster();"
        "print(repr(plan(objects, MARKET, rules, TEMPLATE)))"
    )
    told = printed(code)
    assert "MoveDraft(" in told[0]
    assert told[0] == told[1]
