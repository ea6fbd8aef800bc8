"""The optimizer's ports in memory; tests/contract/ports holds the plans' store to the promises of the real one."""

import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.optimizer.errors import MarketUnavailableError
from services.optimizer.ports import (
    Applied,
    Cluster,
    ClusterView,
    Config,
    Finished,
    Skip,
    StoredPlan,
    Wanted,
)
from shared.contracts.base import Message
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, PodUsage, SnapshotChunkPublished
from shared.contracts.v1.gateway import ClusterRegistered
from shared.contracts.v1.plan import Plan, PlanTrigger
from shared.contracts.v1.pricing import OfferingQuotes
from shared.kernel.workload import PodPhase


@dataclass
class FakeClusterRepository:
    """Shows what a test puts into it; see ports.ClusterRepository."""

    records: dict[str, Cluster] = field(default_factory=dict)
    views: dict[str, ClusterView] = field(default_factory=dict)
    next_gaps: list[str] = field(default_factory=list)
    next_applied: Applied = field(default_factory=lambda: Applied(is_applied=True))
    completes_snapshot: bool = True
    heartbeats: list[HeartbeatSent] = field(default_factory=list)

    async def register(self, event: ClusterRegistered) -> None:
        self.records[event.scope] = Cluster(event.scope, event.organization_id, event.cloud_account.region)

    async def cluster(self, cluster_id: str) -> Cluster | None:
        return self.records.get(cluster_id)

    async def add_chunk(self, _event: SnapshotChunkPublished) -> bool:
        return self.completes_snapshot

    async def apply(self, _event: ClusterChanged) -> Applied:
        return self.next_applied

    async def note_heartbeat(self, event: HeartbeatSent) -> bool:
        self.heartbeats.append(event)
        return True

    async def view(self, cluster_id: str) -> ClusterView | None:
        return self.views.get(cluster_id)

    async def has_pending_pods(self, cluster_id: str) -> bool:
        view = self.views.get(cluster_id)
        return view is not None and any(
            pod.phase is PodPhase.PENDING and pod.node_name is None for pod in view.objects.pods
        )

    async def gaps(self, *, now: datetime) -> Sequence[str]:
        found, self.next_gaps = self.next_gaps, []
        return found


@dataclass(frozen=True)
class Execution:
    """As the executor announced it."""

    trigger: str
    started_at: datetime
    finished_at: datetime | None
    plan_id: UUID | None
    has_succeeded: bool = False


@dataclass
class InMemoryPlanRepository:
    """See ports.PlanRepository."""

    configs: dict[str, Config] = field(default_factory=dict)
    wishes: dict[tuple[str, PlanTrigger], tuple[Wanted, datetime]] = field(default_factory=dict)
    kept: dict[UUID, StoredPlan] = field(default_factory=dict)
    skips: dict[str, Skip] = field(default_factory=dict)
    executions: dict[tuple[str, UUID], Execution] = field(default_factory=dict)
    usage: list[tuple[str, str, PodUsage]] = field(default_factory=list)

    async def put_config(self, cluster_id: str, config: Config) -> bool:
        held = self.configs.get(cluster_id)
        if held is not None and held.revision >= config.revision:
            return False
        self.configs[cluster_id] = config
        return True

    async def config(self, cluster_id: str) -> Config | None:
        return self.configs.get(cluster_id)

    async def want(
        self, cluster_id: str, trigger: PlanTrigger, *, requested_by: str, due_at: datetime
    ) -> None:
        held = self.wishes.get((cluster_id, trigger))
        if held is None:
            wish = Wanted(cluster_id, trigger, requested_by, 1)
        else:
            wish = Wanted(cluster_id, trigger, held[0].requested_by, held[0].version + 1)
            due_at = min(held[1], due_at)
        self.wishes[cluster_id, trigger] = wish, due_at

    async def want_all(self, trigger: PlanTrigger, *, requested_by: str, due_at: datetime) -> None:
        for cluster_id in self.configs:
            wish = Wanted(cluster_id, trigger, requested_by, 1)
            self.wishes.setdefault((cluster_id, trigger), (wish, due_at))

    async def due(self, *, now: datetime, limit: int) -> Sequence[Wanted]:
        found = sorted(self.wishes.values(), key=lambda held: held[1])
        return [wish for wish, due_at in found if due_at <= now][:limit]

    async def is_wanted(self, wanted: Wanted, *, now: datetime) -> bool:
        held = self.wishes.get((wanted.cluster_id, wanted.trigger))
        return held is not None and held[0].version == wanted.version and held[1] <= now

    async def done(self, wanted: Wanted) -> None:
        held = self.wishes.get((wanted.cluster_id, wanted.trigger))
        if held is not None and held[0].version == wanted.version:
            del self.wishes[wanted.cluster_id, wanted.trigger]

    async def add_plan(self, stored: StoredPlan) -> None:
        self.kept[stored.plan.id] = stored

    async def plans(self, cluster_id: str, *, limit: int) -> Sequence[Plan]:
        own = [stored.plan for stored in self.kept.values() if stored.plan.cluster_id == cluster_id]
        return sorted(own, key=lambda plan: plan.created_at, reverse=True)[:limit]

    async def plan(self, cluster_id: str, plan_id: UUID) -> StoredPlan | None:
        found = self.kept.get(plan_id)
        return found if found is not None and found.plan.cluster_id == cluster_id else None

    async def put_skip(self, cluster_id: str, skip: Skip) -> None:
        self.skips[cluster_id] = skip

    async def skip(self, cluster_id: str) -> Skip | None:
        return self.skips.get(cluster_id)

    async def execution_started(
        self,
        cluster_id: str,
        execution_id: UUID,
        *,
        plan_id: UUID | None,
        trigger: str,
        at: datetime,
    ) -> None:
        held = self.executions.get((cluster_id, execution_id))
        ended = held.finished_at if held else None
        self.executions[cluster_id, execution_id] = Execution(trigger, at, ended, plan_id)

    async def execution_finished(
        self, cluster_id: str, execution_id: UUID, *, at: datetime, has_succeeded: bool
    ) -> None:
        held = self.executions.get((cluster_id, execution_id), Execution("unknown", at, None, None))
        self.executions[cluster_id, execution_id] = replace(held, finished_at=at, has_succeeded=has_succeeded)

    async def open_plan_at(
        self, cluster_id: str, trigger: PlanTrigger, *, since: datetime
    ) -> datetime | None:
        begun = {execution.plan_id for execution in self.executions.values()}
        made = [
            stored.plan.created_at
            for stored in self.kept.values()
            if (stored.plan.cluster_id, stored.plan.trigger) == (cluster_id, trigger)
            and stored.plan.created_at >= since
            and stored.plan.id not in begun
        ]
        return max(made, default=None)

    async def running(self, cluster_id: str) -> Sequence[str]:
        return [
            e.trigger for (c, _), e in self.executions.items() if c == cluster_id and e.finished_at is None
        ]

    async def last_finished(self, cluster_id: str) -> Finished | None:
        ended = [
            Finished(e.plan_id, e.finished_at, e.has_succeeded)
            for (c, _), e in self.executions.items()
            if c == cluster_id and e.finished_at
        ]
        return max(ended, key=lambda e: e.at, default=None)

    async def add_usage(
        self,
        cluster_id: str,
        usage: Sequence[tuple[str, PodUsage]],
        *,
        at: datetime,
    ) -> None:
        self.usage += [(cluster_id, workload, sample) for workload, sample in usage]


@dataclass
class InMemoryOptimizer:
    """A unit of work and its factory: what raises leaves no trace."""

    clusters: FakeClusterRepository = field(default_factory=FakeClusterRepository)
    plans: InMemoryPlanRepository = field(default_factory=InMemoryPlanRepository)
    sent: list[Message] = field(default_factory=list)
    next_error: Exception | None = None
    """Raised when the next transaction would commit."""

    @property
    def outbox(self) -> "InMemoryOptimizer":
        return self

    async def add(self, message: Message) -> None:
        self.sent.append(message)

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator["InMemoryOptimizer"]:
        before = copy.copy(self.clusters), copy.deepcopy(self.plans), list(self.sent)
        try:
            yield self
            if self.next_error is not None:
                error, self.next_error = self.next_error, None
                raise error
        except BaseException:
            self.clusters, self.plans, self.sent = before
            raise


@dataclass
class FakeQuotes:
    """See ports.Quotes; None: pricing is away."""

    answer: OfferingQuotes | None = None
    asked: list[str] = field(default_factory=list)

    async def quotes(self, region: str) -> OfferingQuotes:
        self.asked.append(region)
        if self.answer is None:
            raise MarketUnavailableError("pricing does not answer.")
        return self.answer


@dataclass
class FakeAgents:
    """See ports.Agents."""

    asked: list[str] = field(default_factory=list)

    async def ask_for_snapshot(self, cluster_id: str, *, reason: str) -> None:
        self.asked.append(cluster_id)
