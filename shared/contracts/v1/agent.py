"""Messages of the agents. An agent knows its cluster only: receivers look the organization up themselves.

Commands to an agent are core NATS requests, signed by the executor: the agent trusts the key it was enrolled
with, not the bus.
"""

import enum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.base import Command, Event, Reply, Request, Value, Version
from shared.kernel.workload import ClusterObjects, ObjectRef


class SnapshotChunkPublished(Event):
    """A part of the whole state at (epoch, sequence); it takes effect when all parts are stored."""

    type: ClassVar[str] = "agent.evt.v1.snapshot_chunk_published"

    epoch: int
    """Rises with every start of the agent: a later epoch replaces an earlier one."""
    sequence: int
    """The last delta the snapshot contains; the next delta is sequence + 1."""
    index: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]
    as_of: AwareDatetime
    body: bytes
    """zstd of the JSON of ClusterObjects, at most 256 KiB; each chunk decodes by itself."""


class ClusterChanged(Event):
    """A delta: objects that are new or different, and those that are gone."""

    type: ClassVar[str] = "agent.evt.v1.cluster_changed"

    epoch: int
    sequence: Annotated[int, Field(ge=1)]
    """Contiguous in an epoch."""
    upserts: ClusterObjects
    deletes: tuple[ObjectRef, ...] = ()


class PodUsage(Value):
    """What a pod used, as metrics.k8s.io says."""

    pod: str
    """namespace/name"""
    cpu_millicores: int
    memory_bytes: int


class UsageSampled(Event):
    """Usage of all pods at an instant."""

    type: ClassVar[str] = "agent.evt.v1.usage_sampled"

    sampled_at: AwareDatetime
    window_seconds: int
    pods: tuple[PodUsage, ...]


class HeartbeatSent(Event):
    """The agent lives."""

    type: ClassVar[str] = "agent.evt.v1.heartbeat_sent"

    agent_version: Version
    kubernetes_version: Version | None = None
    epoch: int
    sequence: int
    buffered_messages: int = 0


class RequestResync(Command):
    """From optimizer, executor or reporting: publish a full snapshot. Read only, so not signed."""

    type: ClassVar[str] = "agent.cmd.v1.request_resync"

    reason: str


class CordonNode(Value):
    """Mark unschedulable."""

    kind: Literal["cordon_node"] = "cordon_node"
    node_name: str


class UncordonNode(Value):
    """Mark schedulable again."""

    kind: Literal["uncordon_node"] = "uncordon_node"
    node_name: str


class DrainNode(Value):
    """Cordon, then evict every pod that is no DaemonSet's and no mirror; PDBs are obeyed, never bypassed."""

    kind: Literal["drain_node"] = "drain_node"
    node_name: str
    deadline_at: AwareDatetime
    """When to give up; the agent then uncordons and says who blocked."""
    keep_cordoned_on_failure: bool = False
    """True for an interruption: the node goes anyway."""
    excluded_namespaces: tuple[str, ...] = ()


class EvictPod(Value):
    """Evict one pod through the eviction API."""

    kind: Literal["evict_pod"] = "evict_pod"
    namespace: str
    name: str
    uid: str


class DeleteNode(Value):
    """Delete the Node object of an instance that is gone."""

    kind: Literal["delete_node"] = "delete_node"
    node_name: str
    instance_id: str


class PatchRequests(Value):
    """Set a container's requests in its workload's template."""

    kind: Literal["patch_requests"] = "patch_requests"
    namespace: str
    workload_kind: Literal["Deployment", "StatefulSet", "DaemonSet"]
    workload_name: str
    container: str
    cpu_millicores: Annotated[int, Field(gt=0)] | None = None
    memory_bytes: Annotated[int, Field(gt=0)] | None = None


class ScaleWorkload(Value):
    """Set replicas; `expected_replicas` guards against a change made meanwhile."""

    kind: Literal["scale_workload"] = "scale_workload"
    namespace: str
    workload_kind: Literal["Deployment", "StatefulSet"]
    workload_name: str
    replicas: Annotated[int, Field(ge=0)]
    expected_replicas: int | None = None


Action = Annotated[
    CordonNode | UncordonNode | DrainNode | EvictPod | DeleteNode | PatchRequests | ScaleWorkload,
    Field(discriminator="kind"),
]


class AgentCommand(Value):
    """What is signed. Repeated with the same id until it is answered or expires."""

    id: UUID
    """Of the executor's step."""
    cluster_id: str
    fencing_token: Annotated[int, Field(ge=0)]
    """Rises with each lease of the step: a lower one than seen for this id is refused."""
    expires_at: AwareDatetime
    action: Action


class ExecuteCommand(Request):
    """Carries a signed AgentCommand."""

    type: ClassVar[str] = "agent.cmd.v1.execute_command"

    body: bytes
    """JSON of AgentCommand, exactly as signed."""
    key_id: str
    signature: bytes
    """Ed25519 over `body`."""


class OutcomeStatus(enum.StrEnum):
    """How far a command is."""

    RUNNING = "running"
    """Accepted; ask again with the same id."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Tried, and given up; the detail says why. What was begun was undone."""
    REFUSED = "refused"
    """Not tried: wrong signature, expired, stale fencing token, or against the agent's own limits."""


class CommandOutcome(Reply):
    """The agent's answer."""

    command_id: UUID
    status: OutcomeStatus
    detail: str = ""
    """For people."""
    blocked_by: tuple[str, ...] = ()
    """namespace/name of pods or PDBs that stopped a drain."""
    pods_evicted: int = 0
    pods_remaining: int = 0


class CommandFinished(Event):
    """The same outcome as an event, for whoever missed the answer."""

    type: ClassVar[str] = "agent.evt.v1.command_finished"

    outcome: CommandOutcome
