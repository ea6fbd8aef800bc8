"""When every step is over: give back what came to no use, then say how it ended."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from services.executor import metrics
from services.executor.domain.steps import (
    Attempt,
    Errand,
    StepKind,
    StepStatus,
    tally,
)
from services.executor.domain.unused import unused_attempts
from services.executor.handlers.record_step import fenced, is_fresh
from services.executor.handlers.scene import Scene, Tools
from shared.contracts.v1 import executor
from shared.kernel.errors import PermanentError, UnavailableError

log = structlog.get_logger(__name__)

DETAIL_LENGTH = 500


async def finish_execution(*, scene: Scene, tools: Tools) -> None:
    """Close an execution, unless instances must be released first."""
    if scene.attempts:
        if scene.picture is None or not is_fresh(scene, tools):
            return
        unused = unused_attempts(scene.execution, scene.steps, scene.attempts, scene.picture.objects)
        orphans = await _orphans(scene, tools)
        if orphans is None:
            return
        if unused or orphans:
            async with fenced(scene, tools) as uow:
                for attempt in (*unused, *orphans):
                    await uow.executions.put_attempt(replace(attempt, release=Errand.WANTED))
            return
    result = tally(scene.execution, scene.steps)
    detail = "; ".join(result.reasons)[:DETAIL_LENGTH]
    execution = replace(scene.execution, status=result.status, finished_at=tools.clock.now(), detail=detail)
    async with fenced(scene, tools) as uow:
        await uow.executions.finish(execution)
        await uow.outbox.add(
            executor.ExecutionFinished.make(
                scope=execution.cluster_id,
                clock=tools.clock,
                ids=tools.ids,
                organization_id=execution.organization_id,
                execution_id=execution.id,
                plan_id=execution.plan_id,
                status=executor.ExecutionStatus(result.status.value),
                steps_succeeded=result.succeeded,
                steps_failed=result.failed,
                steps_skipped=result.skipped,
                detail=detail,
            )
        )
    metrics.executions_ended.labels(execution.trigger, result.status.value).inc()
    log.info(
        "execution_finished",
        execution_id=str(execution.id),
        status=result.status.value,
        succeeded=result.succeeded,
        failed=result.failed,
        skipped=result.skipped,
    )


async def _orphans(scene: Scene, tools: Tools) -> Sequence[Attempt] | None:
    """Find living instances of failed launches that no attempt knows of; None when AWS cannot say now."""
    failed = {
        str(s.id): s
        for s in scene.steps
        if s.kind is StepKind.LAUNCH and s.status is not StepStatus.SUCCEEDED
    }
    if not any(attempt.error for attempt in scene.attempts) or not failed:
        return ()
    try:
        living = await tools.cloud.launched_for(scene.cluster.cluster_id, scene.execution.id)
    except UnavailableError as error:
        log.warning("orphan_sweep_waits", error=str(error))
        return None
    except PermanentError as error:
        log.error("orphan_sweep_refused", error=str(error))
        return ()
    known = {attempt.instance_id for attempt in scene.attempts}
    found: list[Attempt] = []
    for instance_id, step_id in living.items():
        step = failed.get(step_id)
        last = [a for a in scene.attempts if step is not None and a.step_id == step.id]
        if instance_id in known or step is None or not last:
            continue
        found.append(
            Attempt(
                step_id=step.id,
                number=len(last) + 1 + len(found),
                offering=last[-1].offering,
                request="",
                made_at=tools.clock.now(),
                instance_id=instance_id,
            )
        )
        log.warning("orphan_found", instance_id=instance_id, step_id=step_id)
    return found
