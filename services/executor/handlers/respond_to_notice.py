"""An interruption notice overtakes everything: the node is cordoned and drained at once, its replacement is
asked for in parallel, and no budget or window is waited for.
"""

from dataclasses import replace
from uuid import UUID

import structlog

from services.executor import metrics
from services.executor.domain import guardrails, interruption
from services.executor.domain.steps import (
    INTERRUPTED,
    TAKEN_OVER,
    Errand,
    Execution,
    ExecutionStatus,
    Launch,
    Move,
    StepKind,
    StepStatus,
    steps_of,
)
from services.executor.handlers.record_step import record_step
from services.executor.ports import Cluster, Picture, SafeModeSwitch, Switch, UnitOfWork
from shared.contracts.v1.executor import ExecutionStarted, NodeInterrupted
from shared.contracts.v1.pricing import InstanceNoticeReceived
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.workload import Node

log = structlog.get_logger(__name__)

MOVE_ID = "interruption"


async def respond_to_notice(
    message: InstanceNoticeReceived, *, uow: UnitOfWork, safe_mode: SafeModeSwitch, clock: Clock, ids: Ids
) -> None:
    """Tell that a node is interrupted, and begin to empty it; a second notice of the same kind changes nothing."""
    if await uow.executions.was_terminated(message.instance_id):
        return
    await _hurry_launch(message, uow=uow, clock=clock)
    for cluster_id, node_name in await uow.clusters.clusters_of_instance(
        message.instance_id, account=message.account
    ):
        cluster = await uow.clusters.cluster(cluster_id)
        if cluster is None or not await uow.notices.add(
            message.instance_id, message.kind.value, at=clock.now()
        ):
            continue
        picture = await uow.clusters.picture(cluster_id)
        node = guardrails.node_of_instance(picture.objects, message.instance_id) if picture else None
        pool = _pool(node, cluster) if node else None
        await uow.outbox.add(
            NodeInterrupted.make(
                scope=cluster_id,
                clock=clock,
                ids=ids,
                cause=message,
                organization_id=cluster.organization_id,
                node_name=node_name,
                instance_id=message.instance_id,
                kind=message.kind,
                pool=pool,
            )
        )
        flagged = await uow.flags.live(cluster.region, now=clock.now())
        action = interruption.action_for(message.kind, risk_is_raised=pool in flagged)
        is_handled = await uow.notices.execution_of(message.instance_id) is not None
        metrics.interruptions.labels(message.kind.value, action.value).inc()
        log.info(
            "node_interrupted",
            node_name=node_name,
            instance_id=message.instance_id,
            kind=message.kind.value,
            action=action.value,
            is_handled=is_handled,
        )
        if action is interruption.Action.NO_ACTION or is_handled or node is None or picture is None:
            continue
        switch = await safe_mode.read(organization_id=cluster.organization_id, cluster_id=cluster_id)
        execution_id = await _begin(
            message, cluster, node, picture, uow=uow, clock=clock, ids=ids, dry_run=switch is Switch.ON
        )
        await uow.notices.begun(message.instance_id, message.kind.value, execution_id)


async def _hurry_launch(message: InstanceNoticeReceived, *, uow: UnitOfWork, clock: Clock) -> None:
    """Wait no longer for the node of an instance of ours that goes before it was Ready."""
    awaited = await uow.executions.awaited(message.instance_id)
    if awaited is None or message.kind is InterruptionKind.REBALANCE_RECOMMENDATION:
        return
    step, execution = awaited
    cluster = await uow.clusters.cluster(execution.cluster_id)
    if cluster is not None and cluster.account_number == message.account:
        await uow.executions.change(step, replace(step, deadline_at=clock.now()))


async def _begin(
    message: InstanceNoticeReceived,
    cluster: Cluster,
    node: Node,
    picture: Picture,
    *,
    uow: UnitOfWork,
    clock: Clock,
    ids: Ids,
    dry_run: bool,
) -> UUID:
    execution = Execution(
        id=ids.new(),
        organization_id=cluster.organization_id,
        cluster_id=cluster.cluster_id,
        plan_id=None,
        trigger=INTERRUPTED,
        is_main=False,
        status=ExecutionStatus.RUNNING,
        dry_run=dry_run,
        started_at=clock.now(),
        evict_by=interruption.evict_by(message.kind, notice_at=message.notice_at),
    )
    needs_room = guardrails.without_room(picture.objects, (node.name,)) is not None
    # The offerings are asked for when the step begins: pricing may take its time, the drain may not.
    launches = (Launch(node.name, ()),) if needs_room else ()
    steps = steps_of(execution.id, [Move(MOVE_ID, launches, (node.name,))])
    await _take_over(node, cluster, message=message, uow=uow, clock=clock, ids=ids)
    await uow.executions.add(execution, steps)
    await uow.outbox.add(
        ExecutionStarted.make(
            scope=cluster.cluster_id,
            clock=clock,
            ids=ids,
            cause=message,
            organization_id=cluster.organization_id,
            execution_id=execution.id,
            plan_id=None,
            trigger=INTERRUPTED,
            steps=len(steps),
            dry_run=dry_run,
        )
    )
    return execution.id


async def _take_over(
    node: Node,
    cluster: Cluster,
    *,
    message: InstanceNoticeReceived,
    uow: UnitOfWork,
    clock: Clock,
    ids: Ids,
) -> None:
    """End what other executions wanted with the node: it is not drained twice, and not uncordoned."""
    for other in await uow.executions.running_of(cluster.cluster_id):
        for step in await uow.executions.steps(other.id):
            if step.node_name != node.name or step.kind is StepKind.WAIT_READY:
                continue
            after = step
            if not step.status.is_over:
                after = replace(step, status=StepStatus.SKIPPED, detail=TAKEN_OVER)
            if step.kind is StepKind.CORDON:
                after = replace(after, uncordon=Errand.DONE)
            if after != step:
                await record_step(step, after, uow=uow, execution=other, clock=clock, ids=ids, cause=message)


def _pool(node: Node, cluster: Cluster) -> PoolKey | None:
    if node.instance_type is None or node.zone_id is None:
        return None
    capacity_type = node.capacity_type or CapacityType.ON_DEMAND
    return PoolKey(cluster.region, node.instance_type, node.zone_id, capacity_type)
