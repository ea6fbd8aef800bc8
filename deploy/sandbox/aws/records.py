"""What the sandbox's AWS knows and did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SPOT = "spot"
ON_DEMAND = "on-demand"

PLATFORM_ACCOUNT = "123456789012"
"""moto's default: whoever shows an unknown key belongs to it."""
CUSTOMER_ACCOUNT = "111122223333"
ROLE_ARN = f"arn:aws:iam::{CUSTOMER_ACCOUNT}:role/spot-optimizer"

RUNNING = "running"
TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Instance:
    """An EC2 instance, running or gone."""

    id: str
    account: str
    instance_type: str
    zone: str
    """The account's name of the zone, such as us-east-1a."""
    zone_id: str
    capacity_type: str
    """`spot` or `on-demand`."""
    tags: Mapping[str, str]
    launched_at: float
    """World seconds."""
    private_ip: str
    usd_per_hour: float
    """The price when it was launched; 0 when the market has none."""
    state: str = RUNNING
    """`running` or `terminated`."""
    terminated_at: float | None = None
    """World seconds."""
    terminated_by: str = ""
    """`product` (through the API), `interruption`, or empty while it runs."""


@dataclass(frozen=True, slots=True)
class InstanceTypeFacts:
    """What DescribeInstanceTypes says about a type."""

    name: str
    vcpus: int
    memory_mib: int
    architectures: tuple[str, ...]
    """`x86_64`, `arm64`."""
    gpus: int
    gpu_resource: str | None
    """`nvidia.com/gpu` or None."""
    max_pods: int
    local_storage_gib: int


def _interfaces(network: Mapping[str, Any]) -> int:
    # The VPC CNI uses the default network card only.
    default = network.get("DefaultNetworkCardIndex", 0)
    cards = [c for c in network.get("NetworkCards", ()) if c["NetworkCardIndex"] == default]
    return int((cards[0] if cards else network)["MaximumNetworkInterfaces"])


def facts_from(description: Mapping[str, Any]) -> InstanceTypeFacts:
    """Read one item of DescribeInstanceTypes."""
    network = description["NetworkInfo"]
    gpus = sum(
        int(gpu["Count"])
        for gpu in description.get("GpuInfo", {}).get("Gpus", ())
        if gpu.get("Manufacturer") == "NVIDIA"
    )
    return InstanceTypeFacts(
        name=str(description["InstanceType"]),
        vcpus=int(description["VCpuInfo"]["DefaultVCpus"]),
        memory_mib=int(description["MemoryInfo"]["SizeInMiB"]),
        architectures=tuple(
            a for a in description["ProcessorInfo"]["SupportedArchitectures"] if a in ("x86_64", "arm64")
        ),
        gpus=gpus,
        gpu_resource="nvidia.com/gpu" if gpus else None,
        max_pods=_interfaces(network) * (network["Ipv4AddressesPerInterface"] - 1) + 2,
        local_storage_gib=int(
            description.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0) * 1e9 / 2**30
        ),
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One write that came in through the API."""

    at: float
    """World seconds."""
    account: str
    service: str
    action: str
    parameters: Mapping[str, str]
    """Wire names, such as `TagSpecification.1.Tag.1.Key`."""
    client_token: str
    instance_ids: tuple[str, ...]
    """Launched or terminated by this call; for a repeated ClientToken those of the first."""
    error: str
    """EC2's error code, or empty."""
    repeated: bool = False
    """Answered from an earlier call with the same ClientToken."""


@dataclass(frozen=True, slots=True)
class PlatformCredentials:
    """What AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are to be; simulated, they open nothing real."""

    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True, slots=True)
class Seed:
    """What exists at the start."""

    region: str
    external_id: str
    queue_url: str
    launch_template_id: str
    subnets: tuple[tuple[str, str, str], ...]
    """Subnet id, zone name, zone id."""
    advisor_url: str
    platform_credentials: PlatformCredentials
    types_skipped: int
    """Types that the price file names and EC2 does not describe."""
    security_group_id: str = ""
    vpc_id: str = ""
    platform_account: str = PLATFORM_ACCOUNT
    customer_account: str = CUSTOMER_ACCOUNT
    role_arn: str = ROLE_ARN
