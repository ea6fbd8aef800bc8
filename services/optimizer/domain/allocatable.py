"""What a node of an instance type will offer to pods, before there is such a node.

The formula is that of EKS nodes: (memory - 64 MiB on arm64) x (1 - overhead) - (255 + 11 x pods) MiB of kube-reserved
- 100 MiB of eviction threshold. It errs on the safe side: real nodes lose 1.7 to 5.3 % of memory, not 7.5 %, and what
real nodes of a type lost replaces the default where it is known.

Amazon Linux 2023 and Bottlerocket keep the same CPU, 1 GiB and 10 % of a disk of 20 GiB. They differ in the pods that
memory is kept for, and in disks: Bottlerocket counts with the kubelet's own maxPods (kube_reserve_memory in its
templates; Karpenter's UsesENILimitedMemoryOverhead is off for it), and has a second volume, /dev/xvdb, for its data.
"""

from collections.abc import Mapping

from services.optimizer.domain.karpenter_labels import karpenter_labels
from services.optimizer.domain.rules import DISK_BYTES, Template
from shared.kernel.capacity import AmiFamily, InstanceType
from shared.kernel.pools import PoolKey
from shared.kernel.resources import Resources
from shared.kernel.workload import Node

MIB = 1024**2
GIB = 1024**3
VM_MEMORY_OVERHEAD_RATIO = 0.075
ATTACHABLE_VOLUMES = 24
"""EBS volumes that any Nitro type without instance store still takes beside its interfaces and its root volume."""
OWN_DISKS: Mapping[AmiFamily, int] = {AmiFamily.AL2023: 1, AmiFamily.BOTTLEROCKET: 2}
"""EBS volumes that an image needs for itself."""
EARLY_INTERFACES = 1
"""Interfaces, beside the primary one, that the VPC CNI has attached when the EBS driver counts what is left."""
ADDRESSES_PER_PREFIX = 16
MANY_VCPUS = 30
MOST_PODS, MOST_PODS_OF_LARGE = 110, 250
"""What EKS recommends with prefix delegation, up to 30 vCPUs and above (amazon-eks-ami, max-pods-calculator)."""
RESERVED_CPU = ((1, 60), (1, 10), (2, 5))
"""(cores, millicores kept of each), from the first core on; of every further core 2.5."""


def pods_per_node(instance_type: InstanceType, template: Template) -> int:
    """Give how many pods the kubelet will take: what the template says, else what the interfaces have addresses for."""
    if template.max_pods is not None:
        return template.max_pods
    if not template.prefix_delegation or not instance_type.is_nitro:
        return instance_type.max_pods
    # A prefix of 16 addresses takes the place of each single one; the two are pods on the host's own network.
    addresses = (instance_type.max_pods - 2) * ADDRESSES_PER_PREFIX + 2
    return min(addresses, MOST_PODS_OF_LARGE if instance_type.vcpus > MANY_VCPUS else MOST_PODS)


def attachable_volumes(instance_type: InstanceType, *, ami_family: AmiFamily = AmiFamily.AL2023) -> int:
    """Give how many EBS volumes the EBS driver will say that the node takes, its own disks being there already."""
    more_disks = OWN_DISKS[ami_family] - 1
    most = instance_type.ebs_attachments
    if most is None:
        return ATTACHABLE_VOLUMES - more_disks
    taken = OWN_DISKS[ami_family] + (EARLY_INTERFACES if instance_type.shares_attachments else 0)
    return max(most - taken, 0)


def allocatable(
    instance_type: InstanceType,
    *,
    architecture: str,
    memory_overhead_ratio: float | None = None,
    max_pods: int | None = None,
    ami_family: AmiFamily = AmiFamily.AL2023,
    disk_bytes: int = DISK_BYTES,
) -> Resources:
    """Estimate what pods may ask for, daemons included.

    Amazon Linux keeps memory for the pods of the interfaces or for `max_pods`, whatever are more: which of the two a
    node counts with depends on what started its kubelet. Bottlerocket keeps it for `max_pods` where that is said.
    """
    ratio = VM_MEMORY_OVERHEAD_RATIO if memory_overhead_ratio is None else memory_overhead_ratio
    seen = instance_type.memory_bytes - (64 * MIB if architecture == "arm64" else 0)
    pods = instance_type.max_pods if max_pods is None else max_pods
    if ami_family is AmiFamily.AL2023:
        pods = max(pods, instance_type.max_pods)
    kube_reserved = (255 + 11 * pods) * MIB
    memory = int(seen * (1 - ratio)) - kube_reserved - 100 * MIB
    return Resources(
        cpu_millicores=max(instance_type.vcpus * 1000 - _reserved_millicores(instance_type.vcpus), 0),
        memory_bytes=max(memory // MIB * MIB, 0),
        ephemeral_storage_bytes=max(disk_bytes - disk_bytes // 10 - GIB, 0),
        extended=dict(instance_type.gpus),
    )


def _reserved_millicores(vcpus: int) -> int:
    reserved, left = 0.0, vcpus
    for cores, each in RESERVED_CPU:
        taken = min(cores, left)
        reserved += taken * each
        left -= taken
    return -int(-(reserved + left * 2.5) // 1)


def candidate_node(
    instance_type: InstanceType,
    pool: PoolKey,
    *,
    name: str,
    architecture: str,
    template: Template,
    memory_overhead_ratio: float | None = None,
) -> Node:
    """Describe the node that `pool` would give, with the labels that EKS, Karpenter and the EBS driver set."""
    zone = template.zone_name(pool.zone_id) or pool.zone_id
    max_pods = pods_per_node(instance_type, template)
    room = allocatable(
        instance_type,
        architecture=architecture,
        memory_overhead_ratio=memory_overhead_ratio,
        max_pods=max_pods,
        ami_family=template.ami_family,
        disk_bytes=template.disk_bytes,
    )
    labels = {
        **template.labels,
        **(karpenter_labels(instance_type) if template.by_karpenter else {}),
        "node.kubernetes.io/instance-type": pool.instance_type,
        "beta.kubernetes.io/instance-type": pool.instance_type,
        "topology.kubernetes.io/region": pool.region,
        "topology.kubernetes.io/zone": zone,
        "failure-domain.beta.kubernetes.io/region": pool.region,
        "failure-domain.beta.kubernetes.io/zone": zone,
        "topology.k8s.aws/zone-id": pool.zone_id,
        # The EBS driver sets it: volumes that older versions of it made name their zone by this key.
        "topology.ebs.csi.aws.com/zone": zone,
        "karpenter.sh/capacity-type": pool.capacity_type.value,
        "karpenter.sh/nodepool": template.node_pool,
        "kubernetes.io/arch": architecture,
        "kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
    }
    return Node(
        name=name,
        allocatable=room,
        max_pods=max_pods,
        capacity=Resources(
            instance_type.vcpus * 1000,
            instance_type.memory_bytes,
            template.disk_bytes,
            dict(instance_type.gpus),
        ),
        labels=labels,
        taints=template.taints,
        instance_type=pool.instance_type,
        zone=zone,
        zone_id=pool.zone_id,
        capacity_type=pool.capacity_type,
        node_pool=template.node_pool,
        attachable_volumes=attachable_volumes(instance_type, ami_family=template.ami_family),
    )
