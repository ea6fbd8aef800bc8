"""The scheduling rules and tests/verifier.py judge the same small clusters; they share no code and must agree."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel.kubernetes import parse_node, parse_objects, parse_pod
from shared.kernel.scheduling import ClusterView
from tests import verifier
from tests.builders import HOSTNAME, ZONE

Raw = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

APPS = st.sampled_from(["a", "b"])
TOPOLOGIES = st.sampled_from([ZONE, HOSTNAME, "rack"])


def expressions(keys: list[str], values: list[str]) -> st.SearchStrategy[Raw]:
    some = st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
    return st.one_of(
        st.builds(
            lambda key, operator, wanted: {"key": key, "operator": operator, "values": wanted},
            st.sampled_from(keys),
            st.sampled_from(["In", "NotIn"]),
            some,
        ),
        st.builds(
            lambda key, operator: {"key": key, "operator": operator},
            st.sampled_from(keys),
            st.sampled_from(["Exists", "DoesNotExist"]),
        ),
    )


SELECTORS = st.one_of(
    st.none(),
    st.just({}),
    st.builds(lambda app: {"matchLabels": {"app": app}}, APPS),
    st.builds(lambda e: {"matchExpressions": [e]}, expressions(["app", "rev"], ["a", "b", "1"])),
)
TERMS = st.fixed_dictionaries(
    {"topologyKey": TOPOLOGIES},
    optional={
        "labelSelector": SELECTORS,
        "namespaces": st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True),
        "namespaceSelector": st.sampled_from([{}, {"matchLabels": {"team": "red"}}]),
        "matchLabelKeys": st.just(["rev"]),
    },
)
SPREADS = st.fixed_dictionaries(
    {
        "topologyKey": TOPOLOGIES,
        "maxSkew": st.integers(1, 2),
        "whenUnsatisfiable": st.sampled_from(["DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"]),
        "labelSelector": SELECTORS,
    },
    optional={
        "minDomains": st.integers(1, 4),
        "nodeAffinityPolicy": st.sampled_from(["Honor", "Ignore"]),
        "nodeTaintsPolicy": st.sampled_from(["Honor", "Ignore"]),
        "matchLabelKeys": st.just(["rev"]),
    },
)
NUMBERS = st.builds(
    lambda operator, value: {"key": "gen", "operator": operator, "values": [value]},
    st.sampled_from(["Gt", "Lt"]),
    st.sampled_from(["4", "5"]),
)
FIELDS = st.builds(
    lambda operator: {"key": "metadata.name", "operator": operator, "values": ["n0"]},
    st.sampled_from(["In", "NotIn"]),
)
NODE_TERMS = st.fixed_dictionaries(
    {},
    optional={
        "matchExpressions": st.lists(NUMBERS | expressions([ZONE, "rack"], ["z0", "z1", "r"]), max_size=2),
        "matchFields": st.lists(FIELDS, max_size=1),
    },
)
EFFECTS = st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"])
TAINTS = st.builds(
    lambda value, effect: {"key": "t", "value": value, "effect": effect}, st.sampled_from(["1", "2"]), EFFECTS
)
TOLERATIONS = st.one_of(
    st.builds(lambda value: {"key": "t", "value": value}, st.sampled_from(["1", "2"])),
    st.builds(lambda effect: {"key": "t", "operator": "Exists", "effect": effect}, EFFECTS),
    st.just({"operator": "Exists"}),
)
CONTAINERS = st.fixed_dictionaries(
    {},
    optional={
        "resources": st.builds(
            lambda kind, cpu, memory: {kind: {"cpu": cpu, "memory": memory}},
            st.sampled_from(["requests", "limits"]),
            st.sampled_from(["0", "250m", "0.5", "1"]),
            st.sampled_from(["128Mi", "0.5Gi", "1e9"]),
        ),
        "ports": st.lists(
            st.fixed_dictionaries(
                {"containerPort": st.just(80)},
                optional={"hostPort": st.just(8080), "hostIP": st.sampled_from(["10.0.0.1", "10.0.0.2"])},
            ),
            max_size=1,
        ),
    },
)
# One rule or two a pod: with all of them at once hardly any pod would fit anywhere.
ASPECTS: st.SearchStrategy[Raw] = st.one_of(
    st.just({}),
    st.builds(lambda terms: {"podAffinity": terms}, st.lists(TERMS, min_size=1, max_size=2)),
    st.builds(lambda terms: {"podAntiAffinity": terms}, st.lists(TERMS, min_size=1, max_size=2)),
    st.builds(lambda items: {"topologySpreadConstraints": items}, st.lists(SPREADS, min_size=1, max_size=2)),
    st.builds(lambda terms: {"nodeAffinity": terms}, st.lists(NODE_TERMS, max_size=2)),
    st.builds(lambda items: {"tolerations": items}, st.lists(TOLERATIONS, min_size=1, max_size=2)),
    st.builds(lambda zone: {"nodeSelector": {ZONE: zone}}, st.sampled_from(["z0", "z1"])),
    st.builds(
        lambda container, restart: {"initContainers": [container | {"name": "i", "restartPolicy": restart}]},
        CONTAINERS,
        st.sampled_from([None, "Always"]),
    ),
)


def build_pod(index: int, namespace: str, labels: Raw, containers: list[Raw], aspects: list[Raw]) -> Raw:
    spec: Raw = {"containers": [c | {"name": f"c{i}"} for i, c in enumerate(containers)], "affinity": {}}
    for name, value in (item for aspect in aspects for item in aspect.items()):
        if name == "nodeAffinity":
            spec["affinity"][name] = {REQUIRED: {"nodeSelectorTerms": value}}
        elif name.startswith("pod"):
            spec["affinity"][name] = {REQUIRED: value}
        else:
            spec[name] = value
    return {
        "kind": "Pod",
        "metadata": {"name": f"p{index}", "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def build_node(
    index: int, zone: str, rack: str | None, taints: list[Raw], cpu: str, *, cordoned: bool
) -> Raw:
    labels = {HOSTNAME: f"n{index}", ZONE: zone, "gen": str(4 + index)} | ({"rack": rack} if rack else {})
    return {
        "kind": "Node",
        "metadata": {"name": f"n{index}", "labels": labels},
        "spec": {"taints": taints, "unschedulable": cordoned},
        "status": {"allocatable": {"cpu": cpu, "memory": "3Gi", "pods": "4"}},
    }


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Raw], list[Raw]]:
    nodes = [
        build_node(
            i,
            draw(st.sampled_from(["z0", "z1"])),
            draw(st.sampled_from([None, "r"])),
            draw(st.lists(TAINTS, max_size=1)) if draw(st.integers(0, 3)) == 0 else [],
            draw(st.sampled_from(["1", "2"])),
            cordoned=draw(st.integers(0, 9)) == 0,
        )
        for i in range(draw(st.integers(1, 4)))
    ]
    pods = [
        build_pod(
            i,
            draw(st.sampled_from(["x", "x", "y"])),
            draw(st.fixed_dictionaries({"app": APPS}, optional={"rev": st.sampled_from(["1", "2"])})),
            draw(st.lists(CONTAINERS, min_size=1, max_size=2)),
            draw(st.lists(ASPECTS, min_size=1, max_size=2)),
        )
        for i in range(draw(st.integers(1, 6)))
    ]
    return nodes, pods


NAMESPACES = [
    {"kind": "Namespace", "metadata": {"name": "x", "labels": {"team": "red"}}},
    {"kind": "Namespace", "metadata": {"name": "y"}},
]


def against(
    nodes: list[Raw], pods: list[Raw], placement: dict[str, str], key: str
) -> list[verifier.Violation]:
    """What the judge holds against the newcomer: its own violations, those it causes by being there at all."""
    node = placement[key]
    found = verifier.violations(nodes, pods, placement, namespaces=NAMESPACES)
    return [
        v
        for v in found
        if v.pod == key
        or (v.rule == "anti-affinity" and v.other == key)
        or (v.node == node and v.rule in ("pods", "resource", "host port"))
    ]


@settings(max_examples=300)
@given(clusters())
def test_both_agree_about_every_pod_on_every_node(cluster: tuple[list[Raw], list[Raw]]) -> None:
    nodes, pods = cluster
    view = ClusterView([parse_node(n) for n in nodes], namespaces=parse_objects(NAMESPACES).namespaces)
    placement: dict[str, str] = {}
    for raw in pods:
        pod = parse_pod(raw)
        fitting = []
        for name in view.node_names:
            objections = against(nodes, pods, placement | {pod.key: name}, pod.key)
            reasons = view.reasons_against(pod, name)
            assert bool(reasons) == bool(objections), (pod.key, name, reasons, objections)
            assert view.fits(pod, name) is not bool(reasons)
            fitting += [] if reasons else [name]
        if fitting:
            view.place(pod, fitting[-1])
            placement[pod.key] = fitting[-1]
