"""From DescribeInstanceTypes to the facts that planning needs.

Maximal pods: ENIs x (IPv4 addresses per ENI - 1) + 2 (amazon-eks-ami, eni-max-pods). The VPC CNI uses the default
network card only: all but four of the 1,197 types listed there come out alike, and those four lower.
"""

from collections.abc import Mapping
from typing import Any

from shared.kernel.capacity import InstanceType

ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}
GPU_RESOURCES = {"NVIDIA": "nvidia.com/gpu", "AMD": "amd.com/gpu"}
MIB = 1024**2
GB = 10**9


def instance_type_from(description: Mapping[str, Any]) -> InstanceType | None:
    """Read one item of DescribeInstanceTypes; None for what Kubernetes cannot run on (i386, Mac)."""
    name = str(description["InstanceType"])
    processor = description.get("ProcessorInfo", {}).get("SupportedArchitectures", ())
    architectures = tuple(sorted({ARCHITECTURES[a] for a in processor if a in ARCHITECTURES}))
    if not architectures or name.startswith("mac"):
        return None
    network = description.get("NetworkInfo", {})
    interfaces = _interfaces(network)
    addresses = int(network.get("Ipv4AddressesPerInterface", 0))
    if interfaces == 0 or addresses == 0:
        return None
    ebs = description.get("EbsInfo", {})
    gpus: dict[str, int] = {}
    for gpu in description.get("GpuInfo", {}).get("Gpus", ()):
        resource = GPU_RESOURCES.get(str(gpu.get("Manufacturer", "")).upper())
        if resource:
            gpus[resource] = gpus.get(resource, 0) + int(gpu.get("Count", 0))
    return InstanceType(
        name=name,
        vcpus=int(description["VCpuInfo"]["DefaultVCpus"]),
        memory_bytes=int(description["MemoryInfo"]["SizeInMiB"]) * MIB,
        architectures=architectures,
        max_pods=interfaces * (addresses - 1) + 2,
        gpus=gpus,
        is_burstable=bool(description.get("BurstablePerformanceSupported", False)),
        is_bare_metal=bool(description.get("BareMetal", False)),
        is_current_generation=bool(description.get("CurrentGeneration", True)),
        supports_spot="spot" in description.get("SupportedUsageClasses", ()),
        local_storage_bytes=int(description.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0)) * GB,
        is_nitro=description.get("Hypervisor", "nitro") == "nitro",
        ebs_attachments=ebs.get("MaximumEbsAttachments"),
        shares_attachments=ebs.get("AttachmentLimitType", "shared") == "shared",
    )


def _interfaces(network: Mapping[str, Any]) -> int:
    default = network.get("DefaultNetworkCardIndex", 0)
    for card in network.get("NetworkCards", ()):
        if card.get("NetworkCardIndex") == default:
            return int(card["MaximumNetworkInterfaces"])
    return int(network.get("MaximumNetworkInterfaces", 0))
