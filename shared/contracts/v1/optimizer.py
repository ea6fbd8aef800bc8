"""Messages owned by the optimizer."""

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime

from shared.contracts.base import Command, Event, Reply, Request, Usd, Value
from shared.contracts.v1.plan import Plan, PlanTrigger


class ProposePlan(Command):
    """Plan this cluster now. Scope: cluster."""

    type: ClassVar[str] = "optimizer.cmd.v1.propose_plan"

    requested_by: str
    trigger: PlanTrigger = PlanTrigger.ON_DEMAND


class PlanProposed(Event):
    """A plan that changes something. Scope: cluster."""

    type: ClassVar[str] = "optimizer.evt.v1.plan_proposed"

    plan: Plan
    plan_sha256: str


class PlanningSkipped(Event):
    """Planning was asked for and changed nothing, or could not be done. Scope: cluster."""

    type: ClassVar[str] = "optimizer.evt.v1.planning_skipped"

    organization_id: str
    trigger: PlanTrigger
    reason: str
    """One sentence for people."""


class PlanSummary(Value):
    """A line of a list of plans."""

    id: UUID
    created_at: AwareDatetime
    trigger: PlanTrigger
    nodes_before: int
    nodes_after: int
    cost_before_usd_per_hour: Usd | None
    cost_after_usd_per_hour: Usd | None
    moves: int
    unplaced: int


class ListPlans(Request):
    """Newest first. Scope: cluster."""

    type: ClassVar[str] = "optimizer.rpc.v1.list_plans"

    limit: int = 20


class Plans(Reply):
    """Answer to ListPlans; with the reason why the last planning proposed nothing, if so."""

    plans: tuple[PlanSummary, ...]
    last_skip_reason: str | None = None
    last_skip_at: AwareDatetime | None = None


class GetPlan(Request):
    """One whole plan. Scope: cluster."""

    type: ClassVar[str] = "optimizer.rpc.v1.get_plan"

    plan_id: UUID


class PlanReply(Reply):
    """Answer to GetPlan."""

    plan: Plan | None
    plan_sha256: str | None = None


class GetClusterSummary(Request):
    """What the optimizer last saw. Scope: cluster."""

    type: ClassVar[str] = "optimizer.rpc.v1.get_cluster_summary"


class ClusterSummary(Reply):
    """Counts for a console; null where no snapshot has arrived yet."""

    as_of: AwareDatetime | None
    nodes: int | None = None
    nodes_ready: int | None = None
    pods: int | None = None
    pods_pending: int | None = None
    cost_usd_per_hour: Usd | None = None
    requested_cpu_millicores: int | None = None
    requested_memory_bytes: int | None = None
