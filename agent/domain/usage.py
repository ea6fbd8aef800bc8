"""What pods use, from metrics.k8s.io."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.kernel.kubernetes import cpu_millicores, memory_bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one pod."""

    pod: str
    """namespace/name"""
    cpu_millicores: int
    memory_bytes: int


def parse_usage(obj: Mapping[str, Any]) -> Usage | None:
    """Sum a PodMetrics' containers; None when it is none."""
    metadata = obj.get("metadata") or {}
    if not metadata.get("name") or not metadata.get("namespace"):
        return None
    cpu = memory = 0
    try:
        for container in obj.get("containers") or ():
            used = container.get("usage") or {}
            cpu += cpu_millicores(str(used.get("cpu", "0")))
            memory += memory_bytes(str(used.get("memory", "0")))
    except (ValueError, AttributeError):
        return None
    return Usage(f"{metadata['namespace']}/{metadata['name']}", cpu, memory)
