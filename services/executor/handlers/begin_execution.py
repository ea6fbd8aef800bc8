"""An approved plan becomes steps, if it is still the plan that was seen and nothing else is under way."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog

from services.executor import metrics
from services.executor.domain import offering_choice
from services.executor.domain.steps import (
    Execution,
    ExecutionStatus,
    Launch,
    Move,
    Offering,
    Step,
    StepStatus,
    steps_of,
)
from services.executor.errors import ClusterNotHereYetError, PlanNotHereYetError
from services.executor.ports import ClusterConfig, KeptPlan, SafeModeSwitch, Switch, UnitOfWork
from shared.contracts.digest import plan_sha256
from shared.contracts.v1 import executor
from shared.contracts.v1 import plan as contract
from shared.contracts.v1.gateway import PlanApproved
from shared.contracts.v1.plan import MoveReason, Plan, PlanTrigger
from shared.contracts.v1.policy import Policy
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)

AUTOPILOT = "autopilot"
SAVING_REASONS = (MoveReason.UNDERUTILIZED, MoveReason.CHEAPER_OFFERING)
ROOM_REASONS = (MoveReason.HEADROOM, MoveReason.MAKING_ROOM)
PLAN_RETRY_SECONDS = 2.0


async def begin_execution(
    message: PlanApproved, *, uow: UnitOfWork, safe_mode: SafeModeSwitch, clock: Clock, ids: Ids
) -> None:
    """Start to carry a plan out, or say why not.

    Raises:
        PlanNotHereYetError: the proposal is still on its way.
        ClusterNotHereYetError: so is the cluster's configuration.
        PermanentError: the approval is about another cluster or organization than the plan.
    """
    if await uow.executions.of_plan(message.plan_id) is not None:
        return
    kept = await uow.plans.find(message.plan_id)
    if kept is None:
        raise PlanNotHereYetError(retry_after_seconds=PLAN_RETRY_SECONDS)
    cluster = await uow.clusters.cluster(message.scope)
    config = await uow.clusters.config(message.scope)
    if cluster is None or config is None:
        raise ClusterNotHereYetError
    plan = kept.plan
    if {plan.organization_id, message.organization_id} != {cluster.organization_id} or (
        plan.cluster_id != cluster.cluster_id
    ):
        raise PermanentError(f"plan {plan.id} belongs to another cluster or organization")
    now = clock.now()
    is_main = plan.trigger is not PlanTrigger.PENDING_PODS or any(move.drains for move in plan.moves)
    refusal = await _refusal(message, kept, config, is_main=is_main, uow=uow, now=now)
    switch = await safe_mode.read(organization_id=cluster.organization_id, cluster_id=cluster.cluster_id)
    execution = Execution(
        id=ids.new(),
        organization_id=cluster.organization_id,
        cluster_id=cluster.cluster_id,
        plan_id=plan.id,
        trigger=plan.trigger.value,
        is_main=is_main,
        status=ExecutionStatus.FAILED if refusal else ExecutionStatus.RUNNING,
        dry_run=switch is Switch.ON,
        started_at=now,
        expires_at=plan.expires_at,
        finished_at=now if refusal else None,
        detail=refusal or "",
    )
    steps = () if refusal else _steps(execution.id, plan, config.policy, now)
    await uow.executions.add(execution, steps)
    await uow.plans.note(plan.id, "refused" if refusal else "approved")
    if refusal:
        log.warning("plan_refused", plan_id=str(plan.id), reason=refusal)
        metrics.executions_ended.labels(execution.trigger, "refused").inc()
        await uow.outbox.add(
            executor.ExecutionFinished.make(
                scope=cluster.cluster_id,
                clock=clock,
                ids=ids,
                cause=message,
                organization_id=cluster.organization_id,
                execution_id=execution.id,
                plan_id=plan.id,
                status=executor.ExecutionStatus.FAILED,
                steps_succeeded=0,
                steps_failed=0,
                steps_skipped=0,
                detail=refusal,
            )
        )
        return
    await uow.outbox.add(
        executor.ExecutionStarted.make(
            scope=cluster.cluster_id,
            clock=clock,
            ids=ids,
            cause=message,
            organization_id=cluster.organization_id,
            execution_id=execution.id,
            plan_id=plan.id,
            trigger=execution.trigger,
            steps=len(steps),
            baseline_rate=plan.baseline_rate,
            dry_run=execution.dry_run,
        )
    )
    log.info("execution_started", execution_id=str(execution.id), plan_id=str(plan.id), steps=len(steps))


async def _refusal(
    message: PlanApproved,
    kept: KeptPlan,
    config: ClusterConfig,
    *,
    is_main: bool,
    uow: UnitOfWork,
    now: datetime,
) -> str | None:
    plan = kept.plan
    if not message.plan_sha256 == kept.sha256 == plan_sha256(plan):
        return "the plan is not the one that was approved"
    if plan.expires_at <= now:
        return "the plan has expired; ask for a new one"
    if not is_main:
        return None
    if any(execution.is_main for execution in await uow.executions.running_of(message.scope)):
        return "another execution is under way in this cluster"
    if message.approved_by == AUTOPILOT and plan.trigger is PlanTrigger.TIMER:
        last = await uow.executions.last_savings_at(message.scope)
        pause = timedelta(seconds=config.policy.stabilization_seconds)
        if last is not None and now < last + pause:
            return "the cluster is still settling after the last execution"
    return None


def _steps(execution_id: UUID, plan: Plan, policy: Policy, now: datetime) -> tuple[Step, ...]:
    """Give the plan's steps; those of moves that are worth less than the policy asks for are skipped at once."""
    spare = _spare(plan, least=Decimal(str(policy.min_move_savings_usd_per_hour)))
    return tuple(
        replace(
            step,
            status=StepStatus.SKIPPED,
            detail="the move is worth less than the policy asks for",
            finished_at=now,
        )
        if spare.get(step.move_id, 0) < 0
        else step
        for step in steps_of(execution_id, (_move(move, spare.get(move.id)) for move in plan.moves))
    )


def _spare(plan: Plan, *, least: Decimal) -> dict[str, Decimal]:
    """Give what moves can spare of their worth, by move; none for those that are no matter of saving.

    Launches that come before moves that save can spare what the whole plan is worth, and are never below zero.
    """
    found = {
        move.id: move.earned_usd_per_hour - least
        for move in plan.moves
        if move.drains and move.reason in SAVING_REASONS
    }
    if not found:
        return {}
    whole = sum((move.earned_usd_per_hour for move in plan.moves), start=Decimal(0))
    room = {move.id: max(whole, Decimal(0)) for move in plan.moves if move.reason in ROOM_REASONS}
    return found | room


def _move(move: contract.Move, spare_usd_per_hour: Decimal | None) -> Move:
    """Give the move; what it can spare of its worth is shared by its launches, None: it is no matter of saving."""
    return Move(
        id=move.id,
        launches=tuple(
            Launch(
                launch.id,
                _offerings(
                    launch, None if spare_usd_per_hour is None else spare_usd_per_hour / len(move.launches)
                ),
                launch.pods,
            )
            for launch in move.launches
        ),
        drains=move.drains,
    )


def _offerings(launch: contract.Launch, spare_usd_per_hour: Decimal | None) -> tuple[Offering, ...]:
    offerings = tuple(Offering(o.pool, o.usd_per_hour) for o in launch.offerings)
    if spare_usd_per_hour is None:
        return offerings
    return offering_choice.affordable(offerings, extra_usd_per_hour=spare_usd_per_hour)
