"""Every change of a step is stored and told in one transaction, or not at all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import structlog

from services.executor import metrics
from services.executor.domain.steps import Attempt, Execution, Step, StepStatus
from services.executor.handlers.scene import Scene, Tools
from services.executor.ports import Switch, UnitOfWork
from shared.contracts.base import Message
from shared.contracts.v1 import executor
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)


@asynccontextmanager
async def fenced(scene: Scene, tools: Tools) -> AsyncIterator[UnitOfWork]:
    """Open a unit of work that only the newest holder of the execution's lease gets.

    Raises:
        LeaseLostError: another replica has written with a higher token.
    """
    async with tools.unit_of_work() as uow:
        await uow.executions.fence(scene.execution.id, scene.token)
        yield uow


async def record_step(
    before: Step,
    after: Step,
    *,
    uow: UnitOfWork,
    execution: Execution,
    clock: Clock,
    ids: Ids,
    cause: Message | None = None,
) -> Step | None:
    """Store a step's new state and tell of its begin or end; None when somebody changed it meanwhile."""
    now = clock.now()
    if after.status is StepStatus.RUNNING and before.status is StepStatus.PENDING:
        after = replace(after, started_at=now, look_again_at=None)
    if after.status.is_over and not before.status.is_over:
        after = replace(after, finished_at=now, look_again_at=None)
    if not await uow.executions.change(before, after):
        return None
    if after.status is before.status or after.status is StepStatus.PENDING:
        return after
    await uow.outbox.add(
        executor.StepChanged.make(
            scope=execution.cluster_id,
            clock=clock,
            ids=ids,
            cause=cause,
            organization_id=execution.organization_id,
            execution_id=execution.id,
            step_id=after.id,
            move_id=after.move_id,
            kind=executor.StepKind(after.kind.value),
            status=executor.StepStatus(after.status.value),
            subject=after.subject,
            detail=after.detail,
        )
    )
    if after.status.is_over:
        metrics.steps_ended.labels(after.kind.value, after.status.value).inc()
        if after.started_at is not None:
            metrics.step_seconds.labels(after.kind.value).observe((now - after.started_at).total_seconds())
    log.info(
        "step_changed",
        execution_id=str(execution.id),
        step_id=str(after.id),
        kind=after.kind.value,
        subject=after.subject,
        status=after.status.value,
        detail=after.detail,
    )
    return after


async def record(
    before: Step, after: Step, *, scene: Scene, tools: Tools, attempt: Attempt | None = None
) -> Step | None:
    """Record one step, and the attempt that belongs to it, in a transaction of their own."""
    async with fenced(scene, tools) as uow:
        stored = await record_step(
            before, after, uow=uow, execution=scene.execution, clock=tools.clock, ids=tools.ids
        )
        if stored is not None and attempt is not None:
            await uow.executions.put_attempt(attempt)
        return stored


async def may_write(step: Step, action: str, *, scene: Scene, tools: Tools) -> bool:
    """Whether a step may begin to write now; under safe mode it is skipped, and what it would do is kept."""
    match scene.switch:
        case Switch.OFF:
            return True
        case Switch.UNREADABLE:
            return False
        case Switch.ON:
            pass
    after = replace(step, status=StepStatus.SKIPPED, detail=f"safe mode: would {action}")
    async with fenced(scene, tools) as uow:
        stored = await record_step(
            step, after, uow=uow, execution=scene.execution, clock=tools.clock, ids=tools.ids
        )
        if stored is not None:
            await uow.executions.note_held_back(
                scene.execution, step, at=tools.clock.now(), action=f"{step.kind}: {action}"
            )
    metrics.writes_held_back.inc()
    log.info("write_held_back", step_id=str(step.id), kind=step.kind.value, action=action)
    return False


async def look_again_later(step: Step, *, scene: Scene, tools: Tools, pause: timedelta) -> None:
    """Leave a step as it is for a moment."""
    await record(step, replace(step, look_again_at=tools.clock.now() + pause), scene=scene, tools=tools)


def is_fresh(scene: Scene, tools: Tools) -> bool:
    """Whether the picture of the cluster is new enough to disrupt a node on its ground.

    Its time is the agent's: a clock that is far ahead would make an old picture look fresh.
    """
    return (
        scene.picture is not None and abs(tools.clock.now() - scene.picture.as_of) <= tools.pace.copy_max_age
    )
