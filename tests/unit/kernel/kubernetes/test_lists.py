"""Whole clusters from what kubectl prints."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.kernel.kubernetes import KubernetesObjectError, parse_objects
from shared.kernel.workload import Owner
from tests.unit.kernel.kubernetes.raw import Raw, raw_container, raw_node, raw_pod


def without_kind(raw: Raw) -> Raw:
    return {name: value for name, value in raw.items() if name not in ("kind", "apiVersion")}


def named(kind: str, name: str, **parts: Any) -> Raw:
    return {"kind": kind, "metadata": {"name": name, "namespace": "shop"}, **parts}


def test_kinds_are_sorted_out_and_unknown_ones_passed_over() -> None:
    objects = parse_objects(
        [
            {"kind": "List", "items": [raw_pod("b"), raw_pod("a"), raw_node(), {"kind": "ConfigMap"}]},
            {"kind": "PodList", "items": None},
            {"kind": "PodDisruptionBudgetList", "items": [without_kind(named("X", "budget", spec={}))]},
            {"kind": "Namespace", "metadata": {"name": "shop"}},
            raw_pod("c"),
        ]
    )
    assert [pod.key for pod in objects.pods] == ["shop/a", "shop/b", "shop/c"]
    assert [node.name for node in objects.nodes] == ["node-1"]
    assert [budget.key for budget in objects.budgets] == ["shop/budget"]
    assert [namespace.name for namespace in objects.namespaces] == ["shop"]


def test_the_last_of_two_namesakes_counts() -> None:
    newer = raw_pod(containers=[raw_container(requests={"cpu": "7"})])
    (pod,) = parse_objects([raw_pod(), newer]).pods
    assert pod.requests.cpu_millicores == 7000


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (raw_pod(), "pods"),
        (raw_node(), "nodes"),
        (raw_node(status={}, providerID="aws:///us-east-1a/i-0123456789abcdef0"), "nodes"),
        (named("X", "a", spec={"minAvailable": 1}), "budgets"),
        (named("X", "a", spec={"accessModes": []}), "volumes"),
        (named("X", "a", spec={"strategy": {}, "template": {}}), "workloads"),
        (named("X", "a", spec={"serviceName": "x"}), "workloads"),
    ],
)
def test_the_shape_tells_the_kind_where_nothing_else_does(raw: Raw, where: str) -> None:
    objects = parse_objects([{"items": [without_kind(raw)]}])
    assert len(getattr(objects, where)) == 1


def test_owners_go_through_replica_sets() -> None:
    def owned(kind: str, name: str) -> Raw:
        return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}]}

    web = named("ReplicaSet", "web-1", spec={})
    web["metadata"] |= owned("Deployment", "web")
    alone = named("ReplicaSet", "alone", spec={})
    objects = parse_objects(
        [
            raw_pod("a", metadata=owned("ReplicaSet", "web-1")),
            raw_pod("b", metadata=owned("ReplicaSet", "alone") | {"labels": {"pod-template-hash": "alone"}}),
            web,
            alone,
            named("Deployment", "web", spec={"replicas": 1}),
        ]
    )
    assert [pod.owner for pod in objects.pods] == [Owner("Deployment", "web"), Owner("ReplicaSet", "alone")]
    assert [workload.key for workload in objects.workloads] == [
        "shop/Deployment/web",
        "shop/ReplicaSet/alone",
    ]


def test_nodes_find_their_attach_limits() -> None:
    drivers = [{"name": "ebs.csi.aws.com", "allocatable": {"count": 25}}, {"name": "efs.csi.aws.com"}]
    nodes = [named("Node", name, spec={}, status={}) for name in ("a", "b")]
    objects = parse_objects([*nodes, named("CSINode", "b", spec={"drivers": drivers})])
    assert [node.volume_limits for node in objects.nodes] == [{}, {"ebs.csi.aws.com": 25}]


def test_claims_find_their_volume_and_class() -> None:
    claims = [
        named("PersistentVolumeClaim", "bound", spec={"volumeName": "pv"}),
        named("PersistentVolumeClaim", "default", spec={}),
        named("PersistentVolumeClaim", "other", spec={"storageClassName": "now"}),
    ]
    late = {"kind": "StorageClass", "metadata": {"name": "late"}, "volumeBindingMode": "WaitForFirstConsumer"}
    late["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}  # type: ignore[index]
    now = {"kind": "StorageClass", "metadata": {"name": "now"}}
    volume = {"kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {}}
    objects = parse_objects([*claims, late, now, volume])
    assert [(v.name, v.is_bound, v.wait_for_first_consumer) for v in objects.volumes] == [
        ("bound", True, False),
        ("default", False, True),
        ("other", False, False),
    ]


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([7], "item 0 is not an object"),
        ([{}, raw_pod()], "item 0 has no kind, and its fields do not tell which it is"),
        ([{"kind": "List", "items": "x"}], "List: items is not a list"),
        ([{"kind": ["Pod"]}], "item 0: kind is not a string"),
        ([{"kind": "StorageClass"}], "StorageClass: metadata.name is missing"),
        ([{"kind": "Pod"}], "pod: metadata.name is missing"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(items: list[Any], sentence: str) -> None:
    with pytest.raises(KubernetesObjectError) as caught:
        parse_objects(items)
    assert str(caught.value) == sentence


RICH: list[Raw] = [
    raw_pod(
        metadata={"labels": {"a": "b"}, "annotations": {"a": "b"}, "ownerReferences": [{"kind": "Job"}]},
        containers=[
            raw_container(requests={"cpu": "1"}, limits={"cpu": "1"}) | {"ports": [{"hostPort": 1}]},
        ],
        tolerations=[{"key": "a", "effect": "NoSchedule"}],
        topologySpreadConstraints=[{"topologyKey": "a", "maxSkew": 1, "labelSelector": {"matchLabels": {}}}],
        volumes=[{"name": "a", "persistentVolumeClaim": {"claimName": "a"}}],
        status={"conditions": [{"type": "Ready"}], "containerStatuses": [{"resources": {}}]},
    ),
    raw_node(taints=[{"key": "a", "effect": "NoSchedule"}], providerID="x"),
    named("DaemonSet", "a", spec={"template": {"metadata": {}, "spec": {"tolerations": [{}]}}}, status={}),
    named("PodDisruptionBudget", "a", spec={"minAvailable": 1, "selector": {}}, status={}),
    named("PersistentVolumeClaim", "a", spec={"volumeName": "a"}, status={}),
    named("PersistentVolume", "a", spec={"nodeAffinity": {"required": {"nodeSelectorTerms": [{}]}}}),
    named("StorageClass", "a", allowedTopologies=[{"matchLabelExpressions": [{"key": "a"}]}]),
]
JUNK: list[Any] = [None, True, -1, 1.5, "", "x", [], ["x"], [1], {}, {"x": 1}, [{}], [[]]]


def paths_in(value: Any) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield (name,)
        yield from ((name, *path) for path in paths_in(item))


def with_junk_at(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    spoiled = value.copy()
    spoiled[path[0]] = with_junk_at(value[path[0]], path[1:], junk)
    return spoiled


@pytest.mark.parametrize("raw", RICH, ids=lambda raw: raw["kind"])
def test_whatever_stands_in_a_field_is_read_or_refused_by_name(raw: Raw) -> None:
    for path in paths_in(raw):
        for junk in JUNK:
            others = [item for item in RICH if item is not raw]
            with contextlib.suppress(KubernetesObjectError):
                parse_objects([*others, with_junk_at(raw, path, junk)])


@pytest.mark.parametrize(
    ("folder", "nodes", "pods", "pod", "owner"),
    [
        ("eks_ecommerce", 2, 6, "kube-system/coredns-789f8477df-knmwr", Owner("Deployment", "coredns")),
        ("k3s_cluster", 1, 8, "kube-system/traefik-7cd4fcff68-9blj6", Owner("Deployment", "traefik")),
    ],
)
def test_real_dumps(data_folder: Path, folder: str, nodes: int, pods: int, pod: str, owner: Owner) -> None:
    files = sorted((data_folder / "kubernetes-dumps" / folder).rglob("*.json"))
    objects = parse_objects(json.loads(file.read_text()) for file in files)
    assert (len(objects.nodes), len(objects.pods)) == (nodes, pods)
    assert {p.key: p.owner for p in objects.pods}[pod] == owner
