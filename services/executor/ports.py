"""What the executor needs from outside."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.executor.domain.offering_choice import Flag
from services.executor.domain.replacement import Quoted
from services.executor.domain.steps import Attempt, Execution, Step
from shared.contracts.base import Message
from shared.contracts.v1.agent import (
    AgentCommand,
    ClusterChanged,
    CommandOutcome,
    HeartbeatSent,
    SnapshotChunkPublished,
)
from shared.contracts.v1.gateway import ClusterConfigured, ClusterRegistered, SigningKey
from shared.contracts.v1.plan import Plan
from shared.contracts.v1.policy import NodeTemplate, Policy
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import PoolKey
from shared.kernel.workload import ClusterObjects


@dataclass(frozen=True, slots=True)
class Cluster:
    """Whose a cluster is, and where."""

    cluster_id: str
    organization_id: str
    name: str
    account_number: str
    region: str


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """What is allowed in a cluster, and how an instance joins it."""

    revision: int
    policy: Policy
    template: NodeTemplate


@dataclass(frozen=True, slots=True)
class Picture:
    """A cluster as the agent last described it."""

    objects: ClusterObjects
    as_of: datetime


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """A plan as it was proposed."""

    plan: Plan
    sha256: str


class ClusterRepository(Protocol):
    """Clusters, their configuration, and our copy of what agents publish."""

    async def register(self, event: ClusterRegistered) -> None:
        """Keep whose a cluster is."""
        ...

    async def configure(self, event: ClusterConfigured) -> None:
        """Keep a configuration, unless a higher revision is kept."""
        ...

    async def cluster(self, cluster_id: str) -> Cluster | None:
        """Return a cluster."""
        ...

    async def config(self, cluster_id: str) -> ClusterConfig | None:
        """Return its configuration."""
        ...

    async def add_chunk(self, event: SnapshotChunkPublished) -> None:
        """Store a part of a snapshot."""
        ...

    async def apply(self, event: ClusterChanged) -> None:
        """Apply a delta, or keep it until it fits."""
        ...

    async def note_heartbeat(self, event: HeartbeatSent) -> None:
        """Take the agent's word that nothing changed."""
        ...

    async def picture(self, cluster_id: str) -> Picture | None:
        """Return the copy; None before its first snapshot."""
        ...

    async def gaps(self, *, now: datetime) -> Sequence[str]:
        """Name clusters that must be asked for a snapshot."""
        ...

    async def clusters_of_instance(self, instance_id: str, *, account: str) -> Sequence[tuple[str, str]]:
        """Return (cluster, node name) of an instance among the clusters of an AWS account."""
        ...


class PlanRepository(Protocol):
    """Plans as they were proposed."""

    async def keep(self, plan: Plan, *, sha256: str) -> None:
        """Keep a plan; the first word about a plan id stands."""
        ...

    async def find(self, plan_id: UUID) -> KeptPlan | None:
        """Return a plan."""
        ...

    async def note(self, plan_id: UUID, status: str) -> None:
        """Note what became of it: approved or refused."""
        ...


class ExecutionRepository(Protocol):
    """Executions, steps and attempts."""

    async def add(self, execution: Execution, steps: Sequence[Step]) -> None:
        """Store an execution with its steps."""
        ...

    async def fence(self, execution_id: UUID, token: int) -> Execution:
        """Lock the execution's row for this transaction and return it.

        Raises:
            LeaseLostError: a higher token has written already.
        """
        ...

    async def finish(self, execution: Execution) -> None:
        """Store how an execution ended."""
        ...

    async def note_stall(self, execution_id: UUID, at: datetime | None) -> None:
        """Note since when nothing is under way; None when something is."""
        ...

    async def request_stop(self, execution_id: UUID) -> None:
        """Note that no further move shall begin."""
        ...

    async def find(self, execution_id: UUID) -> Execution | None:
        """Return an execution."""
        ...

    async def newest(self, cluster_id: str, *, limit: int) -> Sequence[tuple[Execution, int, int]]:
        """Return executions, newest first, each with its number of steps and of those that are over."""
        ...

    async def running(self) -> Sequence[Execution]:
        """Return every execution under way."""
        ...

    async def running_of(self, cluster_id: str) -> Sequence[Execution]:
        """Return a cluster's executions under way."""
        ...

    async def of_plan(self, plan_id: UUID) -> Execution | None:
        """Return the execution of a plan."""
        ...

    async def last_savings_at(self, cluster_id: str) -> datetime | None:
        """Return when the last main execution that changed something ended."""
        ...

    async def steps(self, execution_id: UUID) -> Sequence[Step]:
        """Return steps in order."""
        ...

    async def step(self, step_id: UUID) -> Step | None:
        """Return one step."""
        ...

    async def change(self, before: Step, after: Step) -> bool:
        """Store a step's new state; return False, and store nothing, when it is no longer what it was."""
        ...

    async def attempts(self, execution_id: UUID) -> Sequence[Attempt]:
        """Return every attempt to launch, in order."""
        ...

    async def put_attempt(self, attempt: Attempt) -> None:
        """Store an attempt's state."""
        ...

    async def interrupted_nodes(self, cluster_id: str) -> frozenset[str]:
        """Name the nodes that interruptions under way are about."""
        ...

    async def awaited(self, instance_id: str) -> tuple[Step, Execution] | None:
        """Return the WAIT_READY step that waits for an instance's node."""
        ...

    async def was_terminated(self, instance_id: str) -> bool:
        """Whether we terminated an instance, or are about to."""
        ...

    async def note_held_back(self, execution: Execution, step: Step, *, at: datetime, action: str) -> None:
        """Keep that safe mode held a write back."""
        ...


class FlagRepository(Protocol):
    """Pools to keep away from."""

    async def put(self, flag: Flag) -> None:
        """Raise or prolong a flag."""
        ...

    async def live(self, region: str, *, now: datetime) -> frozenset[PoolKey]:
        """Return the flagged pools."""
        ...


class NoticeRepository(Protocol):
    """Notices about instances that are nodes."""

    async def add(self, instance_id: str, kind: str, *, at: datetime) -> bool:
        """Keep a notice; return False when this kind was kept for the instance before."""
        ...

    async def execution_of(self, instance_id: str) -> UUID | None:
        """Return what was begun because of an instance."""
        ...

    async def begun(self, instance_id: str, kind: str, execution_id: UUID) -> None:
        """Note what was begun."""
        ...


class Outbox(Protocol):
    """Messages that leave when the transaction commits."""

    async def add(self, message: Message) -> None:
        """Add a message."""
        ...


class UnitOfWork(Protocol):
    """One transaction: state and messages together, or neither."""

    @property
    def clusters(self) -> ClusterRepository:
        """Clusters."""
        ...

    @property
    def plans(self) -> PlanRepository:
        """Plans."""
        ...

    @property
    def executions(self) -> ExecutionRepository:
        """Executions."""
        ...

    @property
    def flags(self) -> FlagRepository:
        """Flags."""
        ...

    @property
    def notices(self) -> NoticeRepository:
        """Notices."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Messages out."""
        ...


class UnitOfWorkFactory(Protocol):
    """Opens a unit of work; leaving it normally commits, an exception rolls back."""

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Begin."""
        ...


class Blame(StrEnum):
    """Why EC2 launched nothing, by what follows."""

    POOL = "pool"
    """No capacity: the pool is flagged for everybody, and the next offering tried."""
    ACCOUNT = "account"
    """A quota, or a subnet without addresses: the next offering is tried, nobody else is told."""
    REQUEST = "request"
    """It can never succeed."""


@dataclass(frozen=True, slots=True)
class LaunchAnswer:
    """What EC2 did with a request to launch: an instance, or the code of its refusal."""

    instance_id: str | None
    error: str | None = None
    detail: str = ""
    blame: Blame = Blame.REQUEST


class Cloud(Protocol):
    """EC2 in a cluster's account.

    Every call raises CredentialsUnavailableError or CloudUnavailableError when it may be repeated, and
    CloudRefusedError when repeating cannot help.
    """

    async def launch(self, cluster_id: str, request: str) -> LaunchAnswer:
        """Send a stored request; the same one again gives the same instance."""
        ...

    async def terminate(self, cluster_id: str, instance_id: str) -> None:
        """Terminate; an instance that is gone already is terminated."""
        ...

    async def is_gone(self, cluster_id: str, instance_id: str) -> bool:
        """Whether an instance is terminated, or unknown."""
        ...

    async def launched_for(self, cluster_id: str, execution_id: UUID) -> Mapping[str, str]:
        """Return the living instances that carry an execution's tag, with their step tag."""
        ...


class Agents(Protocol):
    """The agents in the clusters."""

    async def send(self, command: AgentCommand) -> CommandOutcome:
        """Sign a command and ask for its outcome; the same id again asks how far it is.

        Raises:
            AgentAwayError: no answer; ask again.
        """
        ...


class Quotes(Protocol):
    """What offerings cost now."""

    async def quotes(self, region: str) -> tuple[Sequence[Quoted], Mapping[str, InstanceType]]:
        """Return every offering of a region and the facts of its types.

        Raises:
            QuotesUnavailableError: pricing did not answer.
        """
        ...


class Switch(StrEnum):
    """Safe mode's position."""

    OFF = "off"
    ON = "on"
    UNREADABLE = "unreadable"
    """It counts as on, but says nothing about what people want: steps wait instead of being skipped."""


class SafeModeSwitch(Protocol):
    """Safe mode, read before each write."""

    async def read(self, *, organization_id: str, cluster_id: str) -> Switch:
        """Return its position for a cluster."""
        ...


class SigningKeys(Protocol):
    """Public keys that agents shall trust."""

    async def public_keys(self) -> Sequence[SigningKey]:
        """Return them; two during a rotation."""
        ...
