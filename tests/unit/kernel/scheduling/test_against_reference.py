"""ClusterView and the naive loops of reference.py judge the same small clusters, all rules mixed, and must agree."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel.resources import Resources
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import (
    HostPort,
    LabelSelector,
    Namespace,
    Node,
    NodeSelectorTerm,
    Operator,
    Pod,
    PodAffinityTerm,
    Requirement,
    Taint,
    TaintEffect,
    Toleration,
    TopologySpread,
    Volume,
)
from tests.builders import HOSTNAME, ZONE
from tests.unit.kernel.scheduling.reference import Cluster, broken_rules, may_run

OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
KEYS = st.sampled_from([ZONE, ZONE, HOSTNAME, "rack"])
SETS = st.sampled_from([Operator.IN, Operator.NOT_IN])
THERE = st.sampled_from([Operator.EXISTS, Operator.DOES_NOT_EXIST])
EFFECTS = st.sampled_from(list(TaintEffect))


def some(strategy: st.SearchStrategy[Any], most: int, least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


def requirements(keys: list[str], values: list[str]) -> st.SearchStrategy[Requirement]:
    several = st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)
    key = st.sampled_from(keys)
    return st.builds(Requirement, key, SETS, several) | st.builds(Requirement, key, THERE)


NUMBERS = st.builds(
    lambda operator, value: Requirement("gen", operator, (value,)),
    st.sampled_from([Operator.GT, Operator.LT]),
    st.sampled_from(["4", "5", "x", "1_0"]),
)
FIELDS = st.builds(
    lambda operator, name: Requirement("metadata.name", operator, (name,)),
    SETS,
    st.sampled_from(["n0", "n1"]),
)
NODE_TERMS = st.builds(
    NodeSelectorTerm,
    some(requirements([ZONE, "rack"], ["z0", "z1", "r0"]) | NUMBERS, 2),
    some(FIELDS, 1),
)
SELECTORS = st.none() | st.builds(LabelSelector, some(requirements(["app", "rev"], ["a", "b", "1"]), 2))
A = LabelSelector((Requirement("app", Operator.IN, ("a",)),))
TERMS = st.builds(
    PodAffinityTerm,
    KEYS,
    st.just(A) | SELECTORS,
    namespaces=some(st.sampled_from(["x", "y"]), 1),
    namespace_selector=st.sampled_from([None, None, LabelSelector()])
    | st.builds(LabelSelector, some(requirements(["team"], ["red", "blue"]), 1)),
    weight=st.sampled_from([None, None, None, 50]),
    match_label_keys=st.sampled_from([(), (), ("rev",), ("none",)]),
    mismatch_label_keys=st.sampled_from([(), (), ("rev",)]),
)
SPREADS = st.builds(
    TopologySpread,
    KEYS,
    st.integers(1, 2),
    st.sampled_from(["DoNotSchedule", "DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"]),
    st.just(A) | SELECTORS,
    min_domains=st.none() | st.integers(1, 4),
    node_affinity_policy=st.sampled_from(["Honor", "Ignore"]),
    node_taints_policy=st.sampled_from(["Honor", "Ignore"]),
    match_label_keys=st.sampled_from([(), (), ("rev",)]),
)
TAINTS = st.builds(Taint, st.sampled_from(["t", "u"]), EFFECTS, st.sampled_from(["", "1"]))
TOLERATIONS = st.builds(
    Toleration, st.just("t"), st.just("Equal"), st.sampled_from(["", "1"]), st.none() | EFFECTS
) | st.builds(
    Toleration,
    st.sampled_from(["", "t", "node.kubernetes.io/unschedulable"]),
    st.just("Exists"),
    st.just(""),
    st.none() | EFFECTS,
)
PORTS = st.builds(
    HostPort,
    st.sampled_from([80, 81]),
    st.sampled_from(["TCP", "UDP"]),
    st.sampled_from(["0.0.0.0", "10.0.0.1", "10.0.0.2"]),
)
NEAR = st.fixed_dictionaries({"pod_affinity": some(TERMS, 2, 1)})
AWAY = st.fixed_dictionaries({"pod_anti_affinity": some(TERMS, 2, 1)})
SPREAD = st.fixed_dictionaries({"topology_spread": some(SPREADS, 3, 1)})
ON_PORTS = st.fixed_dictionaries({"host_ports": some(PORTS, 2, 1)})
WITH_CLAIMS = st.fixed_dictionaries({"claims": some(st.sampled_from(["c0", "c1", "c2"]), 2, 1)})
THEMES: list[st.SearchStrategy[dict[str, Any]]] = [
    SPREAD,
    SPREAD | st.fixed_dictionaries({"node_selector": st.just({ZONE: "z0"})}),
    NEAR,
    AWAY,
    NEAR | AWAY | SPREAD,
    ON_PORTS,
    WITH_CLAIMS,
]
"""What a scene may be about: with all rules at once, few questions hang on a single one."""
ASPECTS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    NEAR,
    AWAY,
    SPREAD,
    ON_PORTS,
    WITH_CLAIMS | st.fixed_dictionaries({"claims": st.just(("c3",))}),
    st.fixed_dictionaries({"node_affinity": some(NODE_TERMS, 2, 1)}),
    st.fixed_dictionaries({"node_selector": st.sampled_from([{ZONE: "z0"}, {"rack": "r0"}])}),
    st.fixed_dictionaries({"tolerations": some(TOLERATIONS, 2, 1)}),
    st.sampled_from([{"os": "linux"}, {"os": "windows"}, {"is_terminating": True}]),
    st.sampled_from([{}] * 6 + [{"scheduling_gated": True}, {"has_resource_claims": True}]),
)
REQUESTS = st.builds(
    Resources,
    st.sampled_from([0, 1, 2]),
    st.sampled_from([0, 1]),
    st.sampled_from([0, 0, 1]),
    st.sampled_from([{}, {}, {"gpu": 1}, {"gpu": 0}]),
)


@st.composite
def pods(draw: st.DrawFn, index: int, theme: st.SearchStrategy[dict[str, Any]] | None) -> Pod:
    fields: dict[str, Any] = {}
    for aspect in draw(st.lists(ASPECTS, max_size=3) if theme is None else st.lists(theme, max_size=1)):
        fields |= aspect
    return Pod(
        namespace=draw(st.sampled_from(["x", "x", "x", "y"])),
        name=f"p{index}",
        uid="",
        requests=draw(REQUESTS) if theme is None else Resources(),
        labels=draw(
            st.fixed_dictionaries(
                {"app": st.sampled_from(["a", "a", "b"])}, optional={"rev": st.sampled_from(["1", "2"])}
            )
        ),
        **fields,
    )


@st.composite
def plain_nodes(draw: st.DrawFn, index: int) -> Node:
    labels = {HOSTNAME: f"n{index}", "rack": draw(st.sampled_from(["r0", "r1"]))}
    zone = draw(st.sampled_from(["z0", "z1", "z2", None]))
    return Node(
        name=f"n{index}",
        allocatable=Resources(),
        max_pods=20,
        labels=labels if zone is None else labels | {ZONE: zone},
        taints=(Taint("t", TaintEffect.NO_SCHEDULE),) if draw(st.integers(0, 9)) == 9 else (),
        volume_limits={"ebs.csi.aws.com": draw(st.integers(1, 3))},
    )


@st.composite
def nodes(draw: st.DrawFn, index: int) -> Node:
    optional = {
        ZONE: st.sampled_from(["z0", "z1"]),
        OLD_ZONE: st.just("z0"),
        "rack": st.sampled_from(["r0", "r1"]),
        "kubernetes.io/os": st.just("linux"),
        "gen": st.sampled_from(["4", "5", "6"]),
    }
    is_odd = draw(st.integers(0, 4)) == 4
    return Node(
        name=f"n{index}",
        allocatable=Resources(
            draw(st.integers(2, 9)),
            draw(st.integers(1, 6)),
            draw(st.integers(0, 3)),
            draw(st.sampled_from([{}, {"gpu": 1}])),
        ),
        max_pods=draw(st.sampled_from([2, 5, 5])),
        labels={HOSTNAME: f"n{index}"}
        | draw(
            st.fixed_dictionaries({}, optional=optional)
            if is_odd
            else st.fixed_dictionaries({ZONE: optional[ZONE]}, optional={"rack": optional["rack"]})
        ),
        taints=draw(some(TAINTS, 1)) if draw(st.integers(0, 5)) == 5 else (),
        is_unschedulable=draw(st.integers(0, 11)) == 11,
        is_ready=draw(st.integers(0, 13)) != 13,
        attachable_volumes=draw(st.sampled_from([None, 1, 2])),
        volume_limits=draw(st.sampled_from([{}, {"ebs.csi.aws.com": 1}, {"efs.csi.aws.com": 1}])),
    )


@st.composite
def volumes(draw: st.DrawFn, namespace: str, name: str) -> Volume:
    is_bound = draw(st.booleans())
    labels = st.builds(
        lambda key, values: Requirement(key, Operator.IN, values),
        st.sampled_from([ZONE, OLD_ZONE]),
        st.sampled_from([("z0",), ("z0", "z1")]),
    )
    return Volume(
        namespace,
        name,
        is_bound,
        draw(some(NODE_TERMS, 1)) if draw(st.booleans()) else (),
        wait_for_first_consumer=draw(st.integers(0, 4)) != 4,
        zone_labels=draw(some(labels, 1)) if is_bound else (),
        driver=draw(st.sampled_from([None, "", "ebs.csi.aws.com", "efs.csi.aws.com"])),
        single_pod=draw(st.integers(0, 3)) == 3,
        refusal=draw(st.sampled_from([None] * 6 + ["is being deleted"])),
    )


@dataclass(frozen=True)
class Scene:
    """A cluster to be filled, and who comes in which order."""

    nodes: list[Node]
    pods: list[Pod]
    volumes: list[Volume] | None
    namespaces: list[Namespace]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    keys = [(namespace, f"c{i}") for namespace in "xy" for i in range(3)]
    theme = draw(st.sampled_from([None, *THEMES]))
    kinds = nodes if theme is None else plain_nodes
    return Scene(
        [draw(kinds(i)) for i in range(draw(st.integers(1, 4)))],
        [draw(pods(i, theme)) for i in range(draw(st.integers(1, 8)))],
        [draw(volumes(*key)) for key in keys] if draw(st.booleans()) else None,
        [Namespace("x", {"team": draw(st.sampled_from(["red", "blue"]))})] if draw(st.booleans()) else [],
    )


def compare(view: ClusterView, scene: Scene, placed: list[tuple[Pod, str]], pod: Pod) -> list[str]:
    """Ask both about a pod on every node; give the nodes that take it."""
    standing = [view.node(name) for name in view.node_names]
    cluster = Cluster(standing, placed, scene.volumes, scene.namespaces)
    fitting = [node.name for node in standing if may_run(cluster, pod, node)]
    for node in standing:
        reasons = view.reasons_against(pod, node.name)
        context = (pod.key, node.name, reasons, broken_rules(cluster, pod, node))
        assert view.fits(pod, node.name) is (node.name in fitting), context
        assert bool(reasons) is (node.name not in fitting), context
    assert view.first_fit(pod, view.node_names) == next(iter(fitting), None)
    return fitting


def play(scene: Scene, data: st.DataObject) -> None:
    """Let pods come, go and be forced; nodes come and go; and compare all along."""
    view = ClusterView(scene.nodes, volumes=scene.volumes, namespaces=scene.namespaces)
    placed: list[tuple[Pod, str]] = []
    for pod in scene.pods:
        fitting = compare(view, scene, placed, pod)
        event = data.draw(st.integers(0, 9))
        if event == 0 and placed:
            gone = data.draw(st.sampled_from(placed))
            placed.remove(gone)
            assert view.remove(gone[0].key) is gone[0]
            compare(view, scene, placed, gone[0])
        if event == 1:
            view = view.copy()
        if event == 2 and len(view.node_names) > 1:
            name = data.draw(st.sampled_from(view.node_names))
            view.remove_node(name)
            placed = [item for item in placed if item[1] != name]
            fitting = compare(view, scene, placed, pod)
        where = fitting or (view.node_names if event < 8 else ())  # some are there though they do not fit
        if where:
            name = data.draw(st.sampled_from(where))
            view.place(pod, name)
            placed.append((pod, name))
    for pod, _ in placed[:2]:
        view.remove(pod.key)
        rest = [item for item in placed if item[0] is not pod]
        compare(view, scene, rest, pod)
        placed = rest


@settings(max_examples=200, deadline=None)
@given(scenes(), st.data())
def test_both_agree_whatever_happens(scene: Scene, data: st.DataObject) -> None:
    play(scene, data)
