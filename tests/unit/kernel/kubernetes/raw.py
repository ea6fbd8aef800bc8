"""Kubernetes JSON as the API gives it, cut down to what a test is about."""

from collections.abc import Mapping
from typing import Any

Raw = dict[str, Any]


def raw_container(name: str = "main", **resources: Any) -> Raw:
    """A container; `requests` and `limits` as they stand in YAML."""
    return {"name": name, "resources": resources}


def raw_pod(
    name: str = "cart-0",
    *,
    namespace: str = "shop",
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    containers: list[Raw] | None = None,
    **spec: Any,
) -> Raw:
    """A pod with one container that asks for nothing."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **(metadata or {})},
        "spec": {"containers": containers or [raw_container()], **spec},
        "status": dict(status or {}),
    }


def raw_node(
    name: str = "node-1", *, metadata: Mapping[str, Any] | None = None, status: Any = None, **spec: Any
) -> Raw:
    """A node of 4 CPUs and 16 GiB."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, **(metadata or {})},
        "spec": spec,
        "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "58"}} if status is None else status,
    }
