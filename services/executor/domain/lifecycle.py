"""Which steps may be worked on now, and what one step's end means for the others.

    launch ─> wait_ready ─┐ (every launch of the move)
                          └─> cordon (every node) ─> drain ─> terminate ─> verify

Moves begin in plan order. Launches run ahead of drains, so that the next replacement boots while this node
empties; drains wait for the budget. An interruption waits for nothing: its node goes anyway.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.executor.domain.steps import Errand, Execution, MoveSteps, Step, StepKind, StepStatus
from shared.kernel.node_budgets import NodeBudgets

DISRUPTING = (StepKind.CORDON, StepKind.DRAIN)
STUCK = "it could not begin for too long: other nodes are cordoned, or the cluster is not heard of"
OPEN_STATUSES = (StepStatus.PENDING, StepStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds an execution now."""

    launches_in_flight: int
    budgets: NodeBudgets
    window_is_open: bool


def runnable(
    execution: Execution,
    moves: Sequence[MoveSteps],
    *,
    limits: Limits,
    disrupted: Iterable[str],
    now: datetime,
) -> tuple[Step, ...]:
    """Give the steps to work on, in order; `disrupted` names the nodes cordoned by anybody."""
    chosen: list[Step] = []
    in_flight = sum(_is_in_flight(move, launch) for move in moves for launch in move.of(StepKind.LAUNCH))
    cordoned = set(disrupted) | {
        step.node_name or ""
        for move in moves
        for step in move.of(StepKind.CORDON)
        if step.status is StepStatus.RUNNING
    }
    earlier_has_begun = True
    for move in moves:
        may_begin = limits.window_is_open or execution.is_interruption or not _disrupts(move)
        for step in move.of(StepKind.LAUNCH):
            if step.status is StepStatus.RUNNING:
                chosen.append(step)
            elif step.status is StepStatus.PENDING and (
                step.attempts > 0 or (may_begin and in_flight < limits.launches_in_flight)
            ):
                in_flight += step.attempts == 0
                chosen.append(step)
        chosen += [s for s in move.of(StepKind.WAIT_READY) if _may_wait(move, s)]
        if execution.is_interruption:
            chosen += _nodes_at_once(move)
            continue
        cordons: list[Step] = []
        if _is_launched(move) and earlier_has_begun and (may_begin or _has_cordoned(move)):
            for step in move.of(StepKind.CORDON):
                if step.status is StepStatus.RUNNING:
                    cordons.append(step)
                elif step.status is StepStatus.PENDING and (
                    step.node_name in cordoned or limits.budgets.allows(step.node_name or "", cordoned)
                ):
                    cordoned.add(step.node_name or "")
                    cordons.append(step)
        chosen += cordons
        if not cordons:
            chosen += [s for s in move.of(StepKind.DRAIN) if _follows(move, s, StepKind.CORDON)]
        chosen += [s for s in move.of(StepKind.TERMINATE) if _follows(move, s, StepKind.DRAIN)]
        chosen += [s for s in move.of(StepKind.VERIFY) if _follows(move, s, StepKind.TERMINATE)]
        earlier_has_begun = earlier_has_begun and (move.is_over or not _disrupts(move) or _has_cordoned(move))
    return tuple(step for step in chosen if step.look_again_at is None or step.look_again_at <= now)


def consequences(
    execution: Execution,
    moves: Sequence[MoveSteps],
    *,
    window_is_open: bool,
    patience: timedelta,
    now: datetime,
) -> tuple[Step, ...]:
    """Give the steps that change because of others: what no longer makes sense is skipped, with the reason.

    An execution in which nothing could begin for as long as `patience` gives up what has not begun, lest it keep
    every later plan out.
    """
    changed: list[Step] = []
    is_late = execution.expires_at is not None and execution.expires_at <= now and not window_is_open
    is_stuck = execution.stalled_at is not None and execution.stalled_at + patience < now
    for move in moves:
        if execution.stop_requested and not move.has_begun:
            changed += _skipped(move.steps, "stopped before the move began")
        elif is_late and not execution.is_interruption and _disrupts(move) and not _has_cordoned(move):
            changed += _skipped(move.steps, "the plan expired before a maintenance window opened")
        elif is_stuck and not execution.is_interruption and not _has_cordoned(move):
            changed += _skipped(move.steps, STUCK)
        elif execution.is_interruption:
            changed += _after_interruption_trouble(move)
        else:
            changed += _after_trouble(move)
    return tuple(changed)


def is_idle(moves: Sequence[MoveSteps]) -> bool:
    """Whether something is left to do and nothing is being done."""
    steps = [step for move in moves for step in move.steps if not step.status.is_over]
    return bool(steps) and not any(s.status is StepStatus.RUNNING or s.deadline_at for s in steps)


def uncordons_due(move: MoveSteps) -> tuple[Step, ...]:
    """Give the CORDON steps whose node stays after all and must take pods again.

    A cordon that failed may have taken effect all the same: its answer was lost, or came too late.
    """
    due: list[Step] = []
    for cordon in move.of(StepKind.CORDON):
        has_begun = cordon.status in (StepStatus.SUCCEEDED, StepStatus.FAILED)
        if not has_begun or cordon.uncordon is not Errand.NONE:
            continue
        drain = _of_node(move, cordon.node_name, StepKind.DRAIN)
        terminate = _of_node(move, cordon.node_name, StepKind.TERMINATE)
        is_given_up = drain is not None and drain.status in (StepStatus.SKIPPED, StepStatus.FAILED)
        is_kept = terminate is not None and terminate.status in (StepStatus.SKIPPED, StepStatus.FAILED)
        if is_given_up or is_kept:
            due.append(replace(cordon, uncordon=Errand.WANTED))
    return tuple(due)


def _after_trouble(move: MoveSteps) -> list[Step]:
    trouble = next(
        (
            s
            for s in move.of(StepKind.LAUNCH, StepKind.WAIT_READY, *DISRUPTING)
            if s.status in (StepStatus.FAILED, StepStatus.SKIPPED)
        ),
        None,
    )
    changed: list[Step] = []
    if trouble is not None:
        reason = trouble.detail or f"{trouble.kind} of {trouble.subject} was {trouble.status}"
        changed += _skipped(move.of(StepKind.LAUNCH, StepKind.WAIT_READY, *DISRUPTING), reason)
    skipped = {step.id for step in changed}
    changed += _tail(move, skipped)
    return changed


def _after_interruption_trouble(move: MoveSteps) -> list[Step]:
    changed: list[Step] = []
    for launch in move.of(StepKind.LAUNCH):
        if launch.status in (StepStatus.FAILED, StepStatus.SKIPPED):
            changed += _skipped(
                [s for s in move.of(StepKind.WAIT_READY) if s.launch_id == launch.launch_id], launch.detail
            )
    for cordon in move.of(StepKind.CORDON):
        if cordon.status is StepStatus.SKIPPED:
            changed += _skipped(_on_node(move, cordon.node_name, StepKind.DRAIN), cordon.detail)
    changed += _tail(move, {step.id for step in changed})
    return changed


def _tail(move: MoveSteps, skipped: set[UUID]) -> list[Step]:
    """Skip TERMINATE and VERIFY of nodes that were not drained, or not terminated."""
    changed: list[Step] = []
    for drain in move.of(StepKind.DRAIN):
        terminates = _on_node(move, drain.node_name, StepKind.TERMINATE)
        verifies = _on_node(move, drain.node_name, StepKind.VERIFY)
        if drain.id in skipped or drain.status in (StepStatus.FAILED, StepStatus.SKIPPED):
            changed += _skipped([*terminates, *verifies], drain.detail or "the node was not drained")
        elif any(t.status in (StepStatus.FAILED, StepStatus.SKIPPED) for t in terminates):
            changed += _skipped(verifies, "the instance was not terminated")
    return changed


def _skipped(steps: Iterable[Step], reason: str) -> list[Step]:
    return [
        replace(step, status=StepStatus.SKIPPED, detail=reason)
        for step in steps
        if step.status is StepStatus.PENDING
    ]


def _nodes_at_once(move: MoveSteps) -> list[Step]:
    # A drain cordons too: it need not wait for the answer to the cordon, and two minutes are short.
    chosen = [s for s in move.of(*DISRUPTING) if s.status in OPEN_STATUSES]
    chosen += [s for s in move.of(StepKind.TERMINATE) if _follows(move, s, StepKind.DRAIN)]
    chosen += [s for s in move.of(StepKind.VERIFY) if _follows(move, s, StepKind.TERMINATE)]
    return chosen


def _is_in_flight(move: MoveSteps, launch: Step) -> bool:
    if launch.status is StepStatus.PENDING:
        return launch.attempts > 0
    waits = [s for s in move.of(StepKind.WAIT_READY) if s.launch_id == launch.launch_id]
    return launch.status is StepStatus.RUNNING or (
        launch.status is StepStatus.SUCCEEDED and any(not s.status.is_over for s in waits)
    )


def _may_wait(move: MoveSteps, wait: Step) -> bool:
    launch = next(s for s in move.of(StepKind.LAUNCH) if s.launch_id == wait.launch_id)
    return wait.status in OPEN_STATUSES and launch.status is StepStatus.SUCCEEDED


def _is_launched(move: MoveSteps) -> bool:
    return all(s.status is StepStatus.SUCCEEDED for s in move.of(StepKind.LAUNCH, StepKind.WAIT_READY))


def _disrupts(move: MoveSteps) -> bool:
    return bool(move.of(StepKind.CORDON))


def _has_cordoned(move: MoveSteps) -> bool:
    return any(s.status in (StepStatus.RUNNING, StepStatus.SUCCEEDED) for s in move.of(StepKind.CORDON))


def _follows(move: MoveSteps, step: Step, before: StepKind) -> bool:
    earlier = _of_node(move, step.node_name, before)
    return step.status in OPEN_STATUSES and earlier is not None and earlier.status is StepStatus.SUCCEEDED


def _of_node(move: MoveSteps, node_name: str | None, kind: StepKind) -> Step | None:
    return next(iter(_on_node(move, node_name, kind)), None)


def _on_node(move: MoveSteps, node_name: str | None, kind: StepKind) -> list[Step]:
    return [s for s in move.of(kind) if s.node_name == node_name]
