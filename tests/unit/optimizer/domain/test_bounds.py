"""A proven bound is never above what any fleet costs; a plan may be stopped at any moment; nothing depends on order."""

import functools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.optimizer.domain.columns.problem import Ending
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.offers import MICRO, Market, Offer
from services.optimizer.domain.planning import CUT_SHORT, PlanMode, plan, study
from services.optimizer.domain.rules import PlanRules, Strategy
from shared.kernel.pools import CapacityType
from shared.kernel.resources import Resources
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import (
    ClusterObjects,
    LabelSelector,
    Operator,
    Owner,
    Pod,
    PodAffinityTerm,
    Requirement,
    TopologySpread,
)
from tests.builders import make_instance_type, make_node, make_pod, make_pool
from tests.hash_seeds import printed
from tests.unit.optimizer.domain import stopping
from tests.unit.optimizer.domain.market import (
    ON_DEMAND,
    TEMPLATE,
    TYPES,
    carried_out,
    make_cluster,
    make_market,
    make_workload,
)

MARKET = make_market()
RULES = PlanRules()
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def _selector(app: str) -> LabelSelector:
    return LabelSelector((Requirement("app", Operator.IN, (app,)),))


def _rules(kind: str, app: str) -> dict[str, object]:
    if kind in ("zones", "hosts"):
        key = ZONE if kind == "zones" else HOST
        return {"topology_spread": (TopologySpread(key, 1, "DoNotSchedule", _selector(app)),)}
    if kind == "apart":
        return {"pod_anti_affinity": (PodAffinityTerm(HOST, _selector(app)),)}
    if kind == "together":
        return {"pod_affinity": (PodAffinityTerm(ZONE, _selector(app)),)}
    return {}


@st.composite
def workloads(draw: st.DrawFn, *, most: int = 6, prefix: str = "w") -> list[Pod]:
    pods: list[Pod] = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(("free", "free", "zones", "hosts", "apart", "together")))
        pods += make_workload(
            f"{prefix}{number}",
            draw(st.integers(1, most)),
            cpu=draw(st.integers(10, 3900)),
            gib=draw(st.integers(1, 60)) / 8,
            **_rules(kind, f"{prefix}{number}"),
        )
    return pods


def _partitions(items: Sequence[Pod]) -> Iterator[list[list[Pod]]]:
    if not items:
        yield []
        return
    for rest in _partitions(items[1:]):
        yield [[items[0]], *rest]
        for i, block in enumerate(rest):
            yield [*rest[:i], [items[0], *block], *rest[i + 1 :]]


def _cheapest(pods: Sequence[Pod], market: Market) -> float:
    """Try every way to divide the pods among nodes, each of them the cheapest type that holds its share."""
    draft = study(ClusterObjects(pods=tuple(pods)), market, ON_DEMAND, TEMPLATE, mode=PlanMode.GREENFIELD)
    nodes = [
        (o.micro_usd, n) for o, n in zip(draft.packer.shelf.offers, draft.packer.shelf.nodes, strict=True)
    ]

    def price(block: Sequence[Pod]) -> float:
        total = sum((p.requests for p in block), Resources())
        able = (usd for usd, n in nodes if total.fits_in(n.allocatable) and len(block) <= n.max_pods)
        return min(able, default=float("inf"))

    return min(sum(map(price, blocks)) for blocks in _partitions(list(pods))) / MICRO


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(100, 12000), st.integers(1, 200)), min_size=1, max_size=5))
def test_no_division_of_few_pods_undercuts_the_bound(sizes: list[tuple[int, int]]) -> None:
    market = make_market(spot_ratio=None)
    pods = [p for i, (cpu, gib) in enumerate(sizes) for p in make_workload(f"w{i}", 1, cpu=cpu, gib=gib / 8)]
    draft = plan(ClusterObjects(pods=tuple(pods)), market, ON_DEMAND, TEMPLATE, mode=PlanMode.GREENFIELD)
    held = [p for p in pods if p.key not in {u.pod for u in draft.unplaced}]
    if held:
        assert draft.lower_bound_usd_per_hour is not None
        assert draft.lower_bound_usd_per_hour <= _cheapest(held, market) + 1e-9


def _check(objects: ClusterObjects, draft: PlanDraft, *, launches_come_later: bool = False) -> None:
    """Check that no pod is lost, that none came where it may not, and that the bound is one.

    Pods that wait may stand on nodes of today as kube-scheduler lets them in before a launch opens another zone.
    """
    after = carried_out(objects, draft)
    placed = [p for p in after.pods if p.node_name is not None]
    lost = {p.key for p in after.pods} - {p.key for p in placed} - {u.pod for u in draft.unplaced}
    assert not lost
    here = {n.name for n in (objects.nodes if launches_come_later else after.nodes)}
    view = ClusterView.of(replace(after, nodes=tuple(n for n in after.nodes if n.name in here), pods=()))
    waiting = sorted(placed, key=lambda p: (bool(p.topology_spread), p.key))
    waiting = _let_in(waiting, view)
    for node in after.nodes:
        if node.name not in here:
            view.add_node(node)
    waiting = _let_in(waiting, view)
    assert waiting == []
    if draft.lower_bound_usd_per_hour is not None and draft.objective_usd_per_hour is not None:
        assert draft.lower_bound_usd_per_hour <= draft.objective_usd_per_hour + 1e-9


def _let_in(pods: list[Pod], view: ClusterView) -> list[Pod]:
    """Place pods where they are meant to be, in some order that the scheduler could have seen; give the rest."""
    waiting, progress = pods, True
    while waiting and progress:
        rest = []
        for pod in waiting:
            name = pod.node_name or ""
            if name in view.node_names and view.fits(pod, name):
                view.place(pod, name)
            else:
                rest.append(pod)
        progress, waiting = len(rest) < len(waiting), rest
    return waiting


@settings(max_examples=30)
@given(workloads(), st.sampled_from(Strategy))
def test_a_new_fleet_keeps_to_all_rules_and_costs_no_less_than_the_bound(
    pods: list[Pod], strategy: Strategy
) -> None:
    objects = ClusterObjects(pods=tuple(pods))
    rules = replace(RULES, strategy=strategy)
    draft = plan(objects, MARKET, rules, TEMPLATE, mode=PlanMode.GREENFIELD)
    _check(objects, draft)


@settings(max_examples=20)
@given(workloads(), workloads(most=4, prefix="late"))
def test_room_for_pods_that_wait_keeps_to_all_rules_and_costs_no_less_than_the_bound(
    running: list[Pod], waiting: list[Pod]
) -> None:
    free = [replace(p, topology_spread=(), pod_affinity=(), pod_anti_affinity=()) for p in running]
    objects = make_cluster(free)
    objects = replace(objects, pods=(*objects.pods, *waiting))
    draft = plan(objects, MARKET, RULES, TEMPLATE, mode=PlanMode.PENDING)
    _check(objects, draft, launches_come_later=True)
    assert draft.cost_after_usd_per_hour is not None
    assert (draft.lower_bound_usd_per_hour or 0) >= (draft.cost_before_usd_per_hour or 0) - 1e-9


SOME = [
    p
    for i, kind in enumerate(("free", "zones", "hosts", "apart", "together", "free"))
    for p in make_workload(f"w{i}", 5 + i, cpu=300 + 170 * i, gib=0.5 + i, **_rules(kind, f"w{i}"))
]


@pytest.mark.parametrize("mode", [PlanMode.GREENFIELD, PlanMode.SAVE])
@pytest.mark.parametrize("calls", [0, 1, 2, 3, 5, 8, 13, 40, 100, 300])
def test_a_plan_that_is_stopped_after_any_number_of_questions_breaks_nothing(
    mode: PlanMode, calls: int
) -> None:
    objects, whole = _whole(mode)
    draft = plan(objects, MARKET, RULES, TEMPLATE, mode=mode, should_stop=stopping.after(calls))
    _check(objects, draft)
    assert not draft.unplaced
    assert (draft.ended_by is Ending.STOPPED) == (CUT_SHORT in draft.notes)
    assert draft.ended_by is Ending.STOPPED or calls > 2, "who may ask hardly anything is stopped"
    assert draft.lower_bound_usd_per_hour is not None
    assert whole.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour <= whole.objective_usd_per_hour + 1e-9, "a better fleet was found"


@functools.cache
def _whole(mode: PlanMode) -> tuple[ClusterObjects, PlanDraft]:
    free = [replace(p, topology_spread=(), pod_affinity=(), pod_anti_affinity=()) for p in SOME]
    objects = make_cluster(free) if mode is PlanMode.SAVE else ClusterObjects(pods=tuple(SOME))
    return objects, plan(objects, MARKET, RULES, TEMPLATE, mode=mode)


def test_a_plan_without_a_bound_says_too_that_it_was_cut() -> None:
    strange = make_node("strange", instance_type="z9.large")
    cluster = make_cluster(make_workload("web", 4), per_node=1)
    objects = replace(cluster, nodes=(*cluster.nodes, strange))
    draft = plan(objects, MARKET, RULES, TEMPLATE, should_stop=lambda: True)
    assert draft.lower_bound_usd_per_hour is None
    assert draft.ended_by is Ending.STOPPED
    assert CUT_SHORT in draft.notes


def test_a_plan_that_may_take_its_time_says_that_it_was_not_cut() -> None:
    draft = plan(ClusterObjects(pods=tuple(SOME)), MARKET, RULES, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert draft.ended_by is not Ending.STOPPED
    assert CUT_SHORT not in draft.notes
    assert "spreading over zones and nodes" in draft.bound_leaves_out


@settings(max_examples=10)
@given(workloads(), st.randoms(use_true_random=False))
def test_a_new_fleet_does_not_depend_on_the_order_of_the_input(pods: list[Pod], rng: random.Random) -> None:
    shuffled, offers = list(pods), list(MARKET.offers)
    rng.shuffle(shuffled)
    rng.shuffle(offers)
    drafts = [
        plan(ClusterObjects(pods=tuple(p)), m, RULES, TEMPLATE, mode=PlanMode.GREENFIELD)
        for p, m in ((pods, MARKET), (shuffled, replace(MARKET, offers=tuple(offers))))
    ]
    assert repr(drafts[0]) == repr(drafts[1])


def test_a_new_fleet_does_not_depend_on_how_this_process_hashes() -> None:
    code = (
        "from tests.unit.optimizer.domain.test_bounds import *;"
        "print(repr(plan(ClusterObjects(pods=tuple(SOME)), MARKET, RULES, TEMPLATE, mode=PlanMode.GREENFIELD)))"
    )
    told = printed(code)
    assert told[0] == told[1]


def test_the_bound_knows_that_other_pods_may_use_what_is_left_of_a_node_bought_for_its_gpu() -> None:
    sizes = (("g4dn.xlarge", 4), ("g5.2xlarge", 8))
    gpus = {n: make_instance_type(n, vcpus=v, gib=4 * v, gpus={"nvidia.com/gpu": 1}) for n, v in sizes}
    offers = [Offer(make_pool(name), price) for name, price in (("g4dn.xlarge", 0.526), ("g5.2xlarge", 1.2))]
    market = Market({**TYPES, **gpus}, (*make_market().offers, *offers))
    dear = make_node("dear", cpu=7900, gib=29, gpu=1, instance_type="g5.2xlarge")
    render = make_pod("render", gpu=1, node="dear", app="render", owner=Owner("Deployment", "render"))
    cluster = make_cluster(make_workload("web", 4))
    objects = replace(cluster, nodes=(*cluster.nodes, dear), pods=(*cluster.pods, render))
    draft = plan(objects, market, PlanRules(), TEMPLATE)
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour is not None
    assert [len(n.pods) for n in draft.nodes] == [5]
    assert draft.lower_bound_usd_per_hour <= draft.objective_usd_per_hour


def test_the_bound_knows_that_spot_pods_may_use_what_is_left_of_a_node_that_one_pod_asked_for() -> None:
    asks = make_pod(
        "asks",
        app="asks",
        owner=Owner("Job", "asks"),
        node_selector={"karpenter.sh/capacity-type": "on-demand"},
    )
    nodes = [
        make_node(f"s{i}", cpu=1900, gib=6.5, instance_type="m5.large", capacity_type=CapacityType.SPOT)
        for i in range(2)
    ]
    web = [replace(p, node_name=f"s{i}") for i, p in enumerate(make_workload("web", 2, cpu=300))]
    objects = ClusterObjects(nodes=tuple(nodes), pods=(*web, asks))
    draft = plan(objects, make_market(), PlanRules(strategy=Strategy.SPOT), TEMPLATE)
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour is not None
    assert [len(n.pods) for n in draft.nodes] == [3]
    assert draft.lower_bound_usd_per_hour <= draft.objective_usd_per_hour
