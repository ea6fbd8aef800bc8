"""Affinity, anti-affinity and spread: what other pods have to do with it."""

from dataclasses import replace
from typing import Any

import pytest

from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import (
    LabelSelector,
    Namespace,
    Node,
    NodeSelectorTerm,
    Operator,
    Requirement,
    Taint,
    TaintEffect,
)
from tests.builders import HOSTNAME, ZONE, evenly, make_node, make_pod, near

NEAR = "node(s) didn't match pod affinity rules"
AWAY = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
SKEWED = "node(s) didn't match pod topology spread constraints"


def three_zones(*, per_zone: int = 1, **fields: Any) -> list[Node]:
    return [
        make_node(f"{zone}{number}", zone=f"us-east-1{zone}", **fields)
        for zone in "abc"
        for number in range(1, per_zone + 1)
    ]


def allowed(view: ClusterView, **pod: Any) -> set[str]:
    newcomer = make_pod("new", **pod)
    fitting = {name for name in view.node_names if view.fits(newcomer, name)}
    assert fitting == {name for name in view.node_names if not view.reasons_against(newcomer, name)}
    return fitting


def test_affinity_draws_into_the_domain() -> None:
    view = ClusterView(three_zones(per_zone=2), [make_pod(node="b1")])
    assert allowed(view, app="cache", pod_affinity=(near("web"),)) == {"b1", "b2"}
    assert allowed(view, app="cache", pod_affinity=(near("web", topology_key=HOSTNAME),)) == {"b1"}
    assert view.reasons_against(make_pod("x", app="cache", pod_affinity=(near("web"),)), "a1") == (NEAR,)


def test_every_term_must_be_met_by_a_pod_that_all_terms_mean() -> None:
    both = (near("web"), near("db"))
    view = ClusterView(three_zones(), [make_pod("w", node="a1"), make_pod("d", app="db", node="a1")])
    assert allowed(view, app="cache", pod_affinity=both) == set()


def test_the_first_of_a_group_may_go_anywhere_that_has_the_label_and_the_next_must_follow() -> None:
    view = ClusterView(
        [*three_zones(), Node("bare", make_node().allocatable, 10, labels={HOSTNAME: "bare"})],
    )
    group: dict[str, Any] = {"pod_affinity": (near("web"),)}
    assert allowed(view, **group) == {"a1", "b1", "c1"}
    view.place(make_pod("first", **group), "c1")
    assert allowed(view, **group) == {"c1"}
    assert allowed(view, app="other", **group) == {"c1"}
    view.remove("shop/first")
    assert allowed(view, app="other", **group) == set()


def test_anti_affinity_keeps_away_both_ways() -> None:
    view = ClusterView(three_zones(), [make_pod(node="a1")])
    lonely: dict[str, Any] = {"app": "db", "pod_anti_affinity": (near("web"),)}
    assert allowed(view) == {"a1", "b1", "c1"}
    assert allowed(view, **lonely) == {"b1", "c1"}
    view.place(make_pod("db", **lonely), "b1")
    assert allowed(view) == {"a1", "c1"}
    assert view.reasons_against(make_pod("x"), "b1") == (EXISTING,)
    assert view.reasons_against(make_pod("x", **lonely), "a1") == (AWAY,)
    view.remove("shop/db")
    assert allowed(view) == {"a1", "b1", "c1"}


def test_a_node_without_the_label_is_no_domain_of_anti_affinity() -> None:
    bare = Node("bare", make_node().allocatable, 10)
    term = near("web")
    view = ClusterView([bare], [make_pod(pod_anti_affinity=(term,), node="bare")])
    assert allowed(view, pod_anti_affinity=(term,)) == {"bare"}


@pytest.mark.parametrize(
    ("term", "is_meant"),
    [
        (near(), True),
        (near(namespaces=("bank",)), False),
        (near(namespaces=("bank", "shop")), True),
        (near(namespace_selector=LabelSelector()), True),
        (near(namespace_selector=LabelSelector((Requirement("team", Operator.IN, ("a",)),))), True),
        (near(namespace_selector=LabelSelector((Requirement("team", Operator.IN, ("b",)),))), False),
        (near(match_label_keys=("version",)), False),
        (near(mismatch_label_keys=("version",)), True),
        (near(match_label_keys=("missing",)), True),
        (near(weight=50), False),
    ],
)
def test_whom_a_term_means(term: Any, *, is_meant: bool) -> None:
    view = ClusterView(
        three_zones(),
        [make_pod(labels={"version": "1"}, node="a1")],
        namespaces=[Namespace("shop", {"team": "a"})],
    )
    fitting = allowed(view, pod_anti_affinity=(term,), labels={"version": "2"})
    assert ("a1" not in fitting) is is_meant


def test_spread_evens_out() -> None:
    view = ClusterView(three_zones())
    for number in range(7):
        pod = make_pod(f"web-{number}", topology_spread=(evenly(),))
        view.place(pod, next(name for name in view.node_names if view.fits(pod, name)))
    assert sorted(len(view.pods_on(name)) for name in view.node_names) == [2, 2, 3]
    full = next(name for name in view.node_names if len(view.pods_on(name)) == 3)
    assert view.reasons_against(make_pod("x", topology_spread=(evenly(),)), full) == (SKEWED,)


@pytest.mark.parametrize(
    ("constraint", "pod", "fitting"),
    [
        pytest.param({}, {}, {"b1", "c1"}, id="skew 1"),
        pytest.param({"max_skew": 2}, {}, {"a1", "b1", "c1"}, id="skew 2"),
        pytest.param({"when_unsatisfiable": "ScheduleAnyway"}, {}, {"a1", "b1", "c1"}, id="only a wish"),
        pytest.param({}, {"app": "other"}, {"a1", "b1", "c1"}, id="a pod that does not count itself"),
        pytest.param(
            {"match_label_keys": ("rev",)}, {"labels": {"rev": "2"}}, {"a1", "b1", "c1"}, id="own revision"
        ),
        pytest.param({}, {"namespace": "bank"}, {"a1", "b1", "c1"}, id="another namespace"),
        pytest.param({"min_domains": 4}, {}, {"b1", "c1"}, id="too few domains count as an empty one"),
        pytest.param({}, {"node_selector": {ZONE: "us-east-1a"}}, {"a1"}, id="only nodes it may use count"),
        pytest.param(
            {"node_affinity_policy": "Ignore"},
            {"node_selector": {ZONE: "us-east-1a"}},
            set(),
            id="all nodes count",
        ),
    ],
)
def test_spread(constraint: dict[str, Any], pod: dict[str, Any], fitting: set[str]) -> None:
    view = ClusterView(three_zones(), [make_pod(labels={"rev": "1"}, node="a1")])
    assert allowed(view, topology_spread=(evenly(**constraint),), **pod) == fitting


def test_too_few_domains_stop_a_second_pod() -> None:
    view = ClusterView(three_zones(), [make_pod(f"w{name}", node=name) for name in ("a1", "b1", "c1")])
    assert allowed(view, topology_spread=(evenly(min_domains=3),)) == {"a1", "b1", "c1"}
    assert allowed(view, topology_spread=(evenly(min_domains=4),)) == set()


def test_tainted_nodes_are_domains_unless_taints_are_honored() -> None:
    closed = make_node("c1", zone="us-east-1c", taints=(Taint("x", TaintEffect.NO_SCHEDULE),))
    view = ClusterView([*three_zones()[:2], closed], [make_pod("1", node="a1"), make_pod("2", node="b1")])
    assert allowed(view, topology_spread=(evenly(),)) == set()
    assert allowed(view, topology_spread=(evenly(node_taints_policy="Honor"),)) == {"a1", "b1"}


def test_terminating_pods_do_not_count_for_spread() -> None:
    view = ClusterView(three_zones(), [make_pod(is_terminating=True, node="a1")])
    assert allowed(view, topology_spread=(evenly(),)) == {"a1", "b1", "c1"}


def test_nodes_that_come_and_go_are_domains() -> None:
    view = ClusterView(three_zones()[:1], [make_pod(node="a1")])
    spread = (evenly(),)
    assert allowed(view, topology_spread=spread) == {"a1"}
    view.add_node(three_zones()[1])
    assert allowed(view, topology_spread=spread) == {"b1"}
    assert [pod.key for pod in view.remove_node("a1")] == ["shop/web-0"]
    view.add_node(three_zones()[2])
    assert allowed(view, topology_spread=spread) == {"b1", "c1"}
    view.place(make_pod("b", topology_spread=spread), "b1")
    view.place(make_pod("c", topology_spread=spread), "c1")
    assert allowed(view, topology_spread=spread) == {"b1", "c1"}


def test_a_node_without_one_of_the_labels_counts_for_no_constraint() -> None:
    rackless = make_node("c1", zone="us-east-1c")
    racked = [make_node(f"{z}1", zone=f"us-east-1{z}", labels={"rack": z}) for z in "ab"]
    view = ClusterView([*racked, rackless], [make_pod("1", node="a1"), make_pod("2", node="b1")])
    both = (evenly(), evenly(topology_key="rack"))
    assert allowed(view, topology_spread=both) == {"a1", "b1"}
    assert view.reasons_against(make_pod("x", topology_spread=both), "c1") == (
        f"{SKEWED} (missing required label)",
    )


def test_a_domain_lasts_as_long_as_one_of_its_nodes_in_each_copy_for_itself() -> None:
    view = ClusterView(three_zones(per_zone=2)[:4], [make_pod(node="b1")])
    spread = (evenly(),)
    assert allowed(view, topology_spread=spread) == {"a1", "a2"}
    twin = view.copy()
    twin.remove_node("a1")
    view.remove_node("a2")
    assert allowed(view, topology_spread=spread) == {"a1"}
    assert allowed(twin, topology_spread=spread) == {"a2"}


def test_an_empty_selector_of_a_spread_counts_nobody() -> None:
    everyone = replace(evenly(), selector=LabelSelector())
    view = ClusterView(three_zones(), [make_pod(f"w{i}", node="a1") for i in range(3)])
    assert allowed(view, topology_spread=(everyone,)) == {"a1", "b1", "c1"}
    per_revision = replace(everyone, match_label_keys=("app",))
    assert allowed(view, topology_spread=(per_revision,)) == {"b1", "c1"}
    nobody = replace(evenly(), selector=None)
    assert allowed(view, topology_spread=(nobody,)) == {"a1", "b1", "c1"}


def test_all_constraints_of_a_pod_hold_at_once() -> None:
    pods = [make_pod("1", node="a1"), make_pod("2", node="b1")]
    view = ClusterView(three_zones(per_zone=2), pods)
    both = (evenly(max_skew=1), evenly(topology_key=HOSTNAME))
    assert allowed(view, topology_spread=both) == {"c1", "c2"}
    view.place(make_pod("3"), "c1")
    assert allowed(view, topology_spread=both) == {"a2", "b2", "c2"}
    wish = (evenly(), evenly(topology_key=HOSTNAME, when_unsatisfiable="ScheduleAnyway"))
    assert allowed(view, topology_spread=wish) == set(view.node_names)


def test_a_domain_where_no_node_counts_is_empty_but_not_the_emptiest() -> None:
    pods = [make_pod(f"{name}-{i}", node=name) for name in ("a1", "b1") for i in range(2)]
    view = ClusterView(three_zones(), pods)
    ours = {"node_affinity": (NodeSelectorTerm((Requirement(ZONE, Operator.NOT_IN, ("us-east-1c",)),)),)}
    assert allowed(view, topology_spread=(evenly(),), **ours) == {"a1", "b1"}
    ignoring = (evenly(node_affinity_policy="Ignore"),)
    assert allowed(view, topology_spread=ignoring, **ours) == set()


def test_who_means_itself_by_one_of_two_terms_is_no_first_of_a_group() -> None:
    view = ClusterView(three_zones())
    assert allowed(view, pod_affinity=(near("web"), near("web", topology_key=HOSTNAME))) == {"a1", "b1", "c1"}
    assert allowed(view, pod_affinity=(near("web"), near("db"))) == set()


def test_any_label_is_a_topology() -> None:
    nodes = [
        make_node(name, labels={"rack": rack}) for name, rack in (("n1", "r1"), ("n2", "r1"), ("n3", "r2"))
    ]
    view = ClusterView(nodes, [make_pod("old", node="n1")])
    assert allowed(view, pod_anti_affinity=(near(topology_key="rack"),)) == {"n3"}
    assert allowed(view, app="x", pod_affinity=(near(topology_key="rack"),)) == {"n1", "n2"}
    assert allowed(view, topology_spread=(evenly(topology_key="rack"),)) == {"n3"}


def test_terminating_pods_still_count_for_affinity() -> None:
    view = ClusterView(three_zones(), [make_pod(is_terminating=True, node="a1")])
    assert allowed(view, pod_anti_affinity=(near(),)) == {"b1", "c1"}
    assert allowed(view, app="x", pod_affinity=(near(),)) == {"a1"}


def test_wishes_of_either_side_forbid_nothing() -> None:
    shy = make_pod("shy", pod_anti_affinity=(near("web", weight=100),), node="a1")
    view = ClusterView(three_zones(), [shy])
    assert allowed(view, pod_anti_affinity=(near(weight=100),), pod_affinity=(near("db", weight=1),)) == {
        "a1",
        "b1",
        "c1",
    }
