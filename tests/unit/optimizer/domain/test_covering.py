"""What Savings Plans have left goes to the launches that it saves most on."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.optimizer.domain import commitments
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.offers import Market
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import Commitments, PlanRules, SavingsPlan, Strategy
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects, NodeSelectorTerm, Operator, Pod, Requirement
from tests.unit.optimizer.domain.carrying_out import carry_out
from tests.unit.optimizer.domain.market import (
    ON_DEMAND,
    PRICES,
    TEMPLATE,
    make_cluster,
    make_market,
    make_workload,
)

RATES = {name: round(price * 0.6, 5) for name, price in PRICES.items()}


def with_plans(rules: PlanRules, *plans: SavingsPlan) -> PlanRules:
    return replace(rules, commitments=Commitments(savings_plans=plans))


def compute(dollars: float) -> SavingsPlan:
    return SavingsPlan(usd_per_hour=dollars, rates=RATES)


def greenfield(pods: list[Pod], rules: PlanRules, market: Market | None = None) -> PlanDraft:
    objects = ClusterObjects(pods=tuple(pods))
    return plan(objects, market or make_market(), rules, TEMPLATE, mode=PlanMode.GREENFIELD)


def bought(draft: PlanDraft) -> Counter[CapacityType]:
    return Counter(n.node.capacity_type for n in draft.nodes if n.node.capacity_type is not None)


def dollars_used(draft: PlanDraft) -> float:
    """Give the rates of all on-demand nodes."""
    return sum(
        RATES[n.node.instance_type or ""]
        for n in draft.nodes
        if n.node.capacity_type is CapacityType.ON_DEMAND
    )


@pytest.mark.parametrize("dollars", [0.3, 0.6, 1.2])
def test_on_demand_is_bought_up_to_the_commitment_and_spot_beyond(dollars: float) -> None:
    pods = make_workload("web", 60, cpu=900, gib=3)
    without = greenfield(pods, PlanRules())
    assert bought(without)[CapacityType.ON_DEMAND] == 0
    draft = greenfield(pods, with_plans(PlanRules(), compute(dollars)))
    assert draft.unplaced == ()
    assert bought(draft)[CapacityType.SPOT] > 0
    # Most of it is used, as far as so few nodes add up to it; and little beyond: the last may be paid for in part.
    assert dollars * 0.8 <= dollars_used(draft) <= dollars + RATES["m5.xlarge"]
    assert draft.cost_after_usd_per_hour is not None
    assert without.cost_after_usd_per_hour is not None
    # A dollar at 60 % of list is worth 0.35 / 0.6 of a dollar of spot.
    assert draft.cost_after_usd_per_hour <= without.cost_after_usd_per_hour - 0.75 * dollars * 0.35 / 0.6
    assert draft.lower_bound_usd_per_hour is not None
    assert draft.objective_usd_per_hour is not None
    assert 0 < draft.lower_bound_usd_per_hour <= draft.objective_usd_per_hour


def test_where_nothing_else_is_sold_the_commitment_goes_to_the_types_it_saves_most_on() -> None:
    pods = make_workload("web", 40, cpu=900, gib=3)
    family = SavingsPlan(
        usd_per_hour=0.4,
        rates={n: p * 0.3 for n, p in PRICES.items() if n.startswith("r5")},
        instance_family="r5",
    )
    market = make_market(spot_ratio=None)
    assert not any(
        (n.node.instance_type or "").startswith("r5") for n in greenfield(pods, ON_DEMAND, market).nodes
    )
    draft = greenfield(pods, with_plans(ON_DEMAND, family), market)
    covered = [n for n in draft.nodes if (n.node.instance_type or "").startswith("r5")]
    assert covered
    assert sum(n.usd_per_hour or 0.0 for n in covered) < 0.2
    assert draft.assurance is not None
    assert draft.assurance.commitments is not None
    assert draft.assurance.commitments.unused_usd_per_hour < 0.1


def test_pods_that_are_bound_to_a_zone_are_covered_there() -> None:
    zone = Requirement("topology.kubernetes.io/zone", Operator.IN, ("us-east-1c",))
    pods = [
        replace(p, node_affinity=(NodeSelectorTerm((zone,)),))
        for p in make_workload("web", 12, cpu=900, gib=3)
    ]
    draft = greenfield(pods, with_plans(PlanRules(), compute(5)))
    assert {n.node.zone for n in draft.nodes} == {"us-east-1c"}
    assert draft.cost_after_usd_per_hour == 0


def test_a_rate_of_less_than_a_micro_dollar_pays_for_everything() -> None:
    savings = SavingsPlan(usd_per_hour=0.01, rates=dict.fromkeys(PRICES, 1e-7))
    draft = greenfield(make_workload("web", 6, cpu=900, gib=3), with_plans(PlanRules(), savings))
    assert set(bought(draft)) == {CapacityType.ON_DEMAND}
    assert draft.cost_after_usd_per_hour == 0


def test_a_plan_is_of_no_use_where_policy_wants_spot() -> None:
    pods = make_workload("web", 12, cpu=900, gib=3)
    draft = greenfield(pods, with_plans(PlanRules(strategy=Strategy.SPOT), compute(5)))
    assert bought(draft)[CapacityType.ON_DEMAND] == 0


def test_a_fleet_moves_to_what_is_paid_for_and_stays_there() -> None:
    rules = with_plans(ON_DEMAND, compute(0.3))
    objects = make_cluster(make_workload("web", 24, cpu=900, gib=3), per_node=3)
    family = SavingsPlan(
        usd_per_hour=0.5,
        rates={n: p * 0.4 for n, p in PRICES.items() if n.startswith("c5")},
        instance_family="c5",
    )
    rules = with_plans(ON_DEMAND, family)
    market = make_market(spot_ratio=None)
    draft = plan(objects, market, rules, TEMPLATE)
    assert draft.moves
    assert any(n.usd_per_hour == 0 and (n.node.instance_type or "").startswith("c5") for n in draft.nodes)
    assert any("paid for by a commitment" in m.explanation for m in draft.moves)
    done = carry_out(objects, draft, seed=1)
    assert done.homeless == ()
    assert plan(done.objects, market, rules, TEMPLATE).moves == ()


def test_pods_that_wait_get_what_is_paid_for_first() -> None:
    rules = with_plans(PlanRules(), compute(0.2))
    objects = ClusterObjects(pods=tuple(make_workload("web", 4, cpu=900, gib=3)))
    draft = plan(objects, make_market(), rules, TEMPLATE, mode=PlanMode.PENDING)
    assert [n.usd_per_hour for n in draft.nodes] == [0.0] * len(draft.nodes)
    assert bought(draft)[CapacityType.SPOT] == 0


SMALL = ("m5.large", "m5.xlarge", "c5.large")


@settings(max_examples=25, deadline=None)
@example(1, 0.0234375, 0.5, 0.3, 0.0)
@given(
    st.integers(1, 9),
    st.floats(0.02, 0.6),
    st.floats(0.3, 0.95),
    st.sampled_from([None, 0.3, 0.5, 0.8]),
    st.sampled_from([0.0, 0.5]),
)
def test_no_fleet_undercuts_the_bound_however_its_commitment_is_spent(
    pods: int, dollars: float, discount: float, spot_ratio: float | None, family: float
) -> None:
    market = make_market(spot_ratio=spot_ratio, chance=0.0)
    offers = tuple(o for o in market.offers if o.pool.instance_type in SMALL and o.pool.zone_id == "use1-az1")
    market = replace(market, offers=offers)
    plans = [SavingsPlan(usd_per_hour=dollars, rates={n: PRICES[n] * discount for n in SMALL})]
    if family:
        rates = {n: PRICES[n] * discount * 0.9 for n in SMALL if n.startswith("m5")}
        plans.append(SavingsPlan(usd_per_hour=dollars * family, rates=rates, instance_family="m5"))
    # A single replica would stay off spot by itself.
    rules = with_plans(PlanRules(max_pool_share_ratio=1.0, spot_workloads=("*/*",)), *plans)
    draft = greenfield(make_workload("web", pods, cpu=900, gib=1), rules, market)
    assert draft.unplaced == ()
    # Of 900 millicores, a large node holds 2, an xlarge one 4.
    holds = {"large": 2, "xlarge": 4}
    kinds = list(offers)
    best = float("inf")
    for number in product(range(6), repeat=len(kinds)):
        if (
            sum(n * holds[o.pool.instance_type.split(".")[1]] for n, o in zip(number, kinds, strict=True))
            < pods
        ):
            continue
        if sum(number) > pods:
            continue
        fleet = [o for n, o in zip(number, kinds, strict=True) for _ in range(n)]
        on_demand = [o for o in fleet if not o.is_spot]
        extra = commitments.spent(on_demand, plans).extra_micro_usd
        price = sum(o.micro_usd for o in fleet if o.is_spot)
        price += sum(o.micro_usd if e is None else e for o, e in zip(on_demand, extra, strict=True))
        best = min(best, price / 1e6)
    assert draft.lower_bound_usd_per_hour is not None
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour <= best + 1e-6
    assert draft.objective_usd_per_hour >= best - 1e-6
