"""Messages owned by the executor: what was begun, what came of it."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime

from shared.contracts.base import Event, Reply, Request, Token, Usd, Value
from shared.contracts.v1.gateway import SigningKey
from shared.contracts.v1.plan import BaselineRate
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import PoolKey


class ExecutionStatus(StrEnum):
    """How far an execution is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTLY = "partly"
    """Finished; some moves were refused or given up, each with its reason."""
    STOPPED = "stopped"
    FAILED = "failed"


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
    """No longer safe or no longer needed; the detail says which."""


class ExecutionStarted(Event):
    """Scope: cluster."""

    type: ClassVar[str] = "executor.evt.v1.execution_started"

    organization_id: Token
    execution_id: UUID
    plan_id: UUID | None
    """Null when an interruption started it."""
    trigger: str
    """The plan's trigger, or interrupted."""
    steps: int
    baseline_rate: BaselineRate | None = None
    dry_run: bool = False
    """Safe mode was on: every write is logged, none is made."""


class StepChanged(Event):
    """A step began or ended. Scope: cluster."""

    type: ClassVar[str] = "executor.evt.v1.step_changed"

    organization_id: Token
    execution_id: UUID
    step_id: UUID
    move_id: Token
    kind: StepKind
    status: StepStatus
    subject: str
    """The node, or the instance, or the pool it is about."""
    detail: str = ""


class ExecutionFinished(Event):
    """Scope: cluster."""

    type: ClassVar[str] = "executor.evt.v1.execution_finished"

    organization_id: Token
    execution_id: UUID
    plan_id: UUID | None
    status: ExecutionStatus
    steps_succeeded: int
    steps_failed: int
    steps_skipped: int
    detail: str = ""


class InstanceLaunched(Event):
    """We launched it; whose pool it is in, pricing keeps. Scope: cluster."""

    type: ClassVar[str] = "executor.evt.v1.instance_launched"

    organization_id: Token
    execution_id: UUID
    instance_id: str
    pool: PoolKey
    usd_per_hour: Usd | None
    """The price it was planned with; null when pricing was away (a replacement is bought all the same)."""


class InstanceTerminated(Event):
    """We terminated it. Scope: cluster."""

    type: ClassVar[str] = "executor.evt.v1.instance_terminated"

    organization_id: Token
    execution_id: UUID
    instance_id: str
    node_name: str | None


class NodeInterrupted(Event):
    """EC2 said that the instance under a node will go, or may. Scope: cluster."""

    type: ClassVar[str] = "executor.evt.v1.node_interrupted"

    organization_id: Token
    node_name: str
    instance_id: str
    kind: InterruptionKind
    pool: PoolKey | None
    """Null when the node's labels do not say."""


class CapacityInsufficient(Event):
    """EC2 could not launch from a pool (ICE). Scope: cluster."""

    type: ClassVar[str] = "executor.evt.v1.capacity_insufficient"

    organization_id: Token
    pool: PoolKey


class StepView(Value):
    """A step, for people."""

    id: UUID
    move_id: Token
    kind: StepKind
    status: StepStatus
    subject: str
    detail: str = ""
    attempts: int = 0
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


class ExecutionView(Value):
    """An execution, for people."""

    id: UUID
    plan_id: UUID | None
    trigger: str
    status: ExecutionStatus
    dry_run: bool
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    steps_total: int
    steps_done: int
    detail: str = ""


class ListExecutions(Request):
    """Newest first. Scope: cluster."""

    type: ClassVar[str] = "executor.rpc.v1.list_executions"

    limit: int = 20


class Executions(Reply):
    """Answer to ListExecutions."""

    executions: tuple[ExecutionView, ...]


class GetExecution(Request):
    """One execution with its steps. Scope: cluster."""

    type: ClassVar[str] = "executor.rpc.v1.get_execution"

    execution_id: UUID


class ExecutionReply(Reply):
    """Answer to GetExecution."""

    execution: ExecutionView | None
    steps: tuple[StepView, ...] = ()


class GetSigningKeys(Request):
    """Public keys an agent shall trust. Scope: global."""

    type: ClassVar[str] = "executor.rpc.v1.get_signing_keys"


class SigningKeys(Reply):
    """Answer to GetSigningKeys; two during a rotation."""

    keys: tuple[SigningKey, ...]
