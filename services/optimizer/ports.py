"""What the optimizer needs from outside."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.contracts.base import Message
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, PodUsage, SnapshotChunkPublished
from shared.contracts.v1.gateway import ClusterRegistered
from shared.contracts.v1.plan import Plan, PlanTrigger
from shared.contracts.v1.policy import NodeTemplate, Policy
from shared.contracts.v1.pricing import OfferingQuotes
from shared.kernel.cluster_state import Position
from shared.kernel.workload import ClusterObjects


@dataclass(frozen=True, slots=True)
class ClusterView:
    """A cluster as its agent last described it."""

    objects: ClusterObjects
    position: Position
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the gateway told us about a cluster."""

    cluster_id: str
    organization_id: str
    region: str


@dataclass(frozen=True, slots=True)
class Config:
    """A cluster's policy and node template."""

    organization_id: str
    revision: int
    policy: Policy
    node_template: NodeTemplate


@dataclass(frozen=True, slots=True)
class Wanted:
    """Planning that is due."""

    cluster_id: str
    trigger: PlanTrigger
    requested_by: str
    version: int
    """Asking again while we plan raises it, and then planning is due once more."""


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan and the digest that an approval must name."""

    plan: Plan
    sha256: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Why the last planning proposed nothing."""

    at: datetime
    trigger: PlanTrigger
    reason: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a delta."""

    is_applied: bool
    took_others: bool = False
    """Deltas that had come early were applied with it; what is in them its receiver has not looked at."""


class ClusterRepository(Protocol):
    """Our own copy of what agents publish."""

    async def register(self, event: ClusterRegistered) -> None:
        """Keep to whom a cluster belongs."""
        ...

    async def cluster(self, cluster_id: str) -> Cluster | None:
        """Return a registered cluster."""
        ...

    async def add_chunk(self, event: SnapshotChunkPublished) -> bool:
        """Store a chunk; return True when its snapshot has taken effect."""
        ...

    async def apply(self, event: ClusterChanged) -> Applied:
        """Apply a delta, with those that waited for it, or keep it for later."""
        ...

    async def note_heartbeat(self, event: HeartbeatSent) -> bool:
        """Take an agent's word that nothing changed."""
        ...

    async def view(self, cluster_id: str) -> ClusterView | None:
        """Return all we know about a cluster; None before its first snapshot."""
        ...

    async def has_pending_pods(self, cluster_id: str) -> bool:
        """Whether a pod waits for a node."""
        ...

    async def gaps(self, *, now: datetime) -> Sequence[str]:
        """Name clusters that must be asked for a snapshot."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    """An execution that ended."""

    plan_id: UUID | None
    """None where its plan is not known (yet)."""
    at: datetime
    has_succeeded: bool
    """Whether it did all that its plan said."""


class PlanRepository(Protocol):
    """Configurations, what is wanted, what was planned, and what runs."""

    async def put_config(self, cluster_id: str, config: Config) -> bool:
        """Keep a configuration unless a later revision is held; return whether it was kept."""
        ...

    async def config(self, cluster_id: str) -> Config | None:
        """Return a cluster's configuration."""
        ...

    async def want(
        self, cluster_id: str, trigger: PlanTrigger, *, requested_by: str, due_at: datetime
    ) -> None:
        """Note that planning is due; an earlier wish of the same kind keeps its time."""
        ...

    async def want_all(self, trigger: PlanTrigger, *, requested_by: str, due_at: datetime) -> None:
        """Note that planning of every configured cluster is due."""
        ...

    async def due(self, *, now: datetime, limit: int) -> Sequence[Wanted]:
        """Return what is due, the oldest first."""
        ...

    async def is_wanted(self, wanted: Wanted, *, now: datetime) -> bool:
        """Whether exactly this wish still stands and is due: neither done nor made again since."""
        ...

    async def done(self, wanted: Wanted) -> None:
        """Forget a wish, unless it was made again since."""
        ...

    async def add_plan(self, stored: StoredPlan) -> None:
        """Keep a plan."""
        ...

    async def plans(self, cluster_id: str, *, limit: int) -> Sequence[Plan]:
        """Return the newest plans."""
        ...

    async def plan(self, cluster_id: str, plan_id: UUID) -> StoredPlan | None:
        """Return one plan."""
        ...

    async def put_skip(self, cluster_id: str, skip: Skip) -> None:
        """Keep why planning proposed nothing."""
        ...

    async def skip(self, cluster_id: str) -> Skip | None:
        """Return why the last planning proposed nothing."""
        ...

    async def execution_started(
        self, cluster_id: str, execution_id: UUID, *, plan_id: UUID | None, trigger: str, at: datetime
    ) -> None:
        """Note that an execution runs."""
        ...

    async def execution_finished(
        self, cluster_id: str, execution_id: UUID, *, at: datetime, has_succeeded: bool
    ) -> None:
        """Note that it ended; it may be heard of before its start."""
        ...

    async def open_plan_at(
        self, cluster_id: str, trigger: PlanTrigger, *, since: datetime
    ) -> datetime | None:
        """Return when the newest plan of this kind was made that nobody has begun to carry out."""
        ...

    async def running(self, cluster_id: str) -> Sequence[str]:
        """Return the triggers of executions under way."""
        ...

    async def last_finished(self, cluster_id: str) -> Finished | None:
        """Return the execution that ended last."""
        ...

    async def add_usage(
        self, cluster_id: str, usage: Sequence[tuple[str, PodUsage]], *, at: datetime
    ) -> None:
        """Sum up what pods used, by workload."""
        ...


class Outbox(Protocol):
    """Messages that leave when the transaction commits."""

    async def add(self, message: Message) -> None:
        """Add a message."""
        ...


class UnitOfWork(Protocol):
    """One transaction."""

    @property
    def clusters(self) -> ClusterRepository:
        """Copies of clusters."""
        ...

    @property
    def plans(self) -> PlanRepository:
        """Plans and wishes."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Messages out."""
        ...


UnitOfWorkFactory = Callable[[], AbstractAsyncContextManager[UnitOfWork]]


class Quotes(Protocol):
    """Prices, as pricing quotes them."""

    async def quotes(self, region: str) -> OfferingQuotes:
        """Return every offering of a region.

        Raises:
            MarketUnavailableError: pricing does not answer, or knows no price there yet.
        """
        ...


class Agents(Protocol):
    """The agents, as far as we may ask them anything."""

    async def ask_for_snapshot(self, cluster_id: str, *, reason: str) -> None:
        """Ask for a full snapshot; an agent that is away will send one when it comes back."""
        ...
