"""Node objects as EKS on AL2023 makes them: labels, capacity, and what of it pods may use."""

from deploy.sandbox.kubernetes.instances import Facts, Instance
from deploy.sandbox.kubernetes.kinds import Object

_MIB = 2**20
_VM_OVERHEAD = 0.075
_EVICTION_MIB = 100
_EPHEMERAL_BYTES = 20 * 2**30
_EPHEMERAL_ALLOCATABLE_BYTES = 17 * 2**30
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def reserved_millicores(vcpus: int) -> int:
    """Return kube-reserved: 6 % of the first core, 1 % of the second, 0.5 % of two more, 0.25 % of the rest."""
    shares = (60, 10, 5, 5)
    return int(sum(shares[:vcpus]) + max(vcpus - len(shares), 0) * 2.5)


def allocatable_millicores(facts: Facts) -> int:
    """Return the CPU that pods may use."""
    return facts.vcpus * 1000 - reserved_millicores(facts.vcpus)


def capacity_bytes(facts: Facts) -> int:
    """Return the memory that the kernel sees."""
    # Graviton's firmware keeps 64 MiB for itself before anything else.
    seen = facts.memory_mib - (64 if facts.architectures[0] == "arm64" else 0)
    return int(seen * _MIB * (1 - _VM_OVERHEAD)) // 1024 * 1024


def allocatable_bytes(facts: Facts) -> int:
    """Return the memory that pods may use."""
    return capacity_bytes(facts) - (255 + 11 * facts.max_pods + _EVICTION_MIB) * _MIB


def node_name(instance: Instance, region: str) -> str:
    """Return the private DNS name, by which EKS nodes are called."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{instance.private_ip.replace('.', '-')}.{domain}"


def node_object(instance: Instance, facts: Facts, *, region: str, ready: bool, at: str) -> Object:
    """Build the node that an instance registers."""
    name = node_name(instance, region)
    architecture = {"x86_64": "amd64"}.get(facts.architectures[0], facts.architectures[0])
    is_spot = instance.capacity_type == "spot"
    extended = {facts.gpu_resource: str(facts.gpus)} if facts.gpus and facts.gpu_resource else {}
    taint = {"key": NOT_READY, "effect": "NoSchedule"}
    return {
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/arch": architecture,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": instance.instance_type,
                "topology.kubernetes.io/zone": instance.zone,
                "topology.kubernetes.io/region": region,
                "topology.k8s.aws/zone-id": instance.zone_id,
                "karpenter.sh/capacity-type": "spot" if is_spot else "on-demand",
                "karpenter.sh/nodepool": "default",
                "eks.amazonaws.com/capacityType": "SPOT" if is_spot else "ON_DEMAND",
            },
        },
        "spec": {
            "providerID": f"aws:///{instance.zone}/{instance.id}",
            **({} if ready else {"taints": [taint]}),
        },
        "status": {
            "capacity": {
                "cpu": str(facts.vcpus),
                "memory": f"{capacity_bytes(facts) // 1024}Ki",
                "ephemeral-storage": f"{_EPHEMERAL_BYTES // 1024}Ki",
                "pods": str(facts.max_pods),
                **extended,
            },
            "allocatable": {
                "cpu": f"{allocatable_millicores(facts)}m",
                "memory": f"{allocatable_bytes(facts) // 1024}Ki",
                "ephemeral-storage": str(_EPHEMERAL_ALLOCATABLE_BYTES),
                "pods": str(facts.max_pods),
                **extended,
            },
            "conditions": conditions(ready=ready, at=at),
            "addresses": [
                {"type": "InternalIP", "address": instance.private_ip},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "architecture": architecture,
                "operatingSystem": "linux",
                "osImage": "Amazon Linux 2023",
                "kubeletVersion": "v1.34.1-eks-sandbox",
                "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.12.46",
                "machineID": instance.id,
                "systemUUID": instance.id,
                "bootID": instance.id,
                "kubeProxyVersion": "v1.34.1-eks-sandbox",
            },
        },
    }


def conditions(*, ready: bool, at: str) -> list[Object]:
    """Return a node's conditions."""
    reason = "KubeletReady" if ready else "KubeletNotReady"
    fine = ("MemoryPressure", "DiskPressure", "PIDPressure")
    times = {"lastHeartbeatTime": at, "lastTransitionTime": at}
    return [
        *(
            {"type": name, "status": "False", "reason": "KubeletHasSufficientResources", **times}
            for name in fine
        ),
        {"type": "Ready", "status": str(ready), "reason": reason, "message": reason, **times},
    ]


def is_node_ready(node: Object) -> bool:
    """Whether a node's Ready condition is true."""
    found = (node.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in found)
