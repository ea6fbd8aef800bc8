"""Answer what was done and what is under way."""

from services.executor.domain.steps import Execution, Step
from services.executor.ports import SigningKeys, UnitOfWorkFactory
from shared.contracts.v1 import executor

MOST_SHOWN = 200


async def list_executions(
    request: executor.ListExecutions, *, unit_of_work: UnitOfWorkFactory
) -> executor.Executions:
    """Give a cluster's executions, newest first."""
    async with unit_of_work() as uow:
        found = await uow.executions.newest(request.scope, limit=min(max(request.limit, 1), MOST_SHOWN))
    return executor.Executions(executions=tuple(_view(*item) for item in found))


async def get_execution(
    request: executor.GetExecution, *, unit_of_work: UnitOfWorkFactory
) -> executor.ExecutionReply:
    """Give one execution of the cluster with its steps."""
    async with unit_of_work() as uow:
        execution = await uow.executions.find(request.execution_id)
        if execution is None or execution.cluster_id != request.scope:
            return executor.ExecutionReply(execution=None)
        steps = await uow.executions.steps(execution.id)
    done = sum(step.status.is_over for step in steps)
    return executor.ExecutionReply(
        execution=_view(execution, len(steps), done), steps=tuple(map(_step_view, steps))
    )


async def get_signing_keys(
    _request: executor.GetSigningKeys, *, signing_keys: SigningKeys
) -> executor.SigningKeys:
    """Give the public keys that agents shall trust."""
    return executor.SigningKeys(keys=tuple(await signing_keys.public_keys()))


def _view(execution: Execution, steps_total: int, steps_done: int) -> executor.ExecutionView:
    return executor.ExecutionView(
        id=execution.id,
        plan_id=execution.plan_id,
        trigger=execution.trigger,
        status=executor.ExecutionStatus(execution.status.value),
        dry_run=execution.dry_run,
        started_at=execution.started_at,
        finished_at=execution.finished_at,
        steps_total=steps_total,
        steps_done=steps_done,
        detail=execution.detail,
    )


def _step_view(step: Step) -> executor.StepView:
    return executor.StepView(
        id=step.id,
        move_id=step.move_id,
        kind=executor.StepKind(step.kind.value),
        status=executor.StepStatus(step.status.value),
        subject=step.subject,
        detail=step.detail,
        attempts=step.attempts,
        started_at=step.started_at,
        finished_at=step.finished_at,
    )
