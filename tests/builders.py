"""Kernel values with sensible defaults: a test names only what it is about."""

import zlib
from collections.abc import Mapping
from typing import Any

from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.resources import Resources
from shared.kernel.workload import (
    LabelSelector,
    Node,
    Operator,
    Owner,
    Pod,
    PodAffinityTerm,
    PodPhase,
    Requirement,
    TopologySpread,
    Workload,
)

GIB = 2**30
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
WEB = Owner("Deployment", "web")


def make_resources(*, cpu: int = 0, gib: float = 0, **extended: int) -> Resources:
    """Millicores, GiB, and devices by name (gpu=1 is one nvidia.com/gpu)."""
    devices = {"nvidia.com/gpu" if name == "gpu" else name: amount for name, amount in extended.items()}
    return Resources(cpu_millicores=cpu, memory_bytes=int(gib * GIB), extended=devices)


def make_pod(
    name: str = "web-0",
    *,
    namespace: str = "shop",
    cpu: int = 500,
    gib: float = 1,
    gpu: int = 0,
    app: str | None = "web",
    node: str | None = None,
    owner: Owner | None = WEB,
    labels: Mapping[str, str] | None = None,
    **fields: Any,
) -> Pod:
    """A pod of the Deployment web; running if a node is named, else pending."""
    return Pod(
        namespace=namespace,
        name=name,
        uid=fields.pop("uid", f"uid-{namespace}-{name}"),
        requests=make_resources(cpu=cpu, gib=gib, **({"gpu": gpu} if gpu else {})),
        phase=fields.pop("phase", PodPhase.RUNNING if node else PodPhase.PENDING),
        is_ready=fields.pop("is_ready", node is not None),
        node_name=node,
        owner=owner,
        labels=({"app": app} if app else {}) | dict(labels or {}),
        **fields,
    )


def make_node(
    name: str = "node-1",
    *,
    cpu: int = 4000,
    gib: float = 16,
    gpu: int = 0,
    max_pods: int = 58,
    zone: str = "us-east-1a",
    zone_id: str = "use1-az1",
    instance_type: str = "m5.xlarge",
    capacity_type: CapacityType = CapacityType.ON_DEMAND,
    labels: Mapping[str, str] | None = None,
    **fields: Any,
) -> Node:
    """A Ready m5.xlarge in us-east-1a with the labels that EKS would give it."""
    size = make_resources(cpu=cpu, gib=gib, **({"gpu": gpu} if gpu else {}))
    own = {
        HOSTNAME: name,
        ZONE: zone,
        "topology.k8s.aws/zone-id": zone_id,
        "node.kubernetes.io/instance-type": instance_type,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "karpenter.sh/capacity-type": str(capacity_type),
    }
    return Node(
        name=name,
        uid=fields.pop("uid", f"uid-{name}"),
        allocatable=size,
        capacity=fields.pop("capacity", size),
        max_pods=max_pods,
        labels=own | dict(labels or {}),
        instance_id=fields.pop("instance_id", f"i-{zlib.crc32(name.encode()):017x}"),
        instance_type=instance_type,
        zone=zone,
        zone_id=zone_id,
        capacity_type=capacity_type,
        **fields,
    )


def make_instance_type(
    name: str = "m5.xlarge", *, vcpus: int = 4, gib: float = 16, max_pods: int = 58, **fields: Any
) -> InstanceType:
    """An instance type."""
    return InstanceType(name, vcpus=vcpus, memory_bytes=int(gib * GIB), max_pods=max_pods, **fields)


def make_pool(
    instance_type: str = "m5.xlarge",
    *,
    region: str = "us-east-1",
    zone_id: str = "use1-az1",
    capacity_type: CapacityType = CapacityType.ON_DEMAND,
) -> PoolKey:
    """A pool."""
    return PoolKey(region, instance_type, zone_id, capacity_type)


def make_daemon_set(name: str = "agent", *, namespace: str = "kube-system", **template: Any) -> Workload:
    """A DaemonSet whose pods look as `template` says (make_pod's arguments)."""
    pod = make_pod(name, namespace=namespace, app=name, owner=Owner("DaemonSet", name), **template)
    return Workload(namespace, "DaemonSet", name, pod_template=pod)


def app_selector(app: str = "web") -> LabelSelector:
    """Select the pods of one app."""
    return LabelSelector((Requirement("app", Operator.IN, (app,)),))


def near(app: str = "web", *, topology_key: str = ZONE, **fields: Any) -> PodAffinityTerm:
    """A required term on pods of an app: for pod_affinity, or for pod_anti_affinity."""
    return PodAffinityTerm(topology_key, app_selector(app), **fields)


def evenly(app: str = "web", *, topology_key: str = ZONE, max_skew: int = 1, **fields: Any) -> TopologySpread:
    """A hard spread constraint over pods of an app."""
    when = fields.pop("when_unsatisfiable", "DoNotSchedule")
    return TopologySpread(topology_key, max_skew, when, app_selector(app), **fields)
