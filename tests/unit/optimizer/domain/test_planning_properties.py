"""What holds for every plan, whatever the cluster."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import Consolidation, Objective, PlanRules
from shared.kernel.resources import Resources
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects, Pod
from tests.unit.optimizer.domain.market import (
    TEMPLATE,
    carried_out,
    make_cluster,
    make_market,
    make_workload,
)

MARKET = make_market()
RULES = PlanRules()


@st.composite
def workloads(draw: st.DrawFn) -> list[Pod]:
    pods: list[Pod] = []
    for number in range(draw(st.integers(1, 6))):
        pods += make_workload(
            f"w{number}",
            draw(st.integers(1, 7)),
            cpu=draw(st.integers(10, 3900)),
            gib=draw(st.integers(1, 100)) / 8,
        )
    return pods


def _check_bound(draft: PlanDraft) -> None:
    bound, objective = draft.lower_bound_usd_per_hour, draft.objective_usd_per_hour
    assert bound is not None
    assert objective is not None
    assert bound <= objective + 1e-9
    assert draft.gap_ratio is None or draft.gap_ratio >= 0


@settings(max_examples=25)
@given(workloads())
def test_a_new_fleet_holds_every_pod_once_and_no_node_more_than_it_can(pods: list[Pod]) -> None:
    draft = plan(ClusterObjects(pods=tuple(pods)), MARKET, RULES, TEMPLATE, mode=PlanMode.GREENFIELD)
    held = [p for n in draft.nodes for p in n.pods]
    assert sorted(held + [u.pod for u in draft.unplaced]) == sorted(p.key for p in pods)
    by_key = {p.key: p for p in pods}
    for n in draft.nodes:
        total = sum((by_key[p].requests for p in n.pods), Resources())
        assert total.fits_in(n.node.allocatable)
        assert len(n.pods) <= n.node.max_pods
    _check_bound(draft)


@settings(max_examples=15)
@given(workloads(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(pods: list[Pod], random: object) -> None:
    objects = make_cluster(pods, per_node=1)
    shuffled = list(objects.pods)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    offers = list(MARKET.offers)
    random.shuffle(offers)  # type: ignore[attr-defined]
    other = replace(objects, pods=tuple(shuffled), nodes=tuple(reversed(objects.nodes)))
    market = replace(MARKET, offers=tuple(offers))
    assert plan(objects, MARKET, RULES, TEMPLATE) == plan(other, market, RULES, TEMPLATE)


@settings(max_examples=20)
@given(workloads(), st.sampled_from(Objective), st.integers(1, 3))
def test_no_bound_is_above_the_objective(pods: list[Pod], goal: Objective, per_node: int) -> None:
    objects = make_cluster(pods, per_node=per_node)
    rules = replace(RULES, objective=goal, usd_per_restart=0.05)
    _check_bound(plan(objects, MARKET, rules, TEMPLATE))


@settings(max_examples=25)
@given(workloads())
def test_a_changed_cluster_keeps_its_pods_within_the_rules_and_costs_less(pods: list[Pod]) -> None:
    objects = make_cluster(pods, per_node=1)
    draft = plan(objects, MARKET, RULES, TEMPLATE)
    assert sorted(p for n in draft.nodes for p in n.pods) == sorted(p.key for p in pods)
    after = carried_out(objects, draft)
    view = ClusterView.of(replace(after, pods=()))
    for pod in after.pods:
        assert view.fits(pod, pod.node_name or "")
        view.place(pod, pod.node_name or "")
    assert draft.cost_before_usd_per_hour is not None
    assert draft.cost_after_usd_per_hour is not None
    assert draft.cost_after_usd_per_hour <= draft.cost_before_usd_per_hour
    gone = [name for m in draft.moves for name in m.drains]
    assert len(gone) == len(set(gone))
    assert set(gone) <= {n.name for n in objects.nodes}
    assert not set(gone) & {n.existing for n in draft.nodes}


@settings(max_examples=15)
@given(workloads(), st.integers(1, 3), st.integers(1, 3), st.integers(4000, 15000))
def test_where_nodes_may_only_go_a_launch_holds_none_of_the_pods_that_run(
    pods: list[Pod], per_node: int, replicas: int, millicores: int
) -> None:
    objects = make_cluster(pods, per_node=per_node)
    waiting = make_workload("waiting", replicas, cpu=millicores)
    rules = replace(RULES, consolidation=Consolidation.DELETE_ONLY)
    draft = plan(replace(objects, pods=(*objects.pods, *waiting)), MARKET, rules, TEMPLATE)
    launched = {key for n in draft.nodes if n.existing is None for key in n.pods}
    assert launched <= {p.key for p in waiting}
    assert not any(m.launches and m.drains for m in draft.moves)
