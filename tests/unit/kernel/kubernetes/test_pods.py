"""Pods: effective requests, owners, constraints, and what is said of bad ones."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.kernel.kubernetes import KubernetesObjectError, parse_pod
from shared.kernel.resources import Resources
from shared.kernel.workload import (
    HostPort,
    LabelSelector,
    NodeSelectorTerm,
    Operator,
    Owner,
    PodPhase,
    Requirement,
    TaintEffect,
    Toleration,
)
from tests.unit.kernel.kubernetes.raw import Raw, raw_container, raw_pod


def controller(kind: str, name: str) -> Raw:
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}]}


def cpu_of(pod: Raw) -> int:
    return parse_pod(pod).requests.cpu_millicores


def asks(cpu: str, **fields: Any) -> Raw:
    return raw_container(requests={"cpu": cpu}) | fields


@pytest.mark.parametrize(
    ("pod", "millicores"),
    [
        pytest.param(raw_pod(containers=[asks("100m"), asks("0.2")]), 300, id="containers add up"),
        pytest.param(raw_pod(containers=[raw_container(limits={"cpu": "2"})]), 2000, id="limits stand in"),
        pytest.param(
            raw_pod(containers=[raw_container(limits={"cpu": "2"}, requests={"cpu": 1})]), 1000, id="number"
        ),
        pytest.param(
            raw_pod(containers=[asks("1")], initContainers=[asks("3"), asks("2")]),
            3000,
            id="largest init wins",
        ),
        pytest.param(
            raw_pod(containers=[asks("1")], initContainers=[asks("500m", restartPolicy="Always")]),
            1500,
            id="sidecar adds",
        ),
        pytest.param(
            raw_pod(
                containers=[asks("1")],
                initContainers=[asks("1"), asks("500m", restartPolicy="Always"), asks("2")],
            ),
            2500,
            id="init beside the sidecars started before it",
        ),
        pytest.param(
            raw_pod(containers=[asks("1")], initContainers=[asks("2"), asks("900m", restartPolicy="Always")]),
            2000,
            id="init before a sidecar runs alone",
        ),
        pytest.param(raw_pod(containers=[asks("1")], overhead={"cpu": "250m"}), 1250, id="overhead"),
        pytest.param(
            raw_pod(containers=[asks("1")], resources={"requests": {"cpu": "3"}}, overhead={"cpu": "1"}),
            4000,
            id="pod level replaces the sum",
        ),
        pytest.param(
            raw_pod(containers=[raw_container()], resources={"limits": {"cpu": "3"}}),
            3000,
            id="pod level limit",
        ),
        pytest.param(
            raw_pod(containers=[asks("1")], resources={"limits": {"cpu": "3"}}),
            1000,
            id="containers ask first",
        ),
        pytest.param(
            raw_pod(
                containers=[asks("1")],
                status={"containerStatuses": [{"name": "main", "allocatedResources": {"cpu": "2"}}]},
            ),
            2000,
            id="resize down that is not done yet",
        ),
        pytest.param(
            raw_pod(
                containers=[asks("9")],
                status={
                    "conditions": [{"type": "PodResizePending", "reason": "Infeasible", "status": "True"}],
                    "containerStatuses": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}],
                },
            ),
            1000,
            id="resize that can never be",
        ),
        pytest.param(
            raw_pod(
                containers=[asks("9")],
                status={
                    "conditions": [{"type": "PodResizePending", "reason": "Deferred", "status": "True"}],
                    "containerStatuses": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}],
                },
            ),
            9000,
            id="resize that waits",
        ),
        pytest.param(
            raw_pod(
                containers=[asks("1")],
                initContainers=[
                    asks("200m", restartPolicy="Always"),
                    asks("2"),
                    asks("300m", restartPolicy="Always"),
                ],
                resources={"requests": {"memory": "1Gi"}},
            ),
            2200,
            id="sidecars in order, and pod level of another resource",
        ),
    ],
)
def test_effective_cpu_is_what_the_scheduler_counts(pod: Raw, millicores: int) -> None:
    assert cpu_of(pod) == millicores


def test_every_kind_of_resource_is_read() -> None:
    requests = {
        "cpu": "1",
        "memory": "1Gi",
        "ephemeral-storage": "1G",
        "nvidia.com/gpu": "2",
        "x.io/none": "0",
    }
    pod = parse_pod(raw_pod(containers=[raw_container(requests=requests, limits={"memory": "2Gi"})]))
    assert pod.requests == Resources(1000, 2**30, 10**9, {"nvidia.com/gpu": 2})
    assert pod.limits == Resources(memory_bytes=2**31)


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        pytest.param({}, None, id="bare"),
        pytest.param(controller("StatefulSet", "db"), Owner("StatefulSet", "db"), id="direct"),
        pytest.param(
            controller("ReplicaSet", "web-5d4f") | {"labels": {"pod-template-hash": "5d4f"}},
            Owner("Deployment", "web"),
            id="the hash says Deployment",
        ),
        pytest.param(controller("ReplicaSet", "web-5d4f"), Owner("ReplicaSet", "web-5d4f"), id="no hash"),
        pytest.param(
            controller("ReplicaSet", "web-5d4f") | {"labels": {"pod-template-hash": "else"}},
            Owner("ReplicaSet", "web-5d4f"),
            id="another hash",
        ),
        pytest.param({"ownerReferences": [{"kind": "X", "name": "y"}]}, None, id="owner, not controller"),
    ],
)
def test_owner_without_the_replica_set(metadata: Raw, owner: Owner | None) -> None:
    assert parse_pod(raw_pod(metadata=metadata)).owner == owner


def test_a_known_replica_set_decides_over_the_hash() -> None:
    raw = raw_pod(metadata=controller("ReplicaSet", "web-5d4f") | {"labels": {"pod-template-hash": "5d4f"}})
    known = {("shop", "web-5d4f"): Owner("Rollout", "web")}
    assert parse_pod(raw, replica_sets=known).owner == Owner("Rollout", "web")
    assert parse_pod(raw, replica_sets={("shop", "web-5d4f"): None}).owner == Owner("ReplicaSet", "web-5d4f")


def test_constraints_are_read() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "zone", "namespaceSelector": {}}
    rule = "requiredDuringSchedulingIgnoredDuringExecution"
    pod = parse_pod(
        raw_pod(
            nodeSelector={"disk": "ssd"},
            tolerations=[
                {"key": "spot", "operator": "Exists", "effect": "NoSchedule"},
                {"operator": "Exists"},
            ],
            affinity={
                "nodeAffinity": {
                    rule: {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "gen", "operator": "Gt", "values": ["4"]}]},
                            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]},
                        ]
                    },
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 7,
                            "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                        }
                    ],
                },
                "podAffinity": {rule: [term]},
                "podAntiAffinity": {
                    rule: [{"topologyKey": "host"}],
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 3, "podAffinityTerm": term}
                    ],
                },
            },
            topologySpreadConstraints=[
                {
                    "topologyKey": "zone",
                    "maxSkew": 2,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "minDomains": 3,
                    "labelSelector": {
                        "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]
                    },
                }
            ],
        )
    )
    assert pod.node_selector == {"disk": "ssd"}
    assert pod.tolerations == (
        Toleration("spot", "Exists", "", TaintEffect.NO_SCHEDULE),
        Toleration("", "Exists"),
    )
    assert pod.node_affinity == (
        NodeSelectorTerm(labels=(Requirement("gen", Operator.GT, ("4",)),)),
        NodeSelectorTerm(fields=(Requirement("metadata.name", Operator.IN, ("n1",)),)),
    )
    assert [p.weight for p in pod.preferred_nodes] == [7]
    (affinity,) = pod.pod_affinity
    assert affinity.selector == LabelSelector((Requirement("app", Operator.IN, ("db",)),))
    assert affinity.namespace_selector == LabelSelector()
    required, preferred = pod.pod_anti_affinity
    assert (required.selector, required.weight, preferred.weight) == (None, None, 3)
    (spread,) = pod.topology_spread
    assert (spread.max_skew, spread.min_domains, spread.when_unsatisfiable) == (2, 3, "ScheduleAnyway")
    assert spread.selector == LabelSelector((Requirement("app", Operator.NOT_IN, ("x",)),))


def test_an_empty_node_selector_stays_unsatisfiable() -> None:
    rule: Raw = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    assert parse_pod(raw_pod(affinity={"nodeAffinity": rule})).node_affinity == (NodeSelectorTerm(),)


def test_ports_volumes_and_marks_are_read() -> None:
    ports = [
        {"containerPort": 80},
        {"containerPort": 81, "hostPort": 8081, "protocol": "UDP", "hostIP": "10.0.0.1"},
    ]
    raw = raw_pod(
        containers=[raw_container() | {"ports": ports}],
        volumes=[
            {"name": "a", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "b", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "c", "emptyDir": {}},
        ],
        metadata={
            "annotations": {"karpenter.sh/do-not-disrupt": "true", "kubernetes.io/config.mirror": "x"},
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "deletionTimestamp": "2026-01-02T03:05:05Z",
        },
        nodeName="n1",
        schedulingGates=[{"name": "wait"}],
        terminationGracePeriodSeconds=0,
        status={
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "main", "restartCount": 3}],
        },
    )
    pod = parse_pod(raw)
    assert pod.host_ports == (HostPort(8081, "UDP", "10.0.0.1"),)
    assert pod.claims == ("data", "cart-0-b")
    assert pod.has_local_storage
    assert pod.do_not_disrupt
    assert pod.is_mirror
    assert pod.is_terminating
    assert pod.scheduling_gated
    assert pod.is_ready
    assert (pod.phase, pod.node_name, pod.restart_count) == (PodPhase.RUNNING, "n1", 3)
    assert pod.termination_grace_seconds == 0
    assert pod.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    on_host_network = parse_pod(raw | {"spec": raw["spec"] | {"hostNetwork": True}})
    assert HostPort(80) in on_host_network.host_ports


def test_claims_of_devices_and_the_system_are_read() -> None:
    pod = parse_pod(raw_pod(resourceClaims=[{"name": "gpu"}], os={"name": "windows"}))
    assert (pod.has_resource_claims, pod.os) == (True, "windows")
    plain = parse_pod(raw_pod(resourceClaims=[], os={}))
    assert (plain.has_resource_claims, plain.os) == (False, None)


def test_nothing_beyond_the_closed_list_is_kept() -> None:
    secret = {"image": "x", "command": ["secret"], "env": [{"name": "TOKEN", "value": "secret"}]}
    raw = raw_pod(containers=[raw_container() | secret], metadata={"annotations": {"note": "secret"}})
    assert "secret" not in repr(parse_pod(raw))


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            raw_pod(containers=[raw_container(requests={"cpu": "abc"})]),
            'pod shop/cart-0: cpu request "abc" is not a quantity',
        ),
        (
            raw_pod(containers=[raw_container(limits={"memory": "-1"})]),
            'pod shop/cart-0: memory limit "-1" is negative',
        ),
        (
            raw_pod(containers=[raw_container(requests={"cpu": [1]})]),
            "pod shop/cart-0: spec.containers[0].resources.requests.cpu is neither a number nor a string",
        ),
        ({"metadata": {"namespace": "shop"}}, "pod: metadata.name is missing"),
        ({"metadata": "x"}, "pod: metadata is not an object"),
        (raw_pod() | {"spec": {"containers": {}}}, "pod shop/cart-0: spec.containers is not a list"),
        (raw_pod(containers=["x"]), "pod shop/cart-0: spec.containers[0] is not an object"),  # type: ignore[list-item]
        (raw_pod(nodeName=7), "pod shop/cart-0: spec.nodeName is not a string"),
        (raw_pod(priority="high"), "pod shop/cart-0: spec.priority is not a whole number"),
        (
            raw_pod(metadata={"creationTimestamp": "then"}),
            'pod shop/cart-0: metadata.creationTimestamp "then" is not a time',
        ),
        (
            raw_pod(metadata={"labels": {"a": 1}}),
            "pod shop/cart-0: metadata.labels is not a mapping of strings",
        ),
        (raw_pod(status={"phase": "Odd"}), 'pod shop/cart-0: status.phase "Odd" is not a phase of pods'),
        (
            raw_pod(topologySpreadConstraints=[{"topologyKey": "zone", "maxSkew": 0}]),
            "pod shop/cart-0: spec.topologySpreadConstraints[0].maxSkew 0 is less than 1",
        ),
        (
            raw_pod(tolerations=[{"effect": "Never"}]),
            'pod shop/cart-0: spec.tolerations[0].effect "Never" is not an effect of taints',
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(raw: Raw, sentence: str) -> None:
    with pytest.raises(KubernetesObjectError) as caught:
        parse_pod(raw)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}, True),
        ({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}, False),
        ({"type": "PodScheduled", "status": "True"}, False),
        ({"type": "Ready", "status": "False", "reason": "Unschedulable"}, False),
    ],
)
def test_a_pod_says_that_kube_scheduler_found_no_node(condition: dict[str, str], *, expected: bool) -> None:
    pod = parse_pod(raw_pod(status={"phase": "Pending", "conditions": [condition]}))
    assert pod.is_unschedulable is expected
