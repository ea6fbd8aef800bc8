"""A plan that spreads over pools, carried out in the sandbox, survives the sudden loss of its largest pool.

The product sees the cluster as the API gives it, plans, and the plan is carried out the way its moves say: launch,
cordon, evict through the eviction API, terminate. Where pods go the sandbox's scheduler decides, who knows no pools.
Who survived is counted by the sandbox.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from deploy.sandbox.kubernetes.index import is_healthy
from deploy.sandbox.kubernetes.kinds import BUDGET, NODE, POD, REPLICA_SET, Object
from services.optimizer.domain.drafts import MoveDraft
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import PlanRules
from shared.kernel.kubernetes.lists import parse_objects
from shared.kernel.workload import ClusterObjects
from tests.integration.sandbox_kubernetes.world import FakeFacts, FakeInstance, Lab, budget, lab, workload
from tests.unit.optimizer.domain.market import SIZES, TEMPLATE, TYPES, ZONES, make_market

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

QUARTER = PlanRules(max_pool_share_ratio=0.25)
APPS = {"web": 8, "api": 12, "cart": 4, "pair": 2}
MINIMUM = {"web": 6, "api": 9, "cart": 3, "pair": 1}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        pods = {size: number for size, _, _, number in SIZES}
        for name, kind in TYPES.items():
            memory = kind.memory_bytes // 2**20
            made.ec2.types[name] = FakeFacts(name, kind.vcpus, memory, max_pods=pods[kind.size])
        yield made


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def shop(app: str, replicas: int) -> Object:
    made = workload("Deployment", app, replicas=replicas)
    [container] = made["spec"]["template"]["spec"]["containers"]
    container["resources"] = {"requests": {"cpu": "700m", "memory": "1Gi"}}
    return made


def seen(cluster: Lab) -> ClusterObjects:
    store = cluster.cluster.store
    kinds = {"Node": NODE, "Pod": POD, "ReplicaSet": REPLICA_SET, "PodDisruptionBudget": BUDGET}
    return parse_objects({**item, "kind": kind} for kind, key in kinds.items() for item in store.all(key))


def healthy(cluster: Lab) -> Counter[str]:
    return Counter(p["metadata"]["labels"]["app"] for p in cluster.cluster.store.all(POD) if is_healthy(p))


async def evict_all(cluster: Lab, node: str) -> None:
    """Evict as the agent does: what a budget refuses is tried again."""
    while names := [
        p["metadata"]["name"]
        for p in cluster.cluster.store.all(POD)
        if p["spec"].get("nodeName") == node and not p["metadata"].get("deletionTimestamp")
    ]:
        for name in names:
            try:
                await cluster.core.create_namespaced_pod_eviction(
                    name, "default", client.V1Eviction(metadata=client.V1ObjectMeta(name=name))
                )
            except ApiException as error:
                if error.status not in (404, 429):
                    raise
        await asyncio.sleep(0.005)


async def carry_out(cluster: Lab, move: MoveDraft) -> None:
    zones = {zone_id: name for name, zone_id in ZONES}
    for launch in move.launches:
        pool = launch.offers[0].pool
        cluster.ready_nodes(
            1,
            instance_type=pool.instance_type,
            zone=zones[pool.zone_id],
            capacity_type=pool.capacity_type.value,
        )
    for node in move.drains:
        await cluster.core.patch_node(node, {"spec": {"unschedulable": True}})
    for node in move.drains:
        await evict_all(cluster, node)
        await until(lambda: cluster.cluster.settled().settled)
        [instance] = [i for i in running(cluster) if cluster.cluster.lifecycle.node_of(i) == node]
        cluster.ec2.terminate(instance)
        await until(lambda: cluster.cluster.settled().settled)


def running(cluster: Lab) -> list[FakeInstance]:
    return [i for i in cluster.ec2.instances() if i.state == "running"]


async def test_the_sudden_loss_of_the_largest_pool_breaks_no_budget(cluster: Lab) -> None:
    for number in range(14):
        cluster.ready_nodes(1, instance_type="m5.2xlarge", zone=ZONES[number % 3][0])
    for app, replicas in APPS.items():
        cluster.cluster.apply(shop(app, replicas))
        cluster.cluster.apply(budget(app, app, minAvailable=MINIMUM[app]))
    await until(lambda: cluster.cluster.settled().settled and healthy(cluster) == APPS)

    draft = plan(seen(cluster), make_market(), QUARTER, TEMPLATE)
    assert draft.moves
    for move in draft.moves:
        await carry_out(cluster, move)
    assert healthy(cluster) == APPS
    assert cluster.cluster.journal.violations == []

    pools: dict[tuple[str, str], list[FakeInstance]] = {}
    for instance in running(cluster):
        if instance.capacity_type == "spot":
            pools.setdefault((instance.instance_type, instance.zone), []).append(instance)
    assert len(pools) >= 4
    on = Counter(p["spec"]["nodeName"] for p in cluster.cluster.store.all(POD))
    node_of = cluster.cluster.lifecycle.node_of
    largest = max(pools, key=lambda key: sum(on[node_of(i)] for i in pools[key]))
    gone = {node_of(i) for i in pools[largest]}
    lost = Counter(
        p["metadata"]["labels"]["app"]
        for p in cluster.cluster.store.all(POD)
        if p["spec"]["nodeName"] in gone
    )
    assert lost
    left = Counter(APPS)
    left.subtract(lost)
    assert all(left[app] >= least for app, least in MINIMUM.items()), (largest, lost)

    for instance in pools[largest]:
        cluster.ec2.terminate(instance)
    await until(lambda: not any(n["metadata"]["name"] in gone for n in cluster.cluster.store.all(NODE)))
    assert cluster.cluster.journal.violations == []
    assert all(healthy(cluster)[app] >= least for app, least in MINIMUM.items())
