"""Workloads, evictions, nodes and what the journal makes of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from deploy.sandbox.kubernetes.index import is_healthy
from deploy.sandbox.kubernetes.kinds import BUDGET, POD, REPLICA_SET, Object
from tests.integration.sandbox_kubernetes.world import Lab, budget, lab, pod, workload

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        yield made


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def settle(cluster: Lab) -> None:
    await until(lambda: cluster.cluster.settled().settled)


def pods(cluster: Lab, app: str) -> list[Object]:
    found = cluster.cluster.store.all(POD)
    return [p for p in found if p["metadata"].get("labels", {}).get("app") == app]


async def evict(cluster: Lab, name: str, *, uid: str | None = None) -> None:
    options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid)) if uid else None
    body = client.V1Eviction(metadata=client.V1ObjectMeta(name=name), delete_options=options)
    await cluster.core.create_namespaced_pod_eviction(name, "default", body)


async def test_a_deployment_runs_and_its_deletion_cascades(cluster: Lab) -> None:
    cluster.ready_nodes(2)
    cluster.cluster.apply(workload("Deployment", "web", replicas=5))
    await settle(cluster)
    deployment = await cluster.apps.read_namespaced_deployment("web", "default")
    assert deployment.status.ready_replicas == 5
    [one, *_] = pods(cluster, "web")
    owner = one["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["controller"]) == ("ReplicaSet", True)
    assert one["metadata"]["labels"]["pod-template-hash"] in owner["name"]
    await cluster.apps.delete_namespaced_deployment("web", "default")
    await until(lambda: not pods(cluster, "web") and not list(cluster.cluster.store.all(REPLICA_SET)))


async def test_a_new_template_rolls_out(cluster: Lab) -> None:
    cluster.ready_nodes(1)
    cluster.cluster.apply(workload("Deployment", "web", replicas=2))
    await settle(cluster)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}}
    await cluster.apps.patch_namespaced_deployment("web", "default", patch)
    await until(
        lambda: [p["spec"]["containers"][0]["image"] for p in pods(cluster, "web")] == ["app:2", "app:2"]
    )


@pytest.mark.slow
async def test_a_budget_lets_one_go_at_a_time(tmp_path: Path) -> None:
    # Slow enough that the first pod's replacement cannot be ready before the second eviction.
    async with lab(tmp_path, clock_factor=30.0) as cluster:
        cluster.ready_nodes(2)
        cluster.cluster.apply(workload("Deployment", "web", replicas=3))
        cluster.cluster.apply(budget("web", "web", maxUnavailable=1))
        await settle(cluster)
        first, second, _ = (p["metadata"]["name"] for p in pods(cluster, "web"))
        await evict(cluster, first)
        with pytest.raises(ApiException) as caught:
            await evict(cluster, second)
        assert caught.value.status == 429
        assert '"reason":"TooManyRequests"' in str(caught.value.body)
        assert "needs 2 healthy pods and has 2 currently" in str(caught.value.body)
        await settle(cluster)
        await until(
            lambda: cluster.cluster.store.get(BUDGET, "default", "web")["status"]["disruptionsAllowed"] == 1
        )
        assert len(pods(cluster, "web")) == 3
        await evict(cluster, second)
        assert cluster.cluster.journal.evictions == 2
        assert cluster.cluster.journal.violations == []


@pytest.mark.parametrize(
    ("spec", "desired", "allowed"),
    [
        ({"minAvailable": 3}, 3, 1),
        ({"minAvailable": "50%"}, 2, 2),
        ({"maxUnavailable": "25%"}, 3, 1),
        ({"maxUnavailable": 0}, 4, 0),
    ],
)
async def test_budget_statuses(cluster: Lab, spec: Object, desired: int, allowed: int) -> None:
    cluster.ready_nodes(1)
    cluster.cluster.apply(budget("web", "web", **spec))
    cluster.cluster.apply(workload("Deployment", "web", replicas=4))
    await settle(cluster)
    status = cluster.cluster.store.get(BUDGET, "default", "web")["status"]
    assert (status["expectedPods"], status["currentHealthy"]) == (4, 4)
    assert (status["desiredHealthy"], status["disruptionsAllowed"]) == (desired, allowed)


async def test_deleting_past_a_budget_is_a_violation(cluster: Lab) -> None:
    cluster.ready_nodes(1)
    cluster.cluster.apply(workload("Deployment", "web", replicas=2))
    cluster.cluster.apply(budget("web", "web", minAvailable=2))
    await settle(cluster)
    await cluster.core.delete_namespaced_pod(pods(cluster, "web")[0]["metadata"]["name"], "default")
    [violation] = cluster.cluster.journal.violations
    assert (violation.budget, violation.healthy, violation.desired) == ("default/web", 1, 2)


async def test_an_eviction_of_another_pod_of_that_name_conflicts(cluster: Lab) -> None:
    cluster.ready_nodes(1)
    cluster.cluster.apply(pod("p"))
    await settle(cluster)
    with pytest.raises(ApiException) as caught:
        await evict(cluster, "p", uid="another")
    assert caught.value.status == 409


async def test_a_pod_has_its_grace_period(tmp_path: Path) -> None:
    async with lab(tmp_path, clock_factor=100.0) as cluster:
        cluster.ready_nodes(1)
        cluster.cluster.apply(pod("p", terminationGracePeriodSeconds=10))
        await settle(cluster)
        await cluster.core.delete_namespaced_pod("p", "default")
        leaving = await cluster.core.read_namespaced_pod("p", "default")
        assert leaving.metadata.deletion_timestamp is not None
        await until(lambda: not pods(cluster, "p"))


async def test_binding_places_a_pod_that_no_scheduler_takes(cluster: Lab) -> None:
    [name] = cluster.ready_nodes(1)
    cluster.cluster.apply(pod("p", schedulerName="mine"))
    target = client.V1ObjectReference(kind="Node", name=name)
    body = client.V1Binding(metadata=client.V1ObjectMeta(name="p"), target=target)
    await cluster.core.create_namespaced_pod_binding("p", "default", body, _preload_content=False)
    await settle(cluster)
    assert (await cluster.core.read_namespaced_pod("p", "default")).spec.node_name == name
    with pytest.raises(ApiException) as caught:
        await cluster.core.create_namespaced_pod_binding("p", "default", body)
    assert caught.value.status == 409


async def test_a_stateful_set_starts_in_order_and_a_daemon_follows_nodes(cluster: Lab) -> None:
    cluster.ready_nodes(2)
    cluster.cluster.apply(workload("StatefulSet", "db", replicas=3))
    cluster.cluster.apply(workload("DaemonSet", "log"))
    await until(lambda: len(pods(cluster, "db")) == 3)
    await settle(cluster)
    assert [p["metadata"]["name"] for p in pods(cluster, "db")] == ["db-0", "db-1", "db-2"]
    [third] = cluster.ready_nodes(1)
    await until(lambda: third in {p["spec"].get("nodeName") for p in pods(cluster, "log")})
    await evict(cluster, "db-0")
    await settle(cluster)
    assert len(pods(cluster, "db")) == 3


async def test_a_claim_keeps_its_pod_in_its_zone(cluster: Lab) -> None:
    cluster.ready_nodes(1, zone="us-east-1a")
    database = workload("StatefulSet", "db")
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    database["spec"]["volumeClaimTemplates"] = [claim]
    cluster.cluster.apply(database)
    await until(lambda: pods(cluster, "db"))
    await settle(cluster)
    [home] = (p["spec"]["nodeName"] for p in pods(cluster, "db"))
    [away] = cluster.ready_nodes(1, zone="us-east-1b")
    await cluster.core.patch_node(home, {"spec": {"unschedulable": True}})
    await evict(cluster, "db-0")
    await until(lambda: any(not p["spec"].get("nodeName") for p in pods(cluster, "db")))
    await until(lambda: pods(cluster, "db")[0]["status"].get("conditions"))
    [stuck] = pods(cluster, "db")
    assert stuck["status"]["conditions"][0]["reason"] == "Unschedulable"
    assert stuck["spec"].get("nodeName") != away
    await cluster.core.patch_node(home, {"spec": {"unschedulable": None}})
    await settle(cluster)
    assert pods(cluster, "db")[0]["spec"]["nodeName"] == home


async def test_an_instance_becomes_a_node_and_takes_it_along(cluster: Lab) -> None:
    cluster.cluster.apply(workload("Deployment", "web", replicas=2))
    instance = cluster.ec2.launch(capacity_type="spot")
    assert cluster.cluster.settled().nodes_not_ready == 1
    await until(lambda: len([p for p in pods(cluster, "web") if is_healthy(p)]) == 2)
    [node] = (await cluster.core.list_node()).items
    assert node.spec.provider_id == f"aws:///us-east-1a/{instance.id}"
    assert node.metadata.labels["eks.amazonaws.com/capacityType"] == "SPOT"
    assert node.status.allocatable["cpu"] == "3920m"
    cluster.ec2.terminate(instance)
    [loss] = cluster.cluster.lifecycle.terminations
    assert (len(loss.pods), loss.cordoned, loss.injected) == (2, False, False)
    await until(lambda: [p["status"]["phase"] for p in pods(cluster, "web")] == ["Pending", "Pending"])
    assert (await cluster.core.list_node()).items == []


@pytest.mark.parametrize("injected", [True, False])
async def test_only_an_announced_loss_breaks_no_budget(cluster: Lab, injected: bool) -> None:  # noqa: FBT001
    instance = cluster.ec2.launch()
    cluster.cluster.lifecycle.ready_now(instance)
    cluster.cluster.apply(workload("Deployment", "web", replicas=2))
    cluster.cluster.apply(budget("web", "web", maxUnavailable=1))
    await settle(cluster)
    if injected:
        cluster.cluster.lifecycle.mark_interrupted(instance.id)
    cluster.ec2.terminate(instance)
    assert len(cluster.cluster.journal.violations) == (0 if injected else 1)


async def test_metrics_are_a_steady_share_of_requests(cluster: Lab) -> None:
    cluster.ready_nodes(1)
    cluster.cluster.apply(pod("p", cpu="1"))
    await settle(cluster)
    metrics = client.CustomObjectsApi(cluster.api)
    found = await metrics.list_cluster_custom_object("metrics.k8s.io", "v1beta1", "pods")
    [item] = found["items"]
    assert 200 <= int(item["containers"][0]["usage"]["cpu"].removesuffix("m")) <= 700
