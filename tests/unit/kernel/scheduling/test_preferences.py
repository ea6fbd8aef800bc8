"""Wishes: costs by kube-scheduler's points, which rank nodes and forbid none."""

from typing import Any

import pytest

from shared.kernel.scheduling import ClusterView, node_preference_cost
from shared.kernel.workload import (
    Node,
    NodeSelectorTerm,
    Operator,
    PreferredTerm,
    Requirement,
    Taint,
    TaintEffect,
    Toleration,
)
from tests.builders import HOSTNAME, ZONE, evenly, make_node, make_pod, near

SOFT = Taint("soft", TaintEffect.PREFER_NO_SCHEDULE)
LATER = Taint("later", TaintEffect.PREFER_NO_SCHEDULE)


def zones(**fields: Any) -> list[Node]:
    return [make_node(zone, zone=zone, **fields) for zone in "abc"]


def prefers(weight: int, *zone_names: str) -> PreferredTerm:
    return PreferredTerm(weight, NodeSelectorTerm((Requirement(ZONE, Operator.IN, zone_names),)))


def costs(view: ClusterView, **pod: Any) -> dict[str, int]:
    newcomer = make_pod("new", **pod)
    assert all(view.fits(newcomer, name) for name in view.node_names), "a wish forbids nothing"
    return view.preference_costs(newcomer, view.node_names)


def test_who_wishes_for_nothing_pays_nothing() -> None:
    assert costs(ClusterView(zones(), [make_pod(node="a")])) == {"a": 0, "b": 0, "c": 0}
    assert ClusterView(zones()).preference_costs(make_pod(), []) == {}


def test_soft_taints_weigh_three_times() -> None:
    view = ClusterView([make_node("a", taints=(SOFT, LATER)), make_node("b", taints=(SOFT,)), make_node("c")])
    assert costs(view) == {"a": 300, "b": 150, "c": 0}
    assert costs(view, tolerations=(Toleration("soft", "Exists"),)) == {"a": 300, "b": 0, "c": 0}
    only_later = Toleration("later", "Exists", effect=TaintEffect.NO_SCHEDULE)
    assert costs(view, tolerations=(only_later,)) == {"a": 300, "b": 150, "c": 0}


def test_preferred_nodes_weigh_twice_by_the_share_of_weight_they_miss() -> None:
    wishes = (prefers(80, "a"), prefers(20, "a", "b"), PreferredTerm(50, NodeSelectorTerm()))
    assert costs(ClusterView(zones()), preferred_nodes=wishes) == {"a": 0, "b": 160, "c": 200}


def test_a_spread_that_is_a_wish_ranks_by_the_pods_there() -> None:
    pods = [make_pod(f"{zone}{i}", node=zone) for zone, number in (("a", 4), ("b", 2)) for i in range(number)]
    wish = (evenly(when_unsatisfiable="ScheduleAnyway"),)
    assert costs(ClusterView(zones(), pods), topology_spread=wish) == {"a": 200, "b": 100, "c": 0}
    bare = Node("bare", make_node().allocatable, 10)
    assert costs(ClusterView([*zones(), bare], pods), topology_spread=wish)["bare"] == 200


@pytest.mark.parametrize(
    ("kind", "weight", "expected"),
    [
        ("pod_affinity", 50, {"a": 0, "b": 100, "c": 200}),
        ("pod_anti_affinity", 50, {"a": 200, "b": 100, "c": 0}),
    ],
)
def test_preferred_company_weighs_twice(kind: str, weight: int, expected: dict[str, int]) -> None:
    pods = [make_pod("a0", node="a"), make_pod("a1", node="a"), make_pod("b0", node="b")]
    wish = {kind: (near("web", weight=weight),)}
    assert costs(ClusterView(zones(), pods), app="new", **wish) == expected


def test_wishes_of_pods_that_are_there_count_for_the_newcomer() -> None:
    shy = make_pod("shy", app="shy", pod_anti_affinity=(near("web", weight=10),), node="a")
    glad = make_pod(
        "glad", app="glad", pod_affinity=(near("web", weight=30, topology_key=HOSTNAME),), node="b"
    )
    view = ClusterView(zones(), [shy, glad])
    assert costs(view) == {"a": 200, "b": 0, "c": 150}
    view.remove("shop/shy")
    assert costs(view) == {"a": 200, "b": 0, "c": 200}
    assert costs(view.copy(), app="other") == {"a": 0, "b": 0, "c": 0}


def test_required_affinity_of_pods_that_are_there_draws_a_little() -> None:
    group = make_pod("group", pod_affinity=(near("web"),), node="a")
    assert costs(ClusterView(zones(), [group])) == {"a": 0, "b": 200, "c": 200}


def test_a_node_alone_is_rated_by_labels_and_taints() -> None:
    pod = make_pod(preferred_nodes=(prefers(80, "a"), prefers(20, "b")))
    assert node_preference_cost(pod, make_node(zone="a")) == 40
    assert node_preference_cost(pod, make_node(zone="c", taints=(SOFT,))) == 200 + 300
    assert node_preference_cost(make_pod(), make_node()) == 0
