"""What an agent's outcome means for the step it was sent for."""

from dataclasses import replace

import structlog

from services.executor.domain.steps import Step, StepKind, StepStatus
from services.executor.handlers.record_step import record_step
from services.executor.ports import UnitOfWork
from shared.contracts.v1.agent import CommandFinished, CommandOutcome, OutcomeStatus
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)

SETTLED_BY_EVENT = (StepKind.CORDON, StepKind.DRAIN)


def settled(step: Step, outcome: CommandOutcome) -> Step:
    """Give the step after an outcome; unchanged while the agent is still at it."""
    match outcome.status:
        case OutcomeStatus.RUNNING:
            return step
        case OutcomeStatus.SUCCEEDED:
            detail = outcome.detail
            if step.kind is StepKind.DRAIN:
                detail = detail or f"{outcome.pods_evicted} pods evicted"
            return replace(step, status=StepStatus.SUCCEEDED, detail=detail)
        case OutcomeStatus.FAILED | OutcomeStatus.REFUSED:
            blockers = f"blocked by {', '.join(outcome.blocked_by)}" if outcome.blocked_by else ""
            reasons = [text for text in (outcome.detail, blockers) if text]
            detail = "; ".join(reasons) or f"the agent's answer was {outcome.status}"
            return replace(step, status=StepStatus.FAILED, detail=detail)


async def settle_command(message: CommandFinished, *, uow: UnitOfWork, clock: Clock, ids: Ids) -> None:
    """Take an outcome that arrived as an event; an agent speaks for its own cluster only."""
    step = await uow.executions.step(message.outcome.command_id)
    if step is None or step.kind not in SETTLED_BY_EVENT or step.status is not StepStatus.RUNNING:
        return
    execution = await uow.executions.find(step.execution_id)
    if execution is None or execution.cluster_id != message.scope:
        log.warning("outcome_of_another_cluster", step_id=str(step.id), scope=message.scope)
        return
    after = settled(step, message.outcome)
    if after.status is not step.status:
        await record_step(step, after, uow=uow, execution=execution, clock=clock, ids=ids, cause=message)
