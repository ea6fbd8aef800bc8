"""Whole clusters, as `kubectl get nodes,pods,… -A -o json` prints them, in one file or several.

Items of a typed list (PodList) carry no kind of their own, and an empty list may be written `items: null`.
Kinds that planning does not need are passed over; an item whose kind cannot be told is an error, not a guess.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.kernel.kubernetes import volumes
from shared.kernel.kubernetes.budgets import parse_budget
from shared.kernel.kubernetes.errors import KubernetesObjectError
from shared.kernel.kubernetes.nodes import parse_node
from shared.kernel.kubernetes.pods import parse_pod
from shared.kernel.kubernetes.workloads import (
    WORKLOAD_KINDS,
    parse_namespace,
    parse_workload,
    replica_set_owner,
)
from shared.kernel.workload import ClusterObjects, Volume

SHAPES: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("Pod", "spec", frozenset({"containers"})),
    ("Node", "spec", frozenset({"providerID", "podCIDR", "podCIDRs"})),
    ("Node", "status", frozenset({"nodeInfo", "allocatable"})),
    ("PodDisruptionBudget", "spec", frozenset({"minAvailable", "maxUnavailable"})),
    ("PodDisruptionBudget", "status", frozenset({"disruptionsAllowed"})),
    ("PersistentVolume", "spec", frozenset({"persistentVolumeReclaimPolicy", "claimRef"})),
    ("PersistentVolumeClaim", "spec", frozenset({"accessModes"})),
    ("Job", "spec", frozenset({"backoffLimit", "completions"})),
    ("DaemonSet", "status", frozenset({"desiredNumberScheduled"})),
    ("StatefulSet", "spec", frozenset({"serviceName", "podManagementPolicy"})),
    ("Deployment", "spec", frozenset({"strategy", "progressDeadlineSeconds"})),
    ("ReplicaSet", "status", frozenset({"fullyLabeledReplicas"})),
    ("CSINode", "spec", frozenset({"drivers"})),
)
"""A kind, and fields (any one of them) that only it has, in the order to look."""


def parse_objects(items: Iterable[Mapping[str, Any]]) -> ClusterObjects:
    """Give what is known of a cluster from objects and lists of objects; the last of two namesakes counts.

    Raises:
        KubernetesObjectError: an object is not what the API would give.
    """
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for kind, obj in _flattened(items, None):
        found[kind].append(obj)
    replica_sets = dict(replica_set_owner(obj) for obj in found["ReplicaSet"])
    workloads = [
        parse_workload(obj, kind=kind)
        for kind in sorted(WORKLOAD_KINDS)
        for obj in found[kind]
        if kind != "ReplicaSet" or replica_set_owner(obj)[1] is None
    ]
    csi_nodes = {str(obj["metadata"]["name"]): obj for obj in map(_checked, found["CSINode"])}
    parsed = (parse_node(obj, csi_nodes.get(str(_checked(obj)["metadata"]["name"]))) for obj in found["Node"])
    nodes = {node.name: node for node in parsed}
    pods = {pod.key: pod for pod in (parse_pod(obj, replica_sets=replica_sets) for obj in found["Pod"])}
    budgets = {budget.key: budget for budget in map(parse_budget, found["PodDisruptionBudget"])}
    namespaces = {namespace.name: namespace for namespace in map(parse_namespace, found["Namespace"])}
    return ClusterObjects(
        nodes=tuple(nodes[key] for key in sorted(nodes)),
        pods=tuple(pods[key] for key in sorted(pods)),
        workloads=tuple(sorted({w.key: w for w in workloads}.values(), key=lambda w: w.key)),
        budgets=tuple(budgets[key] for key in sorted(budgets)),
        volumes=_volumes(found),
        namespaces=tuple(namespaces[key] for key in sorted(namespaces)),
    )


def _volumes(found: Mapping[str, list[Mapping[str, Any]]]) -> tuple[Volume, ...]:
    by_name = {str(obj["metadata"]["name"]): obj for obj in map(_checked, found.get("PersistentVolume", ()))}
    classes = {str(obj["metadata"]["name"]): obj for obj in map(_checked, found.get("StorageClass", ()))}
    default = next((obj for obj in classes.values() if volumes.is_default_class(obj)), None)
    parsed: dict[str, Volume] = {}
    for claim in found.get("PersistentVolumeClaim", ()):
        volume = by_name.get(volumes.claimed_volume(claim) or "")
        name = volumes.claimed_class(claim)
        result = volumes.parse_volume(
            claim, volume, default if name is None else classes.get(name), others=by_name.values()
        )
        parsed[result.key] = result
    return tuple(parsed[key] for key in sorted(parsed))


def _checked(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = obj.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        raise KubernetesObjectError(f"{obj.get('kind') or 'object'}: metadata.name is missing")
    return obj


def _flattened(
    items: Iterable[Mapping[str, Any]], list_kind: str | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise KubernetesObjectError(f"item {index} is not an object")
        kind = item.get("kind")
        if kind is not None and not isinstance(kind, str):
            raise KubernetesObjectError(f"item {index}: kind is not a string")
        if "items" in item and (kind is None or kind.endswith("List")):
            members = item["items"]
            if not isinstance(members, list | None):
                raise KubernetesObjectError(f"{kind or 'list'}: items is not a list")
            yield from _flattened(members or (), (kind or "").removesuffix("List") or None)
        else:
            yield kind or list_kind or _kind_by_shape(item, index), item


def _kind_by_shape(item: Mapping[str, Any], index: int) -> str:
    if "provisioner" in item:
        return "StorageClass"
    for kind, part, hints in SHAPES:
        fields = item.get(part)
        if isinstance(fields, Mapping) and not hints.isdisjoint(fields):
            return kind
    raise KubernetesObjectError(f"item {index} has no kind, and its fields do not tell which it is")
