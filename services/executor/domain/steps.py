"""An execution as steps: small enough that each is idempotent, recorded before and after, and repeatable.

A move launches first, waits until every launched node is Ready, cordons all its nodes so that no pod moves
twice, and only then drains, terminates and verifies each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

from shared.kernel.pools import PoolKey


class StepKind(StrEnum):
    """One executable action."""

    LAUNCH = "launch"
    WAIT_READY = "wait_ready"
    CORDON = "cordon"
    DRAIN = "drain"
    TERMINATE = "terminate"
    VERIFY = "verify"


class StepStatus(StrEnum):
    """How far a step is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (StepStatus.PENDING, StepStatus.RUNNING)


class ExecutionStatus(StrEnum):
    """How far an execution is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTLY = "partly"
    STOPPED = "stopped"
    FAILED = "failed"


class Errand(StrEnum):
    """Something to put right beside the steps: an uncordon, or the release of an unused instance."""

    NONE = "none"
    WANTED = "wanted"
    DONE = "done"


INTERRUPTED = "interrupted"
"""The trigger of an execution that a notice started."""

TAKEN_OVER = "an interruption has taken the node over"
"""Why a step of another execution was skipped; the replacement it launched serves the interruption."""


@dataclass(frozen=True, slots=True)
class Offering:
    """A pool to launch from, at the price it was chosen for."""

    pool: PoolKey
    usd_per_hour: Decimal | None
    """None when nobody could say."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One instance that a move wants."""

    id: str
    offerings: tuple[Offering, ...]
    """In the order to try; empty when they are asked for when the step begins."""
    pods: tuple[str, ...] = ()
    """namespace/name of the pods it is meant for."""


@dataclass(frozen=True, slots=True)
class Move:
    """One change of the fleet."""

    id: str
    launches: tuple[Launch, ...] = ()
    drains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action with what came of it so far."""

    id: UUID
    execution_id: UUID
    position: int
    """Order in the execution."""
    move_id: str
    kind: StepKind
    subject: str
    """For people: the node, or the launch."""
    launch_id: str | None = None
    """Joins a LAUNCH to its WAIT_READY."""
    node_name: str | None = None
    """Of the node that goes; of the node that came, once it is known."""
    instance_id: str | None = None
    status: StepStatus = StepStatus.PENDING
    attempts: int = 0
    detail: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline_at: datetime | None = None
    """When a running step is given up."""
    look_again_at: datetime | None = None
    """No earlier is it advanced: pacing for calls to AWS."""
    offerings: tuple[Offering, ...] = ()
    pods: tuple[str, ...] = ()
    """Of a WAIT_READY: namespace/name of the pods that the plan means for its node."""
    owners: tuple[str, ...] = ()
    """namespace/kind/name of the controllers whose pods a drain moved."""
    uncordon: Errand = Errand.NONE
    """Of a CORDON whose node was not drained after all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call to launch, with the exact request: after a crash the same request is sent again first."""

    step_id: UUID
    number: int
    offering: Offering
    request: str
    """JSON, as it goes to EC2."""
    made_at: datetime
    instance_id: str | None = None
    error: str | None = None
    """EC2's code, when it launched nothing."""
    release: Errand = Errand.NONE

    @property
    def is_open(self) -> bool:
        """Whether nobody knows yet what EC2 did."""
        return self.instance_id is None and self.error is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One plan, or one interruption, being carried out."""

    id: UUID
    organization_id: str
    cluster_id: str
    plan_id: UUID | None
    trigger: str
    is_main: bool
    """Whether it excludes other executions of the cluster; launch-only ones and interruptions do not."""
    status: ExecutionStatus
    dry_run: bool
    started_at: datetime
    expires_at: datetime | None = None
    """Of the plan."""
    finished_at: datetime | None = None
    stop_requested: bool = False
    detail: str = ""
    stalled_at: datetime | None = None
    """Since when nothing is under way though something could be."""
    evict_by: datetime | None = None
    """Of an interruption: when the instance goes."""

    @property
    def is_interruption(self) -> bool:
        """Whether a notice started it: no budget and no window binds it."""
        return self.trigger == INTERRUPTED


@dataclass(frozen=True, slots=True)
class MoveSteps:
    """The steps of one move, in order."""

    move_id: str
    steps: tuple[Step, ...]

    def of(self, *kinds: StepKind) -> tuple[Step, ...]:
        """Give the steps of these kinds."""
        return tuple(step for step in self.steps if step.kind in kinds)

    @property
    def has_begun(self) -> bool:
        """Whether anything was tried."""
        return any(s.status not in (StepStatus.PENDING, StepStatus.SKIPPED) for s in self.steps)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return all(step.status.is_over for step in self.steps)


def steps_of(execution_id: UUID, moves: Iterable[Move]) -> tuple[Step, ...]:
    """Turn moves, in their order, into steps; ids follow from the content, so turning twice gives the same."""
    steps: list[Step] = []

    def add(move: Move, kind: StepKind, subject: str, launch: Launch | None = None) -> None:
        steps.append(
            Step(
                id=uuid5(execution_id, f"{move.id}/{kind}/{subject}"),
                execution_id=execution_id,
                position=len(steps),
                move_id=move.id,
                kind=kind,
                subject=subject,
                launch_id=launch.id if launch else None,
                node_name=None if launch else subject,
                offerings=launch.offerings if launch and kind is StepKind.LAUNCH else (),
                pods=launch.pods if launch and kind is StepKind.WAIT_READY else (),
            )
        )

    for move in moves:
        for launch in move.launches:
            add(move, StepKind.LAUNCH, launch.id, launch)
            add(move, StepKind.WAIT_READY, launch.id, launch)
        for node in move.drains:
            add(move, StepKind.CORDON, node)
        for node in move.drains:
            for kind in (StepKind.DRAIN, StepKind.TERMINATE, StepKind.VERIFY):
                add(move, kind, node)
    return tuple(steps)


def by_move(steps: Sequence[Step]) -> tuple[MoveSteps, ...]:
    """Group steps by move, both in their order."""
    grouped: dict[str, list[Step]] = {}
    for step in sorted(steps, key=lambda s: s.position):
        grouped.setdefault(step.move_id, []).append(step)
    return tuple(MoveSteps(move_id, tuple(items)) for move_id, items in grouped.items())


@dataclass(frozen=True, slots=True)
class Tally:
    """How an execution ended."""

    status: ExecutionStatus
    succeeded: int
    failed: int
    skipped: int
    reasons: tuple[str, ...] = field(default=())


def tally(execution: Execution, steps: Sequence[Step]) -> Tally:
    """Sum an execution up when every step is over."""
    count = {status: sum(s.status is status for s in steps) for status in StepStatus}
    failed, skipped = count[StepStatus.FAILED], count[StepStatus.SKIPPED]
    if execution.stop_requested:
        status = ExecutionStatus.STOPPED
    elif not failed and (not skipped or execution.dry_run):
        status = ExecutionStatus.SUCCEEDED
    elif count[StepStatus.SUCCEEDED]:
        status = ExecutionStatus.PARTLY
    else:
        status = ExecutionStatus.FAILED
    reasons = dict.fromkeys(s.detail for s in steps if s.status is StepStatus.FAILED and s.detail)
    return Tally(status, count[StepStatus.SUCCEEDED], failed, skipped, tuple(reasons))
