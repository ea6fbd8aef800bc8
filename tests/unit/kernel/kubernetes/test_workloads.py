"""Workloads, budgets, volumes and namespaces."""

from typing import Any

import pytest

from shared.kernel.kubernetes import (
    KubernetesObjectError,
    parse_budget,
    parse_namespace,
    parse_workload,
    replica_set_owner,
)
from shared.kernel.workload import LabelSelector, Operator, Owner, Requirement
from tests.unit.kernel.kubernetes.raw import Raw, raw_container, raw_pod


def raw_workload(kind: str, *, status: Raw | None = None, **spec: Any) -> Raw:
    metadata = {"name": "web", "namespace": "shop", "labels": {"team": "a"}}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": status or {}}


@pytest.mark.parametrize(
    ("raw", "replicas", "ready"),
    [
        (raw_workload("Deployment", replicas=3, status={"readyReplicas": 2}), 3, 2),
        (raw_workload("StatefulSet"), 1, 0),
        (raw_workload("Job", status={"ready": 1}), None, 1),
        (raw_workload("ReplicaSet", replicas=0), 0, 0),
        (raw_workload("DaemonSet", status={"numberReady": 4}), None, 4),
    ],
)
def test_replicas(raw: Raw, replicas: int | None, ready: int) -> None:
    workload = parse_workload(raw)
    assert (workload.key, workload.labels) == (f"shop/{raw['kind']}/web", {"team": "a"})
    assert (workload.replicas, workload.ready_replicas) == (replicas, ready)


def test_only_a_daemon_set_keeps_its_pods_and_these_tolerate_what_its_controller_adds() -> None:
    pod = raw_pod(
        containers=[raw_container(requests={"cpu": "50m"})], tolerations=[{"key": "own"}], hostNetwork=True
    )
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": pod["spec"]}
    assert parse_workload(raw_workload("Deployment", template=template)).pod_template is None
    daemon = parse_workload(raw_workload("DaemonSet", template=template)).pod_template
    assert daemon is not None
    assert (daemon.key, daemon.owner, daemon.labels) == (
        "shop/web",
        Owner("DaemonSet", "web"),
        {"app": "agent"},
    )
    assert daemon.requests.cpu_millicores == 50
    keys = [toleration.key for toleration in daemon.tolerations]
    assert keys[0] == "own"
    assert {"node.kubernetes.io/unschedulable", "node.kubernetes.io/network-unavailable"} <= set(keys)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KubernetesObjectError, match="CronJob is not a kind of workload"):
        parse_workload(raw_workload("CronJob"))


def test_a_replica_set_names_its_deployment() -> None:
    raw = raw_workload("ReplicaSet")
    assert replica_set_owner(raw) == (("shop", "web"), None)
    raw["metadata"]["ownerReferences"] = [{"kind": "Deployment", "name": "w", "controller": True}]
    assert replica_set_owner(raw) == (("shop", "web"), Owner("Deployment", "w"))


def test_a_budget() -> None:
    raw = {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3},
    }
    budget = parse_budget(raw)
    assert (budget.min_available, budget.max_unavailable) == ("2", None)
    assert budget.selector == LabelSelector((Requirement("app", Operator.IN, ("web",)),))
    assert (budget.disruptions_allowed, budget.current_healthy) == (1, 3)
    assert (budget.desired_healthy, budget.expected_pods) == (2, 3)
    share = parse_budget(raw | {"spec": {"maxUnavailable": "10%", "selector": {}}})
    assert (share.max_unavailable, share.selector) == ("10%", LabelSelector())
    assert parse_budget(raw | {"spec": {}}).selector is None
    assert not budget.always_allows_unhealthy
    assert parse_budget(raw | {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}}).always_allows_unhealthy


def test_a_namespace_carries_its_name_as_a_label() -> None:
    namespace = parse_namespace({"metadata": {"name": "shop", "labels": {"team": "a"}}})
    assert namespace.labels == {"kubernetes.io/metadata.name": "shop", "team": "a"}
