"""The agent's ports: a cluster with budgets and knobs, a journal, an outbox, a time that only tests move."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from agent.errors import KubernetesUnavailableError
from agent.ports import (
    CommandRecord,
    Eviction,
    EvictionResult,
    NodeState,
    WorkloadState,
)
from shared.contracts.base import Event
from shared.contracts.v1.agent import OutcomeStatus
from shared.kernel.workload import Pod

START = datetime(2026, 1, 1, tzinfo=UTC)


class SkippingClock:
    """Sleeping takes no time; it only moves the clock."""

    def __init__(self, start: datetime = START) -> None:
        self.at = start

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class CountingIds:
    """Foreseeable ids."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> UUID:
        self._last += 1
        return UUID(int=self._last)


@dataclass
class FakeCluster:
    """Nodes, pods and workloads; a pod in `budget` is let go after so many refusals."""

    nodes: dict[str, NodeState] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    workloads: dict[str, WorkloadState] = field(default_factory=dict)
    budget: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Pods whose eviction is never answered."""
    next_errors: list[Exception] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_node(self, name: str, **fields: Any) -> None:
        defaults: dict[str, Any] = {
            "uid": f"uid-{name}",
            "provider_id": f"aws:///us-east-1a/i-{name}",
            "is_unschedulable": False,
            "cordoned_by": None,
        }
        self.nodes[name] = NodeState(name=name, **(defaults | fields))

    def add_pod(self, pod: Pod) -> None:
        self.pods[pod.key] = pod

    async def node(self, name: str) -> NodeState | None:
        self._fail()
        return self.nodes.get(name)

    async def pods_on(self, node_name: str) -> Sequence[Pod]:
        self._fail()
        return [pod for pod in self.pods.values() if pod.node_name == node_name]

    async def cordon(self, name: str, *, command_id: str | None) -> None:
        self._fail()
        self.calls.append(("cordon", name))
        self.nodes[name] = replace(self.nodes[name], is_unschedulable=True, cordoned_by=command_id)

    async def uncordon(self, name: str) -> None:
        self._fail()
        self.calls.append(("uncordon", name))
        if name in self.nodes:
            self.nodes[name] = replace(self.nodes[name], is_unschedulable=False, cordoned_by=None)

    async def evict(self, *, namespace: str, name: str, uid: str) -> Eviction:
        self._fail()
        key = f"{namespace}/{name}"
        self.calls.append(("evict", key))
        if key in self.broken:
            raise KubernetesUnavailableError(f"POST {key}: 503")
        pod = self.pods.get(key)
        if pod is None or pod.uid != uid:
            return Eviction(EvictionResult.GONE)
        if self.budget.get(key, 0) > 0:
            self.budget[key] -= 1
            return Eviction(EvictionResult.BLOCKED, "the budget web allows none")
        del self.pods[key]
        return Eviction(EvictionResult.ACCEPTED)

    async def delete_node(self, name: str, *, uid: str) -> None:
        self._fail()
        self.calls.append(("delete_node", name))
        if name in self.nodes and self.nodes[name].uid == uid:
            del self.nodes[name]

    async def workload(self, *, kind: str, namespace: str, name: str) -> WorkloadState | None:
        self._fail()
        return self.workloads.get(f"{namespace}/{kind}/{name}")

    async def set_requests(
        self, *, kind: str, namespace: str, name: str, container: str, requests: Mapping[str, str]
    ) -> None:
        self._fail()
        self.calls.append(("set_requests", f"{namespace}/{kind}/{name}", container, dict(requests)))

    async def scale(
        self, *, kind: str, namespace: str, name: str, replicas: int, resource_version: str
    ) -> None:
        self._fail()
        key = f"{namespace}/{kind}/{name}"
        self.calls.append(("scale", key, replicas))
        self.workloads[key] = replace(self.workloads[key], replicas=replicas)

    async def note(self, *, node_name: str | None, reason: str, message: str) -> None:
        self.notes.append(f"{node_name} {reason}: {message}")

    def go_away(self, times: int) -> None:
        """Let the next calls find nobody."""
        self.next_errors += [KubernetesUnavailableError()] * times

    def _fail(self) -> None:
        if self.next_errors:
            raise self.next_errors.pop(0)


class InMemoryJournal:
    """Forgets nothing."""

    def __init__(self) -> None:
        self.records: dict[UUID, CommandRecord] = {}

    def get(self, command_id: UUID) -> CommandRecord | None:
        return self.records.get(command_id)

    def put(self, record: CommandRecord) -> None:
        self.records[record.command.id] = record

    def unfinished(self) -> Sequence[CommandRecord]:
        return [r for r in self.records.values() if r.outcome.status is OutcomeStatus.RUNNING]


class InMemoryOutbox:
    """Keeps events; `has_lost_state` is a knob."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.has_lost_state = False
        self.has_room = True

    @property
    def wants_snapshot(self) -> bool:
        return self.has_lost_state and self.has_room

    @property
    def waiting(self) -> int:
        return len(self.events)

    def add(self, event: Event) -> None:
        self.events.append(event)

    def begin_snapshot(self) -> None:
        self.has_lost_state = False
