"""What an instance type has, and what of it pods may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AmiFamily(StrEnum):
    """What a node runs: it decides how much of a type its kubelet leaves for pods."""

    AL2023 = "al2023"
    BOTTLEROCKET = "bottlerocket"


@dataclass(frozen=True, slots=True)
class InstanceType:
    """The facts of DescribeInstanceTypes that planning needs."""

    name: str
    vcpus: int
    memory_bytes: int
    architectures: tuple[str, ...] = ("amd64",)
    """In Kubernetes' words: amd64, arm64."""
    max_pods: int = 110
    """ENIs of the default network card * (IPv4 addresses - 1) + 2."""
    gpus: Mapping[str, int] = field(default_factory=dict)
    """Extended resources that the type offers, such as nvidia.com/gpu."""
    is_burstable: bool = False
    is_bare_metal: bool = False
    is_current_generation: bool = True
    supports_spot: bool = True
    local_storage_bytes: int = 0
    is_nitro: bool = True
    """Whether its interfaces take prefixes of addresses."""
    ebs_attachments: int | None = None
    """Most EBS volumes, the root volume included; None: not known."""
    shares_attachments: bool = True
    """Whether network interfaces take of the same places."""

    @property
    def family(self) -> str:
        """What stands before the dot: m5, c7gn."""
        return self.name.partition(".")[0]

    @property
    def size(self) -> str:
        """What stands behind the dot: large, 12xlarge, metal."""
        return self.name.partition(".")[2]
