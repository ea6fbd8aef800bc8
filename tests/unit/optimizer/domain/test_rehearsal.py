"""Moves carried out in numbers: the same as when every pod lies in a view."""

import random
from typing import Any

import pytest

from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.packing.grouping import selectors_meant
from services.optimizer.domain.rehearsal import RUNS, Rehearsal, Run, Trouble
from services.optimizer.domain.sequence import Cut
from services.optimizer.domain.staging import RULED, Stage
from shared.kernel.scheduling import ClusterView, pods_all_fit
from shared.kernel.workload import ClusterObjects, LabelSelector, Node, Pod, Taint, TaintEffect
from tests.builders import evenly, make_node, make_pod, near

HOST = "kubernetes.io/hostname"
EVERYBODY = (LabelSelector(),)
"""Selects all pods: then none of them is a mere number."""


def _node(draw: random.Random, name: str) -> Node:
    zone = draw.choice("ab")
    return make_node(
        name,
        cpu=draw.choice([2000, 4000]),
        gib=draw.choice([4, 8]),
        max_pods=draw.choice([4, 8, 58]),
        zone=f"us-east-1{zone}",
        labels={"disk": draw.choice(["ssd", "hdd"])},
        taints=(Taint("x", TaintEffect.NO_SCHEDULE),) if draw.random() < 0.15 else (),
    )


def _pod(draw: random.Random, name: str, node: str | None) -> Pod:
    app = draw.choice("abc")
    rules: dict[str, Any] = {}
    if draw.random() < 0.3:
        other = draw.choice("abc")
        rules = draw.choice(
            [
                {"pod_anti_affinity": (near(other, topology_key=HOST),)},
                {"topology_spread": (evenly(other, topology_key=HOST),)},
                {"topology_spread": (evenly(other),)},
            ]
        )
    where = {"disk": "ssd"} if draw.random() < 0.2 else {}
    cpu, gib = draw.choice([100, 500, 900]), draw.choice([0.25, 1.0, 2.0])
    return make_pod(name, app=app, cpu=cpu, gib=gib, node=node, node_selector=where, **rules)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("seed", range(12))
def test_pods_that_no_rule_is_about_fare_in_numbers_as_they_do_in_a_view(seed: int, run: Run) -> None:
    draw = random.Random(seed)
    nodes = [_node(draw, f"node-{i}") for i in range(draw.randint(3, 8))]
    pods = [_pod(draw, f"pod-{i}", draw.choice(nodes).name) for i in range(draw.randint(5, 30))]
    waiting = [_pod(draw, f"late-{i}", None) for i in range(3)]
    objects = ClusterObjects(nodes=tuple(nodes), pods=tuple(pods))
    new = StandingNode(make_node("new"), None, (), None)
    cuts = [Cut(["new"], [nodes[0].name]), Cut([], [n.name for n in nodes[1:3]])]

    def played(meant: tuple[LabelSelector, ...]) -> list[Trouble]:
        return Rehearsal(Stage(objects, meant), [nodes[-1].name], run).play(cuts, {"new": new}, waiting)

    meant = selectors_meant([*pods, *waiting])
    assert played(meant) == played(EVERYBODY)


@pytest.mark.parametrize("seed", range(12))
def test_whether_a_node_can_be_emptied_is_what_the_executor_will_find(seed: int) -> None:
    draw = random.Random(seed)
    nodes = [_node(draw, f"node-{i}") for i in range(draw.randint(3, 6))]
    pods = [_pod(draw, f"pod-{i}", draw.choice(nodes).name) for i in range(draw.randint(5, 30))]
    objects = ClusterObjects(nodes=tuple(nodes), pods=tuple(pods))
    leaving = nodes[0].name
    scene = Rehearsal(Stage(objects, selectors_meant(pods)), [], RUNS[0])
    moving = [p for p in pods if p.node_name == leaving]
    refused = pods_all_fit(moving, ClusterView.of(objects), exclude=(leaving,))
    assert [p.key for p in scene.tight([leaving])] == [u.pod.key for u in refused]


def test_only_pods_that_some_rule_is_about_lie_in_a_view() -> None:
    nodes = (make_node("one"), make_node("two"))
    pods = (
        make_pod("hermit", app="hermit", node="one", pod_anti_affinity=(near("db", topology_key=HOST),)),
        make_pod("db", app="db", node="two"),
        make_pod("web", app="web", node="one"),
    )
    stage = Stage(ClusterObjects(nodes=nodes, pods=pods), selectors_meant(pods))
    assert [stage.kind_of(p) == RULED for p in pods] == [True, True, False]
    assert [p.name for p in stage.plain["one"]] == ["web"]
    assert stage.slots.tolist() == [56, 57]
    assert Rehearsal(stage, [], RUNS[0]).drain(["two"]) == [pods[1]]
