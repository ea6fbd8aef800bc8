"""Which launched instances came to no use: their move failed, and nothing runs on them."""

from collections.abc import Sequence

from services.executor.domain.guardrails import node_of_instance, pods_left
from services.executor.domain.steps import (
    TAKEN_OVER,
    Attempt,
    Errand,
    Execution,
    MoveSteps,
    Step,
    StepKind,
    StepStatus,
    by_move,
)
from shared.kernel.workload import ClusterObjects


def unused_attempts(
    execution: Execution, steps: Sequence[Step], attempts: Sequence[Attempt], objects: ClusterObjects
) -> tuple[Attempt, ...]:
    """Give the attempts whose instance may be terminated again.

    An instance that pods use stays, whatever became of its move: taking it away would disturb them.
    """
    move_by_step = {step.id: move for move in by_move(steps) for step in move.steps}
    return tuple(
        attempt
        for attempt in attempts
        if attempt.instance_id is not None
        and attempt.release is Errand.NONE
        and not _came_to_use(
            attempt, move_by_step[attempt.step_id], is_interruption=execution.is_interruption
        )
        and _is_idle(attempt.instance_id, objects)
    )


def _came_to_use(attempt: Attempt, move: MoveSteps, *, is_interruption: bool) -> bool:
    became_ready = any(
        wait.instance_id == attempt.instance_id and wait.status is StepStatus.SUCCEEDED
        for wait in move.of(StepKind.WAIT_READY)
    )
    drains = move.of(StepKind.DRAIN)
    serves = is_interruption or not drains
    return became_ready and (
        serves or any(s.status is StepStatus.SUCCEEDED or s.detail == TAKEN_OVER for s in drains)
    )


def _is_idle(instance_id: str, objects: ClusterObjects) -> bool:
    node = node_of_instance(objects, instance_id)
    return node is None or not pods_left(objects, node.name)
