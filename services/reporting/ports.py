"""What reporting needs from outside."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from services.reporting.domain.allocation import PodSpan
from services.reporting.domain.audit_chain import Deed, Link
from services.reporting.domain.ledger import NodeSpan, PricePoint
from services.reporting.domain.presence import NodeFacts, PodFacts
from services.reporting.domain.savings import Baseline, ClosedSlice
from shared.contracts.base import Message
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.gateway import ClusterRegistered
from shared.kernel.pools import PoolKey
from shared.kernel.workload import ClusterObjects


@dataclass(frozen=True, slots=True)
class RegisteredCluster:
    """What the gateway told us about a cluster."""

    cluster_id: str
    organization_id: str
    name: str
    region: str


class ClusterCopies(Protocol):
    """Our copies of the clusters. They are keyed by cluster alone: whose a cluster is stands beside them."""

    async def register(self, event: ClusterRegistered) -> None:
        """Keep to whom a cluster belongs."""
        ...

    async def cluster(self, cluster_id: str) -> RegisteredCluster | None:
        """Return a registered cluster."""
        ...

    async def clusters(self) -> Sequence[RegisteredCluster]:
        """Return every registered cluster."""
        ...

    async def add_chunk(self, event: SnapshotChunkPublished) -> bool:
        """Store a chunk; return True when its snapshot has taken effect."""
        ...

    async def apply(self, event: ClusterChanged) -> "Applied":
        """Apply a delta, or keep it for later."""
        ...

    async def note_heartbeat(self, event: HeartbeatSent) -> bool:
        """Take an agent's word that nothing changed; False when our copy is behind."""
        ...

    async def objects(self, cluster_id: str) -> ClusterObjects:
        """Return all objects of a copy."""
        ...

    async def as_of(self, cluster_id: str) -> datetime | None:
        """Return until when a copy is known to be right; None before its first snapshot."""
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a delta."""

    is_applied: bool
    took_others: bool = False
    """Deltas that had come early followed it, so more than its own objects changed."""


class PresenceRepository(Protocol):
    """Intervals in which nodes and pods were there."""

    async def open_nodes(
        self, cluster_id: str, names: Collection[str] | None = None
    ) -> Mapping[str, NodeFacts]:
        """Return the nodes that are there, all or those named."""
        ...

    async def open_pods(self, cluster_id: str, keys: Collection[str] | None = None) -> Mapping[str, PodFacts]:
        """Return the pods that are there, all or those named."""
        ...

    async def end_nodes(self, cluster_id: str, names: Collection[str], *, at: datetime) -> None:
        """Close the open intervals of these nodes."""
        ...

    async def end_pods(self, cluster_id: str, keys: Collection[str], *, at: datetime) -> None:
        """Close the open intervals of these pods."""
        ...

    async def begin_nodes(self, cluster_id: str, nodes: Mapping[str, tuple[NodeFacts, datetime]]) -> None:
        """Open intervals, each since its instant."""
        ...

    async def begin_pods(self, cluster_id: str, pods: Mapping[str, PodFacts], *, at: datetime) -> None:
        """Open intervals."""
        ...

    async def put_launch(self, cluster_id: str, instance_id: str, pool: PoolKey) -> None:
        """Remember the pool of an instance, for when its node's labels do not say."""
        ...

    async def nodes_between(
        self, cluster_id: str, region: str, start: datetime, end: datetime
    ) -> Sequence[NodeSpan]:
        """Return the nodes that were there at some time in [start, end)."""
        ...

    async def pods_between(self, cluster_id: str, start: datetime, end: datetime) -> Sequence[PodSpan]:
        """Return the pods that were there at some time in [start, end)."""
        ...

    async def forget(self, cluster_id: str, *, before: datetime) -> None:
        """Delete intervals that ended before an instant: they are in closed slices."""
        ...


class PriceRepository(Protocol):
    """Prices by time. They are everybody's: no organization."""

    async def add(self, points: Sequence[tuple[PoolKey, PricePoint]]) -> int:
        """Keep points not yet known; return how many were new."""
        ...

    async def between(
        self, pools: Collection[PoolKey], start: datetime, end: datetime
    ) -> Mapping[PoolKey, Sequence[PricePoint]]:
        """Return what is in force in [start, end), sorted: the last point at or before start, then the later ones.

        A pool of on-demand capacity without a zone id takes the points of any one zone of its region.
        """
        ...

    async def forget(self, *, before: datetime) -> int:
        """Delete points that were superseded before an instant."""
        ...


@dataclass(frozen=True, slots=True)
class SavingsSum:
    """Sums over a cluster's closed slices."""

    cluster_id: str
    cost_usd: Decimal
    """Of slices with a baseline, so that it and the savings add up to the baseline's cost."""
    cost_without_baseline_usd: Decimal
    """Of slices before the first baseline: spent, and compared with nothing."""
    baseline_cost_usd: Decimal
    savings_usd: Decimal
    slices: int
    """With a baseline."""
    node_hours: Decimal
    """Of all slices, unpriced ones included."""
    unpriced_node_hours: Decimal
    first_at: datetime | None
    last_at: datetime | None


class LedgerRepository(Protocol):
    """Closed slices and the baselines that they are compared with."""

    async def lock(self, cluster_id: str) -> datetime | None:
        """Return where the next slice begins, and keep others from closing it in this transaction."""
        ...

    async def begin(self, cluster_id: str, *, at: datetime) -> None:
        """Let slices begin here, unless they have begun."""
        ...

    async def put_baseline(self, cluster_id: str, execution_id: UUID, baseline: Baseline) -> None:
        """Put a baseline in force; the same execution's a second time changes nothing."""
        ...

    async def baselines(self, cluster_id: str, *, until: datetime) -> Sequence[Baseline]:
        """Return the baselines that began before an instant."""
        ...

    async def put_slice(self, cluster_id: str, closed: ClosedSlice) -> None:
        """Write a slice and move the mark to its end."""
        ...

    async def sums(
        self, *, cluster_id: str | None, since: datetime | None, until: datetime | None
    ) -> Sequence[SavingsSum]:
        """Sum the organization's slices that began in [since, until), by cluster."""
        ...

    async def note_gap(self, cluster_id: str, *, as_of: datetime) -> bool:
        """Remember that a copy is stale since; return False when that is remembered already."""
        ...


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the activity feed."""

    at: datetime
    cluster_id: str | None
    kind: str
    text: str


class ActivityRepository(Protocol):
    """The feed."""

    async def add(self, message_id: UUID, happening: Happening) -> None:
        """Keep a line; the same message's a second time changes nothing."""
        ...

    async def newest(self, *, cluster_id: str | None, limit: int) -> Sequence[Happening]:
        """Return the organization's newest lines, newest first."""
        ...


class AuditRepository(Protocol):
    """The organization's hash chain."""

    async def append(self, deed: Deed) -> Link:
        """Add a link; writers of one organization wait for each other."""
        ...

    async def links(self, *, after: int, limit: int) -> Sequence[Link]:
        """Return links behind a position, oldest first."""
        ...

    async def hash_at(self, position: int) -> str | None:
        """Return the hash stored at a position; that before the first for 0, None where there is no entry."""
        ...

    async def head(self) -> tuple[int, str]:
        """Return position and hash of the last link, as they are remembered beside the log."""
        ...


class Outbox(Protocol):
    """Messages that leave when the transaction commits."""

    async def add(self, message: Message) -> None:
        """Add a message."""
        ...


class UnitOfWork(Protocol):
    """One transaction: state and messages together, or neither."""

    async def act_for(self, organization_id: str) -> None:
        """Show and write this organization's rows only; before it, no organization's row can be seen."""
        ...

    @property
    def clusters(self) -> ClusterCopies:
        """Copies of clusters."""
        ...

    @property
    def presence(self) -> PresenceRepository:
        """Who was there when."""
        ...

    @property
    def prices(self) -> PriceRepository:
        """Prices by time."""
        ...

    @property
    def ledger(self) -> LedgerRepository:
        """Closed slices."""
        ...

    @property
    def activity(self) -> ActivityRepository:
        """The feed."""
        ...

    @property
    def audit(self) -> AuditRepository:
        """The hash chain."""
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


class PriceSource(Protocol):
    """The tables that pricing keeps for those who missed what it told."""

    async def prices(self, region: str) -> tuple[int, Sequence[tuple[PoolKey, PricePoint]]] | None:
        """Return a region's prices and the number of the last event they hold; None: there are none yet.

        Raises:
            UnavailableError: the tables cannot be read now.
        """
        ...
