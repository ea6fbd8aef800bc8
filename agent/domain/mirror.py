"""What the agent knows of its cluster, and what of it was published.

A pod's owner may become known after the pod, a claim's volume after the claim: the mirror joins them whatever
the order. Published and current state are kept apart, so that a delta holds real changes only: whatever the API
says again, or changes in fields that are not published, is no change.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from shared.kernel.kubernetes import (
    KubernetesObjectError,
    parse_budget,
    parse_namespace,
    parse_node,
    parse_pod,
    parse_volume,
    parse_volume_limits,
    parse_workload,
    replica_set_owner,
    volumes,
)
from shared.kernel.workload import (
    ClusterObjects,
    DisruptionBudget,
    Namespace,
    Node,
    ObjectKind,
    ObjectRef,
    Owner,
    Pod,
    Volume,
    Workload,
)

Json = Mapping[str, Any]
PublishedValue = Node | Pod | Workload | DisruptionBudget | Volume | Namespace
Entry = tuple[ObjectRef, PublishedValue]


class WatchedKind(StrEnum):
    """The kinds of the Kubernetes API that are watched."""

    NAMESPACE = "Namespace"
    NODE = "Node"
    REPLICA_SET = "ReplicaSet"
    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"
    JOB = "Job"
    BUDGET = "PodDisruptionBudget"
    STORAGE_CLASS = "StorageClass"
    CSI_NODE = "CSINode"
    PERSISTENT_VOLUME = "PersistentVolume"
    CLAIM = "PersistentVolumeClaim"
    POD = "Pod"


STORAGE_KINDS = frozenset({WatchedKind.STORAGE_CLASS, WatchedKind.PERSISTENT_VOLUME, WatchedKind.CLAIM})


@dataclass(frozen=True, slots=True)
class Delta:
    """What is new or different, and what is gone."""

    upserts: tuple[Entry, ...] = ()
    deletes: tuple[ObjectRef, ...] = ()

    def __len__(self) -> int:
        return len(self.upserts) + len(self.deletes)


def object_key(obj: Json) -> str:
    """Give name, or namespace/name, as it stands in an object's metadata."""
    metadata = obj.get("metadata") or {}
    namespace, name = metadata.get("namespace"), metadata.get("name", "")
    return f"{namespace}/{name}" if namespace else str(name)


def gather(values: Iterable[Entry]) -> ClusterObjects:
    """Sort values into their kinds, each by key."""
    found: dict[ObjectKind, list[Any]] = defaultdict(list)
    for ref, value in sorted(values, key=_ref):
        found[ref.kind].append(value)
    return ClusterObjects(
        nodes=tuple(found[ObjectKind.NODE]),
        pods=tuple(found[ObjectKind.POD]),
        workloads=tuple(found[ObjectKind.WORKLOAD]),
        budgets=tuple(found[ObjectKind.BUDGET]),
        volumes=tuple(found[ObjectKind.VOLUME]),
        namespaces=tuple(found[ObjectKind.NAMESPACE]),
    )


class Mirror:
    """The state; not thread-safe, as everything runs in one loop."""

    def __init__(self) -> None:
        self._current: dict[ObjectRef, PublishedValue] = {}
        self._published: dict[ObjectRef, PublishedValue] = {}
        self._dirty: set[ObjectRef] = set()
        self._seen: dict[WatchedKind, set[str]] = {kind: set() for kind in WatchedKind}
        self._replica_sets: dict[tuple[str, str], Owner | None] = {}
        self._pods_by_replica_set: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._replica_set_of_pod: dict[str, tuple[str, str]] = {}
        self._storage: dict[WatchedKind, dict[str, Json]] = {kind: {} for kind in STORAGE_KINDS}
        self._is_storage_dirty = False
        self._volume_limits: dict[str, Mapping[str, int]] = {}

    def put(self, kind: WatchedKind, obj: Json) -> None:
        """Take an object that is new or changed.

        Raises:
            KubernetesObjectError: it cannot be read; an older version of it is forgotten.
        """
        key = object_key(obj)
        self._seen[kind].add(key)
        try:
            self._take(kind, key, obj)
        except Exception:
            self._forget(kind, key)
            raise

    def remove(self, kind: WatchedKind, key: str) -> None:
        """Forget an object that is gone."""
        self._seen[kind].discard(key)
        self._forget(kind, key)

    def keep_only(self, kind: WatchedKind, keys: set[str]) -> None:
        """Forget what a full list did not hold."""
        for key in self._seen[kind] - keys:
            self.remove(kind, key)

    def count(self, kind: WatchedKind) -> int:
        """Give how many objects of a kind there are."""
        return len(self._seen[kind])

    def take_delta(self) -> Delta | None:
        """Give what changed since the last call, and count it as published; None when nothing did."""
        self._join_storage()
        upserts: list[Entry] = []
        deletes: list[ObjectRef] = []
        for ref in self._dirty:
            now, before = self._current.get(ref), self._published.get(ref)
            if now == before:
                continue
            if now is None:
                del self._published[ref]
                deletes.append(ref)
            else:
                self._published[ref] = now
                upserts.append((ref, now))
        self._dirty.clear()
        if not upserts and not deletes:
            return None
        return Delta(tuple(sorted(upserts, key=_ref)), tuple(sorted(deletes)))

    def published(self) -> list[Entry]:
        """Give the state as the deltas so far have told it, in the order of keys."""
        return sorted(self._published.items(), key=_ref)

    def _take(self, kind: WatchedKind, key: str, obj: Json) -> None:
        match kind:
            case WatchedKind.POD:
                self._take_pod(key, obj)
            case WatchedKind.REPLICA_SET:
                self._take_replica_set(key, obj)
            case WatchedKind.NODE:
                limits = self._volume_limits.get(key, {})
                self._set(ObjectRef(ObjectKind.NODE, key), replace(parse_node(obj), volume_limits=limits))
            case WatchedKind.CSI_NODE:
                self._limit(key, parse_volume_limits(obj))
            case WatchedKind.NAMESPACE:
                self._set(ObjectRef(ObjectKind.NAMESPACE, key), parse_namespace(obj))
            case WatchedKind.BUDGET:
                self._set(ObjectRef(ObjectKind.BUDGET, key), parse_budget(obj))
            case WatchedKind.STORAGE_CLASS | WatchedKind.PERSISTENT_VOLUME | WatchedKind.CLAIM:
                _check_storage(kind, obj)
                self._storage[kind][key] = obj
                self._is_storage_dirty = True
            case WatchedKind.DEPLOYMENT | WatchedKind.STATEFUL_SET | WatchedKind.DAEMON_SET | WatchedKind.JOB:
                self._set(_workload_ref(kind, key), parse_workload(obj, kind=kind.value))

    def _forget(self, kind: WatchedKind, key: str) -> None:
        match kind:
            case WatchedKind.POD:
                self._link(key, None)
                self._set(ObjectRef(ObjectKind.POD, key), None)
            case WatchedKind.REPLICA_SET:
                namespace, _, name = key.partition("/")
                self._replica_sets.pop((namespace, name), None)
                self._set(_workload_ref(kind, key), None)
            case WatchedKind.NODE:
                self._set(ObjectRef(ObjectKind.NODE, key), None)
            case WatchedKind.CSI_NODE:
                self._limit(key, {})
            case WatchedKind.NAMESPACE:
                self._set(ObjectRef(ObjectKind.NAMESPACE, key), None)
            case WatchedKind.BUDGET:
                self._set(ObjectRef(ObjectKind.BUDGET, key), None)
            case WatchedKind.STORAGE_CLASS | WatchedKind.PERSISTENT_VOLUME | WatchedKind.CLAIM:
                self._is_storage_dirty = self._storage[kind].pop(key, None) is not None or (
                    self._is_storage_dirty
                )
            case WatchedKind.DEPLOYMENT | WatchedKind.STATEFUL_SET | WatchedKind.DAEMON_SET | WatchedKind.JOB:
                self._set(_workload_ref(kind, key), None)

    def _set(self, ref: ObjectRef, value: PublishedValue | None) -> None:
        if value is None:
            self._current.pop(ref, None)
        else:
            self._current[ref] = value
        self._dirty.add(ref)

    def _limit(self, node_name: str, limits: Mapping[str, int]) -> None:
        self._volume_limits[node_name] = limits
        if not limits:
            del self._volume_limits[node_name]
        ref = ObjectRef(ObjectKind.NODE, node_name)
        node = self._current.get(ref)
        if isinstance(node, Node) and node.volume_limits != limits:
            self._set(ref, replace(node, volume_limits=limits))

    def _take_pod(self, key: str, obj: Json) -> None:
        pod = parse_pod(obj, replica_sets=self._replica_sets)
        self._link(key, _replica_set_above(obj))
        self._set(ObjectRef(ObjectKind.POD, key), pod)

    def _take_replica_set(self, key: str, obj: Json) -> None:
        pair, owner = replica_set_owner(obj)
        self._replica_sets[pair] = owner
        above = owner or Owner("ReplicaSet", pair[1])
        for pod_key in self._pods_by_replica_set.get(pair, ()):
            ref = ObjectRef(ObjectKind.POD, pod_key)
            pod = self._current.get(ref)
            if isinstance(pod, Pod) and pod.owner != above:
                self._set(ref, replace(pod, owner=above))
        self._set(
            _workload_ref(WatchedKind.REPLICA_SET, key),
            parse_workload(obj, kind="ReplicaSet") if owner is None else None,
        )

    def _link(self, pod_key: str, replica_set: tuple[str, str] | None) -> None:
        before = self._replica_set_of_pod.pop(pod_key, None)
        if before is not None:
            self._pods_by_replica_set[before].discard(pod_key)
            if not self._pods_by_replica_set[before]:
                del self._pods_by_replica_set[before]
        if replica_set is not None:
            self._replica_set_of_pod[pod_key] = replica_set
            self._pods_by_replica_set[replica_set].add(pod_key)

    def _join_storage(self) -> None:
        # Claims are few beside pods, and a storage class concerns many of them: all are joined anew.
        if not self._is_storage_dirty:
            return
        self._is_storage_dirty = False
        by_name = self._storage[WatchedKind.PERSISTENT_VOLUME]
        classes = self._storage[WatchedKind.STORAGE_CLASS]
        claims = self._storage[WatchedKind.CLAIM]
        default = next((c for _, c in sorted(classes.items()) if volumes.is_default_class(c)), None)
        for key, claim in claims.items():
            name = volumes.claimed_class(claim)
            storage_class = default if name is None else classes.get(name)
            volume = by_name.get(volumes.claimed_volume(claim) or "")
            try:
                value = parse_volume(claim, volume, storage_class, others=by_name.values())
            except KubernetesObjectError:  # the volume's or the class's fault: the claim itself was checked
                value = parse_volume(claim)
            self._set(ObjectRef(ObjectKind.VOLUME, key), value)
        for ref in [r for r in self._current if r.kind is ObjectKind.VOLUME and r.key not in claims]:
            self._set(ref, None)


def _ref(entry: Entry) -> ObjectRef:
    return entry[0]


def _workload_ref(kind: WatchedKind, key: str) -> ObjectRef:
    namespace, _, name = key.partition("/")
    return ObjectRef(ObjectKind.WORKLOAD, f"{namespace}/{kind.value}/{name}")


def _check_storage(kind: WatchedKind, obj: Json) -> None:
    if kind is WatchedKind.CLAIM:
        parse_volume(obj)
    elif kind is WatchedKind.STORAGE_CLASS:
        volumes.is_default_class(obj)


def _replica_set_above(obj: Json) -> tuple[str, str] | None:
    metadata = obj.get("metadata") or {}
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller") and reference.get("kind") == "ReplicaSet":
            return (metadata.get("namespace") or "default", str(reference.get("name")))
    return None
