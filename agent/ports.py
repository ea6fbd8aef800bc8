"""What the agent needs from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from agent.domain.usage import Usage
from shared.contracts.base import Event
from shared.contracts.v1.agent import AgentCommand, CommandOutcome
from shared.kernel.workload import Pod


@dataclass(frozen=True, slots=True)
class Credential:
    """What the gateway gave: how to get onto the bus, and whom to obey."""

    cluster_id: str
    token: str = field(repr=False)
    signing_keys: Mapping[str, bytes]
    """Ed25519 public keys of the executor, by key id."""


class CredentialStore(Protocol):
    """Where the credential outlives the process."""

    async def load(self) -> Credential | None:
        """Return it, or None before enrolment."""
        ...

    async def save(self, credential: Credential) -> None:
        """Keep it, readable for nobody else."""
        ...


class Gateway(Protocol):
    """The platform's door."""

    async def enrol(self, *, install_token: str, kubernetes_version: str | None) -> Credential:
        """Trade the install token for a credential.

        Raises:
            EnrolmentRefusedError: the token is wrong, used or expired.
            BusUnavailableError: nobody answers; try again.
        """
        ...


class Outbox(Protocol):
    """What is published, in order; it waits while the bus is away."""

    @property
    def wants_snapshot(self) -> bool:
        """Whether waiting state had to be dropped, and there is room for a snapshot now."""
        ...

    @property
    def has_lost_state(self) -> bool:
        """Whether deltas make no sense until a snapshot was put."""
        ...

    @property
    def waiting(self) -> int:
        """How many messages the bus has not stored yet."""
        ...

    def add(self, event: Event) -> None:
        """Put an event in line."""
        ...

    def begin_snapshot(self) -> None:
        """Forget that state was lost: its replacement follows."""
        ...


class EvictionResult(StrEnum):
    """What the eviction API said."""

    ACCEPTED = "accepted"
    GONE = "gone"
    """There is no such pod, or another one has its name."""
    BLOCKED = "blocked"
    """A PodDisruptionBudget does not allow it now."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """An answer of the eviction API."""

    result: EvictionResult
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NodeState:
    """What commands need to know of a node."""

    name: str
    uid: str
    provider_id: str
    is_unschedulable: bool
    cordoned_by: str | None
    """The command of ours that cordoned it; None when nobody or somebody else did."""


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """What commands need to know of a workload."""

    replicas: int
    containers: tuple[str, ...]
    resource_version: str


class Cluster(Protocol):
    """The Kubernetes API, as far as commands need it.

    Every method raises KubernetesUnavailableError when the API does not answer, and KubernetesRefusedError when
    it says no.
    """

    async def node(self, name: str) -> NodeState | None:
        """Return a node as it is now."""
        ...

    async def pods_on(self, node_name: str) -> Sequence[Pod]:
        """Return the pods that are bound to a node."""
        ...

    async def cordon(self, name: str, *, command_id: str | None) -> None:
        """Mark unschedulable and write down by which command."""
        ...

    async def uncordon(self, name: str) -> None:
        """Mark schedulable; a node that is gone is no error."""
        ...

    async def evict(self, *, namespace: str, name: str, uid: str) -> Eviction:
        """Evict this very pod."""
        ...

    async def delete_node(self, name: str, *, uid: str) -> None:
        """Delete this very Node object; one that is gone is no error."""
        ...

    async def workload(self, *, kind: str, namespace: str, name: str) -> WorkloadState | None:
        """Return a workload as it is now."""
        ...

    async def set_requests(
        self, *, kind: str, namespace: str, name: str, container: str, requests: Mapping[str, str]
    ) -> None:
        """Change a container's requests in the template."""
        ...

    async def scale(
        self, *, kind: str, namespace: str, name: str, replicas: int, resource_version: str
    ) -> None:
        """Set replicas, unless the workload was changed since it was read."""
        ...

    async def note(self, *, node_name: str | None, reason: str, message: str) -> None:
        """Write a Kubernetes Event about a node, or (None) about the cluster."""
        ...


class UsageSource(Protocol):
    """metrics.k8s.io."""

    async def usage(self) -> Sequence[Usage] | None:
        """Return what pods use; None where the cluster has no metrics API."""
        ...


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command that was accepted, and how far it is."""

    command: AgentCommand
    fencing_token: int
    """The highest seen for this id."""
    outcome: CommandOutcome


class CommandJournal(Protocol):
    """Remembers commands over a restart; only the newest finished ones."""

    def get(self, command_id: UUID) -> CommandRecord | None:
        """Return a command by its id."""
        ...

    def put(self, record: CommandRecord) -> None:
        """Keep it; on return it is stored."""
        ...

    def unfinished(self) -> Sequence[CommandRecord]:
        """Return those that have no outcome yet."""
        ...
