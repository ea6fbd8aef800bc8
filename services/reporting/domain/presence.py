"""Which nodes and pods were there when: intervals made from what changes in a copy of a cluster.

A node counts from its Node object's creation (or from when we first saw it) until the copy shows it gone: what an
instance costs before its node registered is not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from shared.kernel.pools import CapacityType
from shared.kernel.workload import Node, Owner, Pod

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node's cost depends on; when it changes, a new interval begins."""

    uid: str
    instance_id: str | None
    instance_type: str | None
    zone_id: str | None
    capacity_type: CapacityType | None
    cpu_millicores: int
    """Allocatable."""
    memory_bytes: int
    """Allocatable."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What a pod's share of a node depends on; when it changes, a new interval begins."""

    uid: str
    node_name: str
    namespace: str
    owner: Owner
    """The pod itself where no controller owns it."""
    cpu_millicores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Changes(Generic[F]):
    """What to write so that the open intervals are what was seen."""

    ended: tuple[str, ...]
    begun: Mapping[str, F]


def node_facts(node: Node) -> NodeFacts:
    """Give what we keep of a node."""
    return NodeFacts(
        node.uid,
        node.instance_id,
        node.instance_type,
        node.zone_id,
        node.capacity_type,
        node.allocatable.cpu_millicores,
        node.allocatable.memory_bytes,
    )


def pod_facts(pod: Pod) -> PodFacts | None:
    """Give what we keep of a pod; None when it takes nothing of any node."""
    if pod.node_name is None or pod.is_finished:
        return None
    return PodFacts(
        pod.uid,
        pod.node_name,
        pod.namespace,
        pod.owner or Owner("Pod", pod.name),
        pod.requests.cpu_millicores,
        pod.requests.memory_bytes,
    )


def changes(held: Mapping[str, F], seen: Mapping[str, F | None]) -> Changes[F]:
    """Compare open intervals with what is there now; None in `seen` means gone, absence says nothing."""
    ended = tuple(sorted(key for key in seen if key in held and seen[key] != held[key]))
    begun = {
        key: facts for key, facts in sorted(seen.items()) if facts is not None and held.get(key) != facts
    }
    return Changes(ended, begun)


def begins_at(created_at: datetime | None, *, seen_at: datetime, last_seen_at: datetime | None) -> datetime:
    """Say since when a node counts that was not there when we last looked."""
    if created_at is None or last_seen_at is None:
        return seen_at
    return min(max(created_at, last_seen_at), seen_at)
