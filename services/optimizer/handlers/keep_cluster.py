"""Keep our copy of a cluster, and notice what planning should know soon."""

from datetime import timedelta

import structlog

from services.optimizer import metrics
from services.optimizer.ports import Agents, Config, UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished, UsageSampled
from shared.contracts.v1.executor import ExecutionFinished, ExecutionStarted, ExecutionStatus
from shared.contracts.v1.gateway import ClusterConfigured, ClusterRegistered
from shared.contracts.v1.plan import PlanTrigger
from shared.kernel.clock import Clock
from shared.kernel.workload import PodPhase

log = structlog.get_logger(__name__)

WATCHER = "pending pods"
UNSCHEDULABLE_SETTLE = timedelta(milliseconds=100)
"""Replicas are made one after the other: those of one Deployment are planned together."""


async def keep_registration(message: ClusterRegistered, *, uow: UnitOfWork) -> None:
    """Learn to whom a cluster belongs."""
    await uow.clusters.register(message)


async def keep_config(message: ClusterConfigured, *, uow: UnitOfWork) -> None:
    """Learn what a client allows; an older revision changes nothing."""
    config = Config(message.organization_id, message.revision, message.policy, message.node_template)
    kept = await uow.plans.put_config(message.scope, config)
    log.info("config_received", revision=message.revision, kept=kept)


async def keep_chunk(
    message: SnapshotChunkPublished, *, uow: UnitOfWork, clock: Clock, settle: timedelta
) -> None:
    """Store a part of a snapshot."""
    if await uow.clusters.add_chunk(message):
        log.info("snapshot_taken", epoch=message.epoch, sequence=message.sequence, chunks=message.count)
        if await uow.clusters.has_pending_pods(message.scope):
            await _want_for_pending(message.scope, uow=uow, clock=clock, settle=settle)


async def keep_delta(message: ClusterChanged, *, uow: UnitOfWork, clock: Clock, settle: timedelta) -> None:
    """Apply a change; the ones that came early wait for those between."""
    applied = await uow.clusters.apply(message)
    waiting = [p for p in message.upserts.pods if p.phase is PodPhase.PENDING and p.node_name is None]
    waits = bool(waiting)
    if applied.took_others and not waits:
        waits = await uow.clusters.has_pending_pods(message.scope)
    if applied.is_applied and waits:
        # While a plan is carried out, what was drained often finds its node a moment later.
        is_sure = any(p.is_unschedulable for p in waiting) and not await uow.plans.running(message.scope)
        pause = UNSCHEDULABLE_SETTLE if is_sure else settle
        await _want_for_pending(message.scope, uow=uow, clock=clock, settle=pause)


async def keep_heartbeat(message: HeartbeatSent, *, uow: UnitOfWork) -> None:
    """A cluster in which nothing changes is known to be fresh."""
    await uow.clusters.note_heartbeat(message)


async def keep_usage(message: UsageSampled, *, uow: UnitOfWork) -> None:
    """Sum usage up by workload; pods we do not know (any more) are left out."""
    view = await uow.clusters.view(message.scope)
    if view is None:
        return
    workloads = {
        pod.key: f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}"
        for pod in view.objects.pods
        if pod.owner is not None
    }
    known = [(workloads[sample.pod], sample) for sample in message.pods if sample.pod in workloads]
    await uow.plans.add_usage(message.scope, known, at=message.sampled_at)


async def keep_execution_start(message: ExecutionStarted, *, uow: UnitOfWork) -> None:
    """While it runs, no savings are planned: the cluster is on its way."""
    await uow.plans.execution_started(
        message.scope,
        message.execution_id,
        plan_id=message.plan_id,
        trigger=message.trigger,
        at=message.occurred_at,
    )


async def keep_execution_end(message: ExecutionFinished, *, uow: UnitOfWork) -> None:
    """From here the stabilization window counts."""
    await uow.plans.execution_finished(
        message.scope,
        message.execution_id,
        at=message.occurred_at,
        has_succeeded=message.status is ExecutionStatus.SUCCEEDED,
    )


async def ask_for_missing(*, unit_of_work: UnitOfWorkFactory, agents: Agents, clock: Clock) -> None:
    """Ask agents for a snapshot where deltas are missing."""
    async with unit_of_work() as uow:
        gaps = await uow.clusters.gaps(now=clock.now())
    for cluster_id in gaps:
        log.warning("resync_asked", cluster_id=cluster_id)
        metrics.resyncs_asked.inc()
        await agents.ask_for_snapshot(cluster_id, reason="deltas are missing")


async def _want_for_pending(cluster_id: str, *, uow: UnitOfWork, clock: Clock, settle: timedelta) -> None:
    """Look at the pods that wait, once those that only wait for kube-scheduler are bound."""
    await uow.plans.want(
        cluster_id, PlanTrigger.PENDING_PODS, requested_by=WATCHER, due_at=clock.now() + settle
    )
