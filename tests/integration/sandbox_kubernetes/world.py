"""EC2 without EC2: instances that a test starts and ends by hand."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubernetes_asyncio import client, config

from deploy.sandbox.kubernetes.cluster import Cluster, ClusterConfig
from deploy.sandbox.kubernetes.instances import Instance
from deploy.sandbox.kubernetes.kinds import Object


@dataclass(frozen=True)
class FakeFacts:
    name: str
    vcpus: int = 4
    memory_mib: int = 16_384
    architectures: tuple[str, ...] = ("x86_64",)
    gpus: int = 0
    gpu_resource: str | None = "nvidia.com/gpu"
    max_pods: int = 58
    local_storage_gib: int = 0


@dataclass(frozen=True)
class FakeInstance:
    id: str
    instance_type: str
    zone: str
    zone_id: str
    capacity_type: str
    tags: dict[str, str]
    private_ip: str
    state: str = "running"


@dataclass
class FakeInstances:
    known: dict[str, FakeInstance] = field(default_factory=dict)
    types: dict[str, FakeFacts] = field(default_factory=dict)
    callbacks: list[Callable[[Instance, str], None]] = field(default_factory=list)

    def instances(self) -> Iterator[FakeInstance]:
        return iter(self.known.values())

    def facts(self, instance_type: str) -> FakeFacts:
        return self.types.get(instance_type, FakeFacts(instance_type))

    def subscribe(self, callback: Callable[[Instance, str], None]) -> None:
        self.callbacks.append(callback)

    def launch(
        self, *, instance_type: str = "m5.xlarge", zone: str = "us-east-1a", capacity_type: str = "on-demand"
    ) -> FakeInstance:
        number = len(self.known)
        instance = FakeInstance(
            id=f"i-{number:08x}",
            instance_type=instance_type,
            zone=zone,
            zone_id=f"use1-az{'abcdef'.index(zone[-1]) + 1}",
            capacity_type=capacity_type,
            tags={"kubernetes.io/cluster/demo": "owned", "spot-optimizer/step": f"step-{number}"},
            private_ip=f"10.0.{number // 250}.{number % 250 + 4}",
        )
        self.known[instance.id] = instance
        self.tell(instance, "launched")
        return instance

    def terminate(self, instance: FakeInstance) -> None:
        ended = replace(instance, state="terminated")
        self.known[instance.id] = ended
        self.tell(ended, "terminating")
        self.tell(ended, "terminated")

    def tell(self, instance: FakeInstance, event: str) -> None:
        for callback in self.callbacks:
            callback(instance, event)


@dataclass(frozen=True)
class Lab:
    cluster: Cluster
    ec2: FakeInstances
    api: client.ApiClient

    @property
    def core(self) -> Any:
        return client.CoreV1Api(self.api)

    @property
    def apps(self) -> Any:
        return client.AppsV1Api(self.api)

    def ready_nodes(self, count: int, **kind: Any) -> list[str]:
        return [self.cluster.lifecycle.ready_now(self.ec2.launch(**kind)) for _ in range(count)]


@asynccontextmanager
async def lab(state_dir: Path, **settings: Any) -> AsyncIterator[Lab]:
    """A cluster at 1,000 times its speed, and the unchanged client of kubernetes-asyncio."""
    ec2 = FakeInstances()
    chosen = {"clock_factor": 1000.0, "bookmark_seconds": 0.05, **settings}
    made = ClusterConfig(name="demo", region="us-east-1", state_dir=state_dir, **chosen)
    cluster = await Cluster.start(config=made, instances=ec2)
    try:
        loaded = client.Configuration()
        await config.load_kube_config(str(cluster.kubeconfig), client_configuration=loaded)
        async with client.ApiClient(loaded) as api:
            yield Lab(cluster, ec2, api)
    finally:
        await cluster.stop()


def pod(name: str, *, cpu: str = "100m", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    container = {"name": "app", "image": "app:1", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels or {"app": name}},
        "spec": {"containers": [container], **spec},
    }


def workload(kind: str, name: str, *, replicas: int = 1, **spec: Any) -> Object:
    labels = {"app": name}
    container = {
        "name": "app",
        "image": "app:1",
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], **spec}}
    body: Object = {"selector": {"matchLabels": labels}, "template": template}
    if kind != "DaemonSet":
        body["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": body,
    }


def budget(name: str, app: str, **spec: Any) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}, **spec},
    }
