"""What comes over the bus."""

from collections.abc import Callable
from datetime import timedelta

from services.optimizer.handlers import answer_questions, keep_cluster, propose_plan
from services.optimizer.ports import Quotes, UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished, UsageSampled
from shared.contracts.v1.executor import ExecutionFinished, ExecutionStarted
from shared.contracts.v1.gateway import ClusterConfigured, ClusterRegistered
from shared.contracts.v1.optimizer import (
    ClusterSummary,
    GetClusterSummary,
    GetPlan,
    ListPlans,
    PlanReply,
    Plans,
    ProposePlan,
)
from shared.kernel.clock import Clock
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Transaction


def subscribe(
    bus: Bus, *, within: Callable[[Transaction], UnitOfWork], clock: Clock, pending_settle: timedelta
) -> None:
    """Bind every subject that the optimizer reads."""

    async def registered(message: ClusterRegistered, transaction: Transaction) -> None:
        await keep_cluster.keep_registration(message, uow=within(transaction))

    async def configured(message: ClusterConfigured, transaction: Transaction) -> None:
        await keep_cluster.keep_config(message, uow=within(transaction))

    async def chunk(message: SnapshotChunkPublished, transaction: Transaction) -> None:
        await keep_cluster.keep_chunk(message, uow=within(transaction), clock=clock, settle=pending_settle)

    async def delta(message: ClusterChanged, transaction: Transaction) -> None:
        await keep_cluster.keep_delta(message, uow=within(transaction), clock=clock, settle=pending_settle)

    async def heartbeat(message: HeartbeatSent, transaction: Transaction) -> None:
        await keep_cluster.keep_heartbeat(message, uow=within(transaction))

    async def usage(message: UsageSampled, transaction: Transaction) -> None:
        await keep_cluster.keep_usage(message, uow=within(transaction))

    async def started(message: ExecutionStarted, transaction: Transaction) -> None:
        await keep_cluster.keep_execution_start(message, uow=within(transaction))

    async def finished(message: ExecutionFinished, transaction: Transaction) -> None:
        await keep_cluster.keep_execution_end(message, uow=within(transaction))

    async def wanted(message: ProposePlan, transaction: Transaction) -> None:
        await propose_plan.want_plan(message, uow=within(transaction), clock=clock)

    bus.consume(ClusterRegistered, registered)
    bus.consume(ClusterConfigured, configured)
    bus.consume(SnapshotChunkPublished, chunk)
    bus.consume(ClusterChanged, delta)
    bus.consume(HeartbeatSent, heartbeat)
    bus.consume(UsageSampled, usage)
    bus.consume(ExecutionStarted, started)
    bus.consume(ExecutionFinished, finished)
    bus.consume(ProposePlan, wanted)


def serve(bus: Bus, *, unit_of_work: UnitOfWorkFactory, quotes: Quotes) -> None:
    """Bind every question that the optimizer answers."""

    async def plans(request: ListPlans) -> Plans:
        return await answer_questions.list_plans(request, unit_of_work=unit_of_work)

    async def plan(request: GetPlan) -> PlanReply:
        return await answer_questions.get_plan(request, unit_of_work=unit_of_work)

    async def summary(request: GetClusterSummary) -> ClusterSummary:
        return await answer_questions.get_cluster_summary(request, unit_of_work=unit_of_work, quotes=quotes)

    bus.serve(ListPlans, plans)
    bus.serve(GetPlan, plan)
    bus.serve(GetClusterSummary, summary)
