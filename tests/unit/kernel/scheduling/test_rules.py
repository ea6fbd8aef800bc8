"""The scheduler's rules one by one: labels, taints, ports, volumes, resources."""

from typing import Any

import pytest

from shared.kernel.scheduling import ClusterView, selects, static_reasons
from shared.kernel.scheduling.ports import clash
from shared.kernel.scheduling.selectors import holds, pod_selects
from shared.kernel.scheduling.taints import tolerates
from shared.kernel.workload import (
    HostPort,
    LabelSelector,
    Node,
    NodeSelectorTerm,
    Operator,
    Requirement,
    Taint,
    TaintEffect,
    Toleration,
)
from tests.builders import ZONE, make_node, make_pod, make_resources

LABELS = {"app": "web", "generation": "5", "size": "xl", "odd": "1_0", "huge": "9223372036854775808"}


@pytest.mark.parametrize(
    ("key", "operator", "values", "is_met"),
    [
        ("app", Operator.IN, ("db", "web"), True),
        ("app", Operator.IN, ("db",), False),
        ("none", Operator.IN, ("web",), False),
        ("app", Operator.NOT_IN, ("web",), False),
        ("none", Operator.NOT_IN, ("web",), True),
        ("app", Operator.EXISTS, (), True),
        ("none", Operator.EXISTS, (), False),
        ("app", Operator.DOES_NOT_EXIST, (), False),
        ("none", Operator.DOES_NOT_EXIST, (), True),
        ("generation", Operator.GT, ("4",), True),
        ("generation", Operator.GT, ("5",), False),
        ("generation", Operator.LT, ("6",), True),
        ("generation", Operator.LT, ("5",), False),
        ("size", Operator.GT, ("4",), False),
        ("none", Operator.LT, ("4",), False),
        ("generation", Operator.GT, ("-1",), True),
        ("generation", Operator.GT, ("four",), False),
        ("generation", Operator.GT, (), False),
        ("odd", Operator.GT, ("4",), False),
        ("huge", Operator.GT, ("4",), False),
    ],
)
def test_requirements(key: str, operator: Operator, values: tuple[str, ...], *, is_met: bool) -> None:
    assert holds(Requirement(key, operator, values), LABELS) is is_met


def test_a_missing_selector_matches_nothing_and_an_empty_one_everything() -> None:
    assert not selects(None, LABELS)
    assert selects(LabelSelector(), LABELS)


@pytest.mark.parametrize(
    ("terms", "is_met"),
    [
        ((), True),
        ((NodeSelectorTerm(),), False),
        ((NodeSelectorTerm(), NodeSelectorTerm((Requirement(ZONE, Operator.EXISTS),))), True),
        ((NodeSelectorTerm(fields=(Requirement("metadata.name", Operator.IN, ("node-1",)),)),), True),
        ((NodeSelectorTerm(fields=(Requirement("metadata.name", Operator.NOT_IN, ("node-1",)),)),), False),
        (
            (
                NodeSelectorTerm(
                    (Requirement(ZONE, Operator.EXISTS), Requirement("gpu", Operator.EXISTS)),
                ),
            ),
            False,
        ),
    ],
)
def test_node_terms_are_ored_and_their_requirements_anded(
    terms: tuple[NodeSelectorTerm, ...], *, is_met: bool
) -> None:
    assert pod_selects(make_pod(node_affinity=terms), make_node()) is is_met


def test_node_selector_and_affinity_must_both_hold() -> None:
    terms = (NodeSelectorTerm((Requirement(ZONE, Operator.EXISTS),)),)
    assert not pod_selects(make_pod(node_selector={"disk": "ssd"}, node_affinity=terms), make_node())
    assert pod_selects(
        make_pod(node_selector={"disk": "ssd"}, node_affinity=terms), make_node(labels={"disk": "ssd"})
    )


TAINT = Taint("team", TaintEffect.NO_SCHEDULE, "ml")


@pytest.mark.parametrize(
    ("toleration", "is_covered"),
    [
        (Toleration("team", value="ml"), True),
        (Toleration("team", value="web"), False),
        (Toleration("team", "Exists"), True),
        (Toleration("other", "Exists"), False),
        (Toleration("", "Exists"), True),
        (Toleration("", value="ml"), False),
        (Toleration("team", "Exists", effect=TaintEffect.NO_SCHEDULE), True),
        (Toleration("team", "Exists", effect=TaintEffect.NO_EXECUTE), False),
        (Toleration("", "Exists", effect=TaintEffect.NO_EXECUTE), False),
    ],
)
def test_tolerations(toleration: Toleration, *, is_covered: bool) -> None:
    assert tolerates(toleration, TAINT) is is_covered


@pytest.mark.parametrize(
    ("node", "pod", "reasons"),
    [
        ({}, {}, ()),
        ({"taints": (TAINT,)}, {}, ("node(s) had untolerated taint {team: ml}",)),
        ({"taints": (Taint("soft", TaintEffect.PREFER_NO_SCHEDULE),)}, {}, ()),
        ({"is_unschedulable": True}, {}, ("node(s) were unschedulable",)),
        (
            {"is_unschedulable": True},
            {"tolerations": (Toleration("node.kubernetes.io/unschedulable", "Exists"),)},
            (),
        ),
        ({"is_ready": False}, {}, ("node(s) had untolerated taint {node.kubernetes.io/not-ready: }",)),
        ({}, {"node_selector": {"a": "b"}}, ("node(s) didn't match Pod's node affinity/selector",)),
        ({}, {"scheduling_gated": True}, ("pod has scheduling gates",)),
        (
            {},
            {"has_resource_claims": True},
            ("pod has resource claims (DRA), which only the scheduler itself can allocate",),
        ),
        ({}, {"os": "linux"}, ()),
        ({}, {"os": "windows"}, ("node(s) run another operating system than the pod's",)),
        ({"labels": {"kubernetes.io/os": "windows"}}, {"os": "windows"}, ()),
        ({"labels": {"kubernetes.io/arch": "arm64"}}, {"node_selector": {"kubernetes.io/arch": "arm64"}}, ()),
    ],
)
def test_static_reasons(node: dict[str, Any], pod: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert static_reasons(make_pod(**pod), make_node(**node)) == reasons


@pytest.mark.parametrize(
    ("wanted", "taken", "is_clash"),
    [
        (HostPort(80), HostPort(80), True),
        (HostPort(80), HostPort(81), False),
        (HostPort(80), HostPort(80, "UDP"), False),
        (HostPort(80, host_ip="10.0.0.1"), HostPort(80, host_ip="10.0.0.2"), False),
        (HostPort(80, host_ip="10.0.0.1"), HostPort(80), True),
    ],
)
def test_host_ports(wanted: HostPort, taken: HostPort, *, is_clash: bool) -> None:
    assert clash(wanted, taken) is is_clash
    assert clash(taken, wanted) is is_clash
    view = ClusterView([make_node()], [make_pod("a", host_ports=(taken,), node="node-1")])
    newcomer = make_pod("b", host_ports=(wanted,))
    assert view.fits(newcomer, "node-1") is not is_clash
    assert bool(view.reasons_against(newcomer, "node-1")) is is_clash


@pytest.mark.parametrize(
    ("pod", "reasons"),
    [
        ({"cpu": 1000, "gib": 4}, ()),
        ({"cpu": 1001, "gib": 1}, ("Insufficient cpu",)),
        ({"cpu": 0, "gib": 4.1}, ("Insufficient memory",)),
        (
            {"cpu": 9000, "gib": 99, "gpu": 2},
            ("Insufficient cpu", "Insufficient memory", "Insufficient nvidia.com/gpu"),
        ),
    ],
)
def test_requests_against_what_is_free(pod: dict[str, Any], reasons: tuple[str, ...]) -> None:
    view = ClusterView([make_node(gpu=1)], [make_pod("old", cpu=3000, gib=12, node="node-1")])
    newcomer = make_pod("new", **pod)
    assert view.reasons_against(newcomer, "node-1") == reasons
    assert view.fits(newcomer, "node-1") is not bool(reasons)


def test_what_is_not_asked_for_is_not_compared_even_where_it_is_overcommitted() -> None:
    view = ClusterView([make_node(cpu=1000)], [make_pod("old", cpu=2000, node="node-1")])
    assert view.free("node-1").cpu_millicores == -1000
    assert view.fits(make_pod("new", cpu=0), "node-1")
    assert not view.fits(make_pod("new", cpu=1), "node-1")


def test_a_kubelet_takes_so_many_pods() -> None:
    view = ClusterView([make_node(max_pods=1)], [make_pod("old", cpu=0, gib=0, node="node-1")])
    assert view.reasons_against(make_pod("new", cpu=0, gib=0), "node-1") == ("Too many pods",)
    assert not view.fits(make_pod("new", cpu=0, gib=0), "node-1")


def test_requests_of_every_kind_are_free_again_after_removal() -> None:
    view = ClusterView([make_node(gpu=2)])
    view.place(make_pod(gpu=1), "node-1")
    assert view.free("node-1") == make_resources(cpu=3500, gib=15, gpu=1)
    view.remove("shop/web-0")
    assert view.free("node-1") == make_node(gpu=2).allocatable


def test_a_node_that_comes_back_changed_is_looked_at_again() -> None:
    view = ClusterView([make_node()])
    assert view.fits(make_pod(), "node-1")
    for changed in (make_node(is_unschedulable=True), make_node(is_ready=False), make_node(taints=(TAINT,))):
        view.remove_node("node-1")
        view.add_node(changed)
        assert not view.fits(make_pod(), "node-1")


def test_nodes_that_differ_by_name_alone_are_told_apart() -> None:
    only = (NodeSelectorTerm(fields=(Requirement("metadata.name", Operator.IN, ("b",)),)),)
    size = make_node().allocatable
    view = ClusterView([Node("a", size, 10), Node("b", size, 10)])
    assert [name for name in view.node_names if view.fits(make_pod(node_affinity=only), name)] == ["b"]
