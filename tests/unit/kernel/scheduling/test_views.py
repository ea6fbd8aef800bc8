"""ClusterView: placing and removing keep its books; DaemonSets, evictions, and the last check before acting."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.resources import Resources
from shared.kernel.scheduling import (
    ClusterView,
    can_be_moved,
    daemon_pods_for,
    daemon_sets_seen,
    pods_all_fit,
    shape_key,
)
from shared.kernel.workload import (
    ClusterObjects,
    HostPort,
    Node,
    NodeSelectorTerm,
    Operator,
    Owner,
    Pod,
    PodPhase,
    Requirement,
    Taint,
    TaintEffect,
    Toleration,
)
from tests.builders import HOSTNAME, evenly, make_daemon_set, make_node, make_pod, near

AMOUNTS = st.integers(0, 3)
RULES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"topology_spread": (evenly(),)},
        {"pod_anti_affinity": (near(topology_key=HOSTNAME),)},
        {"pod_affinity": (near("db"),)},
        {"pod_affinity": (near("web"),)},
        {"host_ports": (HostPort(80),)},
        {"claims": ("data",)},
        {"claims": ("more",)},
    ]
)
PODS = st.lists(
    st.tuples(AMOUNTS, AMOUNTS, st.integers(0, 1), st.sampled_from(["web", "db"]), RULES), max_size=8
).map(
    lambda rows: [
        make_pod(f"pod-{i}", cpu=cpu * 1000, gib=gib, gpu=gpu, app=app, **rules)
        for i, (cpu, gib, gpu, app, rules) in enumerate(rows)
    ]
)


def nodes() -> list[Node]:
    return [make_node(f"n{i}", gpu=i, zone=f"us-east-1{'ab'[i % 2]}", attachable_volumes=1) for i in range(3)]


def state_of(view: ClusterView) -> dict[str, tuple[Resources, int, set[str]]]:
    return {
        name: (view.free(name), view.free_pods(name), {pod.key for pod in view.pods_on(name)})
        for name in view.node_names
    }


@given(PODS, st.data())
def test_what_is_free_and_what_is_taken_add_up(pods: list[Pod], data: st.DataObject) -> None:
    view = ClusterView(nodes())
    for pod in pods:
        view.place(pod, data.draw(st.sampled_from(view.node_names)))
    for name in view.node_names:
        taken = sum((pod.requests for pod in view.pods_on(name)), Resources())
        free = view.free(name)
        allocatable = view.node(name).allocatable
        assert free.cpu_millicores + taken.cpu_millicores == allocatable.cpu_millicores
        assert free.memory_bytes + taken.memory_bytes == allocatable.memory_bytes
        assert free.extended.get("nvidia.com/gpu", 0) + taken.extended.get(
            "nvidia.com/gpu", 0
        ) == allocatable.extended.get("nvidia.com/gpu", 0)
        assert view.free_pods(name) + len(view.pods_on(name)) == view.node(name).max_pods


def asking(pods: list[Pod]) -> list[Pod]:
    """The same pods under other names, small enough that only rules are in their way."""
    return [replace(pod, name=f"ask-{pod.name}", requests=Resources()) for pod in pods]


def answers_of(view: ClusterView, pods: list[Pod]) -> dict[tuple[str, str], tuple[str, ...]]:
    return {
        (pod.key, n): view.reasons_against(pod, n) for pod in asking(pods) for n in sorted(view.node_names)
    }


def built(nodes: list[Node], placed: list[tuple[Pod, str]]) -> ClusterView:
    view = ClusterView(nodes)
    for pod, name in placed:
        view.place(pod, name)
    return view


@given(PODS, st.data())
def test_changes_and_copies_leave_a_view_that_answers_as_a_new_one(
    pods: list[Pod], data: st.DataObject
) -> None:
    placed = [(pod, data.draw(st.sampled_from(["n0", "n1", "n2"]))) for pod in pods]
    half = len(placed) // 2
    view = built(nodes(), placed[:half])
    if data.draw(st.booleans()):
        answers_of(view, pods)  # so that counts and caches are there before the changes
    twin = view.copy()
    for pod, name in placed[half:]:
        twin.place(pod, name)
    for pod, _ in placed[:half]:
        if data.draw(st.booleans()):
            twin.remove(pod.key)
            answers_of(twin, pods[:1])
            twin.place(pod, "n2")
    view.remove_node("n1")
    gone = twin.remove_node("n0")
    twin.add_node(make_node("n0", zone="us-east-1c"))
    for pod in gone[:1]:
        twin.place(pod, "n0")

    now = [(pod, name) for name in twin.node_names for pod in twin.pods_on(name)]
    fresh = built([twin.node(name) for name in twin.node_names], now)
    assert state_of(twin) == state_of(fresh)
    assert answers_of(twin, pods) == answers_of(fresh, pods)
    kept = [(pod, name) for pod, name in placed[:half] if name != "n1"]
    fresh = built([view.node(name) for name in view.node_names], kept)
    assert state_of(view) == state_of(fresh)
    assert answers_of(view, pods) == answers_of(fresh, pods)


def test_finished_pods_and_those_on_other_nodes_are_passed_over() -> None:
    done = make_pod("done", node="node-1", phase=PodPhase.SUCCEEDED)
    objects = ClusterObjects(
        nodes=(make_node(),), pods=(done, make_pod("far", node="gone"), make_pod("pending"))
    )
    assert ClusterView.of(objects).pods_on("node-1") == ()


def test_a_pod_is_in_one_place_and_a_node_there_once() -> None:
    view = ClusterView([make_node()], [make_pod(node="node-1")])
    assert view.node_of("shop/web-0") == "node-1"
    with pytest.raises(ValueError, match="shop/web-0 is on node node-1 already"):
        view.place(make_pod(), "node-1")
    with pytest.raises(ValueError, match="node-1 is in the view already"):
        view.add_node(make_node())


def test_replicas_share_a_shape_and_what_matters_splits_it() -> None:
    label = "apps.kubernetes.io/pod-index"
    first, second = make_pod("a", labels={label: "0"}), make_pod("b", labels={label: "1"})
    assert shape_key(first) == shape_key(second)
    others: list[dict[str, Any]] = [
        {"cpu": 501},
        {"gpu": 1},
        {"namespace": "bank"},
        {"app": "db"},
        {"node_selector": {"a": "b"}},
        {"tolerations": (Toleration("a"),)},
        {"topology_spread": (evenly(),)},
        {"claims": ("data",)},
    ]
    keys = {shape_key(make_pod("a", **other)) for other in others}
    assert len(keys) == len(others)
    assert shape_key(make_pod("a")) not in keys


def test_a_daemon_set_runs_on_the_nodes_its_pods_may_run_on() -> None:
    everywhere = make_daemon_set("agent", tolerations=(Toleration("", "Exists"),))
    linux = make_daemon_set("cni")
    gpus = make_daemon_set("plugin", node_selector={"gpu": "yes"})
    tainted = make_node(taints=(Taint("x", TaintEffect.NO_SCHEDULE),))
    assert [pod.owner for pod in daemon_pods_for(tainted, [everywhere, linux, gpus])] == [
        Owner("DaemonSet", "agent")
    ]
    pods = daemon_pods_for(make_node("n", labels={"gpu": "yes"}), [everywhere, linux, gpus])
    assert [pod.name for pod in pods] == ["agent-n", "cni-n", "plugin-n"]
    ClusterView([make_node("n")], pods)
    claiming = make_daemon_set("driver", has_resource_claims=True)
    assert len(daemon_pods_for(make_node("n"), [claiming])) == 1


def test_daemon_sets_are_recognized_by_their_pods() -> None:
    pinned = (NodeSelectorTerm(fields=(Requirement("metadata.name", Operator.IN, ("node-1",)),)),)
    on_gpus = (NodeSelectorTerm((Requirement("gpu", Operator.EXISTS),), pinned[0].fields),)
    pods = [
        make_pod("agent-1", node="node-1", owner=Owner("DaemonSet", "agent"), node_affinity=pinned),
        make_pod("agent-2", node="node-2", owner=Owner("DaemonSet", "agent"), node_affinity=pinned),
        make_pod("plugin-1", node="node-1", owner=Owner("DaemonSet", "plugin"), node_affinity=on_gpus),
        make_pod("web", node="node-1"),
    ]
    seen = daemon_sets_seen(pods)
    assert [workload.name for workload in seen] == ["agent", "plugin"]
    assert [pod.name for pod in daemon_pods_for(make_node("new"), seen)] == ["agent-new"]
    assert len(daemon_pods_for(make_node("new", labels={"gpu": "1"}), seen)) == 2


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (make_pod(), None),
        (make_pod(owner=None), "it has no controller that would make it again"),
        (make_pod(do_not_disrupt=True), "it is marked do-not-disrupt"),
        (make_pod(has_resource_claims=True), "it has resource claims (DRA), which are not planned for"),
        (make_pod(is_mirror=True, owner=Owner("Node", "n")), "it is a static pod of its node's kubelet"),
        (make_pod(owner=Owner("DaemonSet", "agent"), do_not_disrupt=True), None),
        (make_pod(owner=None, phase=PodPhase.SUCCEEDED), None),
    ],
)
def test_which_pods_may_be_moved(pod: Pod, reason: str | None) -> None:
    assert can_be_moved(pod) == reason


def test_pods_of_a_node_that_goes_find_room_elsewhere() -> None:
    pods = [make_pod(f"web-{i}", cpu=1000, node="a") for i in range(3)]
    view = ClusterView([make_node("a"), make_node("b", cpu=2500)], pods)
    (left,) = pods_all_fit(pods, view, exclude=["a"])
    assert left.reasons == ("1 Insufficient cpu",)
    assert not pods_all_fit(pods[:2], view, exclude=["a"])
    urgent = replace(pods[0], name="urgent", priority=9)
    assert urgent not in [item.pod for item in pods_all_fit([*pods, urgent], view, exclude=["a"])]
    assert {pod.key for pod in view.pods_on("a")} == {pod.key for pod in pods}
    (alone, *_) = pods_all_fit(pods, view, exclude=["a", "b", "never there"])
    assert alone.reasons == ("there is no other node",)


def test_a_pod_may_wait_for_the_one_it_must_be_near() -> None:
    big = make_pod("big", cpu=2000, app="cache", pod_affinity=(near("web"),))
    assert not pods_all_fit([big, make_pod("web", cpu=100)], ClusterView([make_node()]))
    assert [item.pod for item in pods_all_fit([big], ClusterView([make_node()]))] == [big]
