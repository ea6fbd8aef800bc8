"""The one parser from Kubernetes JSON to the kernel's values: for the agent and the CLI."""

from shared.kernel.kubernetes.budgets import parse_budget
from shared.kernel.kubernetes.errors import KubernetesObjectError
from shared.kernel.kubernetes.lists import parse_objects
from shared.kernel.kubernetes.nodes import parse_node, parse_volume_limits
from shared.kernel.kubernetes.pods import parse_pod
from shared.kernel.kubernetes.quantities import cpu_millicores, memory_bytes, parse_quantity
from shared.kernel.kubernetes.volumes import parse_volume
from shared.kernel.kubernetes.workloads import (
    WORKLOAD_KINDS,
    parse_namespace,
    parse_workload,
    replica_set_owner,
)

__all__ = [
    "WORKLOAD_KINDS",
    "KubernetesObjectError",
    "cpu_millicores",
    "memory_bytes",
    "parse_budget",
    "parse_namespace",
    "parse_node",
    "parse_objects",
    "parse_pod",
    "parse_quantity",
    "parse_volume",
    "parse_volume_limits",
    "parse_workload",
    "replica_set_owner",
]
