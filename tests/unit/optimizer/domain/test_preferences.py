"""What pods would rather have is a small cost in the choice of what to buy."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.optimizer.domain import objectives, preferences
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.explain import explain
from services.optimizer.domain.planning import PlanMode, plan, study
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.spot_tolerance import spot_judge
from shared.kernel.workload import (
    ClusterObjects,
    NodeSelectorTerm,
    Operator,
    Pod,
    PreferredTerm,
    Requirement,
    Taint,
    TaintEffect,
)
from tests.builders import make_node, make_pod
from tests.unit.optimizer.domain.market import (
    ON_DEMAND,
    TEMPLATE,
    make_cluster,
    make_market,
    make_workload,
)

RULES = PlanRules(max_pool_share_ratio=1.0)
ZONE = "topology.kubernetes.io/zone"
TYPE = "node.kubernetes.io/instance-type"


def wish(key: str, *values: str, weight: int = 100) -> PreferredTerm:
    return PreferredTerm(weight, NodeSelectorTerm((Requirement(key, Operator.IN, values),)))


def wishing(pods: Sequence[Pod], *wishes: PreferredTerm) -> tuple[Pod, ...]:
    return tuple(replace(p, preferred_nodes=wishes) for p in pods)


def greenfield(pods: Sequence[Pod], rules: PlanRules = RULES) -> PlanDraft:
    return plan(ClusterObjects(pods=tuple(pods)), make_market(), rules, TEMPLATE, mode=PlanMode.GREENFIELD)


def zones(draft: PlanDraft) -> set[str | None]:
    return {n.node.zone for n in draft.nodes}


@pytest.mark.parametrize(("weight", "micro"), [(100, 500), (50, 250), (1, 5)])
def test_an_unmet_wish_costs_by_its_weight_and_one_that_is_met_nothing(weight: int, micro: int) -> None:
    (pod,) = wishing([make_pod()], wish(ZONE, "us-east-1b", weight=weight))
    assert preferences.pod_micro_usd(pod, make_node(), RULES) == micro
    assert preferences.pod_micro_usd(pod, make_node(zone="us-east-1b"), RULES) == 0


def test_an_unwelcoming_taint_costs_once_and_a_half_as_much_unless_it_is_tolerated() -> None:
    node = make_node(taints=(Taint("dear", TaintEffect.PREFER_NO_SCHEDULE),))
    assert preferences.pod_micro_usd(make_pod(), node, RULES) == 750
    assert preferences.node_micro_usd(node, [make_pod(), make_pod()], RULES) == 1500
    assert preferences.node_micro_usd(make_node(), [make_pod()], RULES) == 0


def test_of_zones_at_one_price_the_preferred_one_is_taken() -> None:
    pods = make_workload("web", 12)
    assert zones(greenfield(pods, ON_DEMAND)) == {"us-east-1a"}
    assert zones(greenfield(wishing(pods, wish(ZONE, "us-east-1c", weight=1)), ON_DEMAND)) == {"us-east-1c"}


@pytest.mark.parametrize(("weight", "zone"), [(1, "us-east-1a"), (100, "us-east-1b")])
def test_a_wish_is_met_where_it_counts_more_than_the_dearer_pool(weight: int, zone: str) -> None:
    # A spot node in the second zone is dearer by a fiftieth.
    draft = greenfield(wishing(make_workload("web", 12), wish(ZONE, "us-east-1b", weight=weight)))
    assert zones(draft) == {zone}
    assert zones(
        greenfield(
            wishing(make_workload("web", 12), wish(ZONE, "us-east-1b")),
            replace(RULES, usd_per_unmet_preference_hour=0),
        )
    ) == {"us-east-1a"}


def test_pods_of_the_same_size_with_other_wishes_go_different_ways() -> None:
    first = wishing(make_workload("a", 12), wish(TYPE, "m5.2xlarge"))
    second = wishing(make_workload("b", 12), wish(TYPE, "r5.2xlarge"))
    rules = replace(ON_DEMAND, usd_per_unmet_preference_hour=1.0)
    draft = greenfield([*first, *second], rules)
    for node in draft.nodes:
        for pod in node.pods:
            assert node.node.instance_type == ("m5.2xlarge" if pod.startswith("shop/a") else "r5.2xlarge")


def test_a_wish_alone_moves_no_pod() -> None:
    objects = make_cluster(
        wishing(make_workload("web", 14, cpu=1000, gib=3), wish(ZONE, "us-east-1c")), per_node=7
    )
    assert plan(objects, make_market(), ON_DEMAND, TEMPLATE).moves == ()


def test_an_explanation_names_what_an_unmet_wish_counts() -> None:
    pods = wishing(make_workload("web", 12), wish(ZONE, "nowhere"))
    found = study(ClusterObjects(pods=pods), make_market(), RULES, TEMPLATE, mode=PlanMode.GREENFIELD)
    why = explain(found, "web-0").why
    assert any("is not all that it prefers" in text and "0.0005 USD/h" in text for text in why)
    met = study(
        ClusterObjects(pods=wishing(pods, wish(ZONE, "us-east-1a"))),
        make_market(),
        RULES,
        TEMPLATE,
        mode=PlanMode.GREENFIELD,
    )
    assert any("meets what it prefers" in text for text in explain(met, "web-0").why)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 8),
            st.sampled_from([250, 900, 1500]),
            st.sampled_from(["us-east-1a", "us-east-1b", "us-east-1c", "elsewhere"]),
            st.integers(1, 100),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0.0005, 0.02]),
)
def test_the_bound_is_one_of_the_same_objective(
    kinds: list[tuple[int, int, str, int]], dollars: float
) -> None:
    pods = [
        p
        for i, (replicas, cpu, zone, weight) in enumerate(kinds)
        for p in wishing(make_workload(f"w{i}", replicas, cpu=cpu), wish(ZONE, zone, weight=weight))
    ]
    rules = replace(RULES, usd_per_unmet_preference_hour=dollars)
    objects = ClusterObjects(pods=tuple(pods))
    found = study(objects, make_market(), rules, TEMPLATE, mode=PlanMode.GREENFIELD)
    parts = objectives.breakdown(found.after.nodes, spot_judge(objects, rules))
    draft = found.draft
    assert draft.objective_usd_per_hour == pytest.approx((parts.price + parts.risk + parts.preferences) / 1e6)
    assert draft.objective_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour is not None
    assert draft.lower_bound_usd_per_hour <= draft.objective_usd_per_hour + 1e-9
    # No fleet of these pods can do better than that with all wishes for nothing.
    free = greenfield(pods, replace(rules, usd_per_unmet_preference_hour=0))
    assert free.lower_bound_usd_per_hour is not None
    assert free.lower_bound_usd_per_hour <= draft.objective_usd_per_hour + 1e-9
    # Pods for nowhere pay in full, wherever they are.
    hopeless = sum(
        replicas * int(weight * 2 * round(dollars * 1e6) // 200)
        for replicas, _, zone, weight in kinds
        if zone == "elsewhere"
    )
    assert parts.preferences >= hopeless
