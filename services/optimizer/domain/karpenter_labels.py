"""The labels that Karpenter sets on its nodes by their instance type (karpenter.k8s.aws/instance-*).

Nobody else sets them, so new nodes have them only where Karpenter launches those. Of its well-known labels these are
the ones that our facts of a type suffice for; bandwidths, manufacturers and the names of GPUs are not among them.
"""

import re
from collections.abc import Mapping

from shared.kernel.capacity import InstanceType

PREFIX = "karpenter.k8s.aws/instance-"
SCHEME = re.compile(r"([a-z]+)(?:-[0-9]+tb)?([0-9]+).*\.", re.ASCII)
"""Category and generation, as Karpenter's AWS provider reads them from the name (computeRequirements)."""
MIB = 1024**2
NVIDIA_GPU = "nvidia.com/gpu"


def karpenter_labels(instance_type: InstanceType) -> Mapping[str, str]:
    """Give them; numbers are written so that Gt and Lt can compare them, memory is in MiB."""
    found = {
        "cpu": str(instance_type.vcpus),
        "memory": str(instance_type.memory_bytes // MIB),
        "family": instance_type.family,
        "size": instance_type.size,
    }
    scheme = SCHEME.match(instance_type.name)
    if scheme is not None:
        found |= {"category": scheme[1], "generation": scheme[2]}
    if instance_type.gpus.get(NVIDIA_GPU):
        found["gpu-count"] = str(instance_type.gpus[NVIDIA_GPU])
    return {f"{PREFIX}{name}": value for name, value in found.items()}
