"""Where a Savings Plan is used up, what a node that goes sets free of it covers others."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.optimizer.domain import commitments, explain
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.margins import margin
from services.optimizer.domain.offers import Market
from services.optimizer.domain.planning import plan, study
from services.optimizer.domain.pools import price_of
from services.optimizer.domain.rules import Commitments, PlanRules, ReservedInstances, SavingsPlan
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, Node, Pod, PodPhase
from tests.builders import make_node
from tests.unit.optimizer.domain.carrying_out import carry_out
from tests.unit.optimizer.domain.market import (
    ON_DEMAND,
    PRICES,
    TEMPLATE,
    TYPES,
    YESTERDAY,
    make_market,
    make_workload,
)

MARKET = make_market(spot_ratio=None)
RATES = {name: round(price * 0.6, 5) for name, price in PRICES.items()}


def cluster(*running: tuple[str, int], cpu: int = 1000, kept: Sequence[int] = ()) -> ClusterObjects:
    """Give nodes of these types with so many pods each; the pods of those `kept` must not be disturbed."""
    nodes: list[Node] = []
    pods: list[Pod] = []
    for number, (name, replicas) in enumerate(running):
        kind = TYPES[name]
        nodes.append(
            make_node(
                f"n{number}",
                cpu=kind.vcpus * 1000 - 80,
                gib=kind.memory_bytes / 2**30 * 0.85,
                instance_type=name,
                created_at=YESTERDAY,
            )
        )
        pods += [
            replace(
                pod,
                node_name=f"n{number}",
                phase=PodPhase.RUNNING,
                is_ready=True,
                do_not_disrupt=number in kept,
            )
            for pod in make_workload(f"w{number}", replicas, cpu=cpu, gib=0.5)
        ]
    return ClusterObjects(nodes=tuple(nodes), pods=tuple(pods))


def compute(dollars: float, rates: dict[str, float] = RATES) -> Commitments:
    return Commitments(savings_plans=(SavingsPlan(usd_per_hour=dollars, rates=rates),))


def planned(objects: ClusterObjects, bought: Commitments, market: Market = MARKET) -> PlanDraft:
    return plan(objects, market, replace(ON_DEMAND, commitments=bought), TEMPLATE)


def listed(nodes: Sequence[Node]) -> list[StandingNode]:
    prices = MARKET.prices()
    return [StandingNode(n, price_of(n, prices, TEMPLATE), (), None) for n in nodes]


def billed(nodes: Sequence[StandingNode], bought: Commitments) -> float:
    """Give what AWS would bill beside the commitments."""
    extra = commitments.bill(nodes, bought).extra_micro_usd
    return sum(extra.get(n.node.name, n.micro_usd) for n in nodes) / 1e6


def test_a_covered_node_of_the_wrong_kind_goes_since_its_dollars_cover_what_replaces_it() -> None:
    # Fifteen cores of an r5 take as many dollars of the plan as those of a c5 and half of those it has beside it.
    objects = cluster(("r5.4xlarge", 15), ("c5.2xlarge", 7))
    bought = compute(RATES["r5.4xlarge"])
    draft = planned(objects, bought)
    [move] = draft.moves
    assert move.drains == ("n0",)
    assert [x.offers[0].pool.instance_type for x in move.launches] == ["c5.4xlarge"]
    assert draft.cost_before_usd_per_hour == pytest.approx(0.34)
    assert draft.cost_after_usd_per_hour == pytest.approx(0.68 + 0.34 - 1.008)
    assert move.savings_usd_per_hour == pytest.approx(0.328)
    done = carry_out(objects, draft, seed=1)
    assert done.homeless == ()
    assert planned(done.objects, bought).moves == ()


def test_a_fleet_that_would_leave_the_dollars_unused_is_no_saving() -> None:
    # At list price the r5 is too dear; but without it nothing is left to cover.
    objects = cluster(("r5.4xlarge", 15))
    assert planned(objects, compute(RATES["r5.4xlarge"])).moves == ()
    draft = planned(objects, compute(RATES["r5.4xlarge"] * 0.99))
    assert draft.moves == ()
    assert draft.cost_after_usd_per_hour == pytest.approx(0.01 * PRICES["r5.4xlarge"], abs=1e-4)


@pytest.mark.parametrize(
    ("dollars", "worth"),
    [
        pytest.param(0.1, 2, id="part of what saves most"),
        pytest.param(0.192, 1.25, id="all of that, to the dollar"),
        pytest.param(0.2, 1.25, id="part of the next"),
        pytest.param(0.26, None, id="all there is"),
        pytest.param(9, None, id="more than there is"),
    ],
)
def test_the_last_dollar_saves_what_is_covered_in_part_or_comes_next(
    dollars: float, worth: float | None
) -> None:
    nodes = listed(cluster(("m5.xlarge", 1), ("m5.xlarge", 1), ("c5.large", 1)).nodes)
    found = margin(nodes, compute(dollars, {"m5.xlarge": 0.096, "c5.large": 0.068, "r5.large": 0.126}))
    assert (None if found is None else found.worth) == worth


def test_several_plans_count_as_one_where_their_rates_are_the_same_and_are_not_followed_else() -> None:
    nodes = listed(cluster(("m5.xlarge", 1)).nodes)
    [plan_] = compute(0.05).savings_plans
    same = margin(nodes, Commitments(savings_plans=(plan_, replace(plan_, usd_per_hour=0.01))))
    assert same is not None
    assert same.prepaid_micro_usd == 100_000, "six cents at six tenths of the list price"
    other = replace(plan_, rates={"m5.xlarge": 0.1})
    assert margin(nodes, Commitments(savings_plans=(plan_, other))) is None
    assert margin(nodes, Commitments()) is None


def test_what_a_reservation_covers_takes_nothing_of_the_plan() -> None:
    nodes = listed(cluster(("m5.xlarge", 1), ("m5.xlarge", 1)).nodes)
    one = ReservedInstances(instance_type="m5.xlarge", count=1)
    plans = compute(RATES["m5.xlarge"]).savings_plans
    assert margin(nodes, Commitments(savings_plans=plans)) is not None
    assert margin(nodes, Commitments(reserved_instances=(one,), savings_plans=plans)) is None


SMALL = ("m5.large", "m5.xlarge", "c5.large")
HOLDS = {"m5.large": 2, "m5.xlarge": 4, "c5.large": 2}
"""Pods of 900 millicores."""


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SMALL), st.integers(1, 4)), min_size=1, max_size=4),
    st.floats(0.1, 1.2),
    st.sampled_from([(0.6, 0.6), (0.5, 0.7), (0.7, 0.55)]),
    st.sets(st.integers(0, 3), max_size=1),
    st.integers(1, 2),
)
def test_a_plan_is_told_as_it_will_be_billed_and_no_fleet_undercuts_its_bound(
    running: list[tuple[str, int]], share: float, discounts: tuple[float, float], kept: set[int], plans: int
) -> None:
    running = [(name, min(replicas, HOLDS[name])) for name, replicas in running]
    objects = cluster(*running, cpu=900, kept=sorted(kept))
    rates = {n: round(PRICES[n] * discounts[n.startswith("c5")], 5) for n in SMALL}
    dollars = round(share * sum(rates[name] for name, _ in running) / plans, 4)
    bought = Commitments(savings_plans=plans * compute(dollars, rates).savings_plans)
    offers = tuple(o for o in MARKET.offers if o.pool.instance_type in SMALL and o.pool.zone_id == "use1-az1")
    draft = planned(objects, bought, replace(MARKET, offers=offers))
    assert draft.unplaced == ()
    assert draft.cost_before_usd_per_hour == pytest.approx(billed(listed(objects.nodes), bought), abs=1e-5)
    if margin(listed(objects.nodes), bought) is not None:
        after = billed(listed([n.node for n in draft.nodes]), bought)
        assert draft.cost_after_usd_per_hour == pytest.approx(after, abs=1e-5)
    best = _cheapest(objects, running, kept, bought)
    assert draft.lower_bound_usd_per_hour is not None
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour <= best + 1e-5
    assert draft.objective_usd_per_hour >= best - 1e-5


def _cheapest(
    objects: ClusterObjects, running: Sequence[tuple[str, int]], kept: set[int], bought: Commitments
) -> float:
    """Try every fleet."""
    pods = sum(replicas for _, replicas in running)
    choices = [(True,) if number in kept else (True, False) for number in range(len(running))]
    best = float("inf")
    for stays in product(*choices):
        standing = [n for n, is_there in zip(objects.nodes, stays, strict=True) if is_there]
        room = sum(HOLDS[name] for (name, _), is_there in zip(running, stays, strict=True) if is_there)
        for number in product(range(4), repeat=len(SMALL)):
            if room + sum(n * HOLDS[name] for n, name in zip(number, SMALL, strict=True)) < pods:
                continue
            new = [
                make_node(f"new-{name}-{i}", instance_type=name)
                for n, name in zip(number, SMALL, strict=True)
                for i in range(n)
            ]
            best = min(best, billed(listed([*standing, *new]), bought))
    return best


def test_a_covered_node_stays_where_the_other_pods_go_to_spot() -> None:
    objects = cluster(("m5.2xlarge", 7), ("m5.2xlarge", 7))
    rules = replace(PlanRules(), commitments=compute(RATES["m5.2xlarge"]))
    draft = plan(objects, make_market(), rules, TEMPLATE)
    assert draft.cost_before_usd_per_hour == pytest.approx(PRICES["m5.2xlarge"])
    stay = [(n.usd_per_hour, len(n.pods)) for n in draft.nodes if n.existing is not None]
    assert stay == [(0.0, 7)]
    assert {n.node.capacity_type for n in draft.nodes if n.existing is None} == {CapacityType.SPOT}


def test_where_the_rest_goes_to_spot_the_bound_is_proven_at_the_price_of_a_dollar_that_shows_most() -> None:
    # Where nothing is left on-demand, a dollar is worth what spot costs instead, not what it saves today.
    objects = cluster(*[("m5.2xlarge", 7)] * 6)
    rules = replace(PlanRules(), commitments=compute(RATES["m5.2xlarge"]))
    draft = plan(objects, make_market(), rules, TEMPLATE)
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour is not None
    gap = draft.objective_usd_per_hour - draft.lower_bound_usd_per_hour
    assert 0 <= gap < 0.12 * draft.objective_usd_per_hour


def test_an_explanation_tells_nodes_at_what_they_add_to_the_bill_as_the_plan_does() -> None:
    objects = cluster(("r5.4xlarge", 15), ("c5.2xlarge", 7))
    bought = compute(RATES["r5.4xlarge"])
    found = study(objects, MARKET, replace(ON_DEMAND, commitments=bought), TEMPLATE)
    told = {n.node.name: n.usd_per_hour for n in found.draft.nodes}
    assert told["n1"] == 0.0
    assert {n.node.name: n.offer.usd_per_hour for n in found.after.nodes if n.offer is not None} == told
    assert sum(n.micro_usd for n in found.before.nodes) == pytest.approx(0.34e6)
    for name, price in told.items():
        assert f"{price:.4g} USD/h" in explain.explain(found, name).placement
