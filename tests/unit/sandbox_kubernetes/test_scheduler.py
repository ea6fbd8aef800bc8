"""The sandbox's scheduler filters as kube-scheduler does, one rule a test."""

from typing import Any

import pytest

from deploy.sandbox.kubernetes import asked as asking
from deploy.sandbox.kubernetes.admission import admit
from deploy.sandbox.kubernetes.kinds import POD, Object
from deploy.sandbox.kubernetes.nodetable import NodeTable
from deploy.sandbox.kubernetes.scheduler import UnschedulableError, choose

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"


def node(name: str, *, cpu: str = "4", zone: str = "a", labels: Any = None, **spec: Any) -> Object:
    allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "10", "ephemeral-storage": "10Gi"}
    allocatable.update(spec.pop("extra", {}))
    return {
        "metadata": {"name": name, "labels": {ZONE: zone, HOST: name, **(labels or {})}},
        "spec": spec,
        "status": {"allocatable": allocatable},
    }


def pod(
    name: str = "p", *, cpu: str = "1", requests: Any = None, labels: Any = None, **spec: Any
) -> asking.Asked:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu, **(requests or {})}}}
    container.update(spec.pop("container", {}))
    body = {"metadata": {"name": name, "labels": labels or {}}, "spec": {"containers": [container], **spec}}
    return asking.read(admit(POD, body, namespace="default"))


def table(*nodes: Object) -> NodeTable:
    made = NodeTable()
    for one in nodes:
        made.set_node(one)
    return made


def refusal(nodes: NodeTable, asked: asking.Asked) -> str:
    with pytest.raises(UnschedulableError) as caught:
        choose(nodes, asked)
    return str(caught.value)


def test_the_emptiest_node_is_chosen() -> None:
    nodes = table(node("small", cpu="2"), node("large", cpu="8"))
    assert choose(nodes, pod()) == "large"
    nodes.add(pod("other", cpu="7"), "large")
    assert choose(nodes, pod()) == "small"


def test_requests_count_until_the_pod_is_gone() -> None:
    nodes = table(node("only", cpu="2"))
    nodes.add(pod("first", cpu="1500m"), "only")
    assert refusal(nodes, pod()) == "0/1 nodes are available: 1 Insufficient cpu."
    assert nodes.drop(("default", "first"))
    assert choose(nodes, pod()) == "only"


def test_init_containers_sidecars_and_overhead_are_reserved() -> None:
    asked = pod(
        cpu="1",
        initContainers=[
            {"name": "sidecar", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
            {"name": "init", "resources": {"requests": {"cpu": "2"}}},
        ],
        overhead={"cpu": "100m"},
    )
    # max(1 + 0.5, 0.5 + 2) + 0.1
    assert asked.requests["cpu"] == 2600


def test_limits_stand_in_for_missing_requests() -> None:
    asked = pod(container={"resources": {"limits": {"cpu": "3", "nvidia.com/gpu": "1"}}})
    assert (asked.requests["cpu"], asked.requests["nvidia.com/gpu"]) == (3000, 1)


def test_the_number_of_pods_is_limited() -> None:
    nodes = table(node("only", cpu="64"))
    for number in range(10):
        nodes.add(pod(f"p{number}", cpu="1m"), "only")
    assert "Too many pods" in refusal(nodes, pod(cpu="1m"))


def test_gpus_are_only_where_they_are() -> None:
    nodes = table(node("plain", cpu="64"), node("gpu", extra={"nvidia.com/gpu": "1"}))
    wants = pod("g1", requests={"nvidia.com/gpu": "1"})
    assert choose(nodes, wants) == "gpu"
    nodes.add(wants, "gpu")
    assert "Insufficient extended resources" in refusal(nodes, pod("g2", requests={"nvidia.com/gpu": "1"}))
    assert refusal(table(node("plain")), wants).startswith("0/1")


def test_node_selector_and_a_cordon() -> None:
    nodes = table(node("a", zone="a"), node("b", zone="b", unschedulable=True))
    assert choose(nodes, pod(nodeSelector={ZONE: "a"})) == "a"
    assert refusal(nodes, pod(nodeSelector={ZONE: "b"}))


@pytest.mark.parametrize(
    ("operator", "values", "allowed"),
    [
        ("In", ["4"], {"four"}),
        ("NotIn", ["4"], {"eight", "none"}),
        ("Exists", [], {"four", "eight"}),
        ("DoesNotExist", [], {"none"}),
        ("Gt", ["4"], {"eight"}),
        ("Lt", ["8"], {"four"}),
    ],
)
def test_node_affinity_operators(operator: str, values: list[str], allowed: set[str]) -> None:
    nodes = [node("four", labels={"size": "4"}), node("eight", labels={"size": "8"}), node("none")]
    expression = {"key": "size", "operator": operator, "values": values}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    found = set()
    for one in nodes:
        try:
            found.add(choose(table(one), pod(affinity=affinity)))
        except UnschedulableError:
            continue
    assert found == allowed


def test_taints_need_tolerations() -> None:
    nodes = table(node("t", taints=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]))
    assert refusal(nodes, pod())
    assert refusal(nodes, pod(tolerations=[{"key": "dedicated", "value": "web", "effect": "NoSchedule"}]))
    assert choose(nodes, pod(tolerations=[{"key": "dedicated", "operator": "Exists"}])) == "t"
    assert choose(nodes, pod(tolerations=[{"operator": "Exists"}])) == "t"


def anti(app: str, key: str = HOST) -> Object:
    rule = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [rule]}}


def test_anti_affinity_holds_in_both_directions() -> None:
    nodes = table(node("a", zone="a"), node("b", zone="b"))
    nodes.add(pod("loner", labels={"app": "loner"}, affinity=anti("web", ZONE)), "a")
    assert choose(nodes, pod("w", labels={"app": "web"})) == "b"
    nodes.add(pod("w", labels={"app": "web"}), "b")
    assert choose(nodes, pod("x", labels={"app": "x"}, affinity=anti("web", ZONE))) == "a"


def test_affinity_follows_and_its_first_pod_may_go_anywhere() -> None:
    rule = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": ZONE}
    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [rule]}}
    nodes = table(node("a", zone="a", cpu="2"), node("b", zone="b", cpu="64"))
    assert choose(nodes, pod("first", labels={"app": "web"}, affinity=near)) == "b"
    assert refusal(nodes, pod("stranger", labels={"app": "x"}, affinity=near))
    nodes.add(pod("first", labels={"app": "web"}), "a")
    assert choose(nodes, pod("second", labels={"app": "web"}, affinity=near, cpu="500m")) == "a"


def test_spread_counts_cordoned_nodes_as_domains() -> None:
    rule = {
        "maxSkew": 1,
        "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    nodes = table(node("a", zone="a", cpu="64"), node("b", zone="b"))
    web: dict[str, Any] = {"labels": {"app": "web"}, "topologySpreadConstraints": [rule]}
    nodes.add(pod("w1", **web), "a")
    assert choose(nodes, pod("w2", **web)) == "b"
    nodes.set_node(node("b", zone="b", unschedulable=True))
    assert "topology spread" in refusal(nodes, pod("w2", **web))


def test_host_ports_clash() -> None:
    nodes = table(node("a", cpu="64"), node("b"))
    port = {"ports": [{"containerPort": 80, "hostPort": 80}]}
    nodes.add(pod("one", container=port), "a")
    assert choose(nodes, pod("two", container=port)) == "b"
    nodes.add(pod("two", container=port), "b")
    assert "free ports" in refusal(nodes, pod("three", container=port))


def test_a_thousand_pods_on_two_hundred_nodes_take_a_moment() -> None:
    nodes = table(*(node(f"n{number}", zone="abc"[number % 3]) for number in range(200)))
    for number in range(1000):
        asked = pod(f"p{number}", cpu="500m", labels={"app": f"w{number % 50}"})
        nodes.add(asked, choose(nodes, asked))
    assert int(nodes.used[:, 0].sum()) == 500_000
    assert int(nodes.used[:, 0].max()) <= 4000
