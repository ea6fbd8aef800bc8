"""Tell people what happened, one sentence a message."""

from decimal import Decimal
from functools import singledispatch

from services.reporting.ports import Happening, UnitOfWork
from shared.contracts.base import Message
from shared.contracts.v1.executor import (
    CapacityInsufficient,
    ExecutionFinished,
    ExecutionStarted,
    ExecutionStatus,
    InstanceLaunched,
    InstanceTerminated,
    NodeInterrupted,
    StepChanged,
    StepKind,
    StepStatus,
)
from shared.contracts.v1.gateway import ClusterRegistered, PlanApproved
from shared.contracts.v1.optimizer import PlanningSkipped, PlanProposed
from shared.contracts.v1.plan import PlanTrigger
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType, PoolKey

TRIGGERS = {
    PlanTrigger.ON_DEMAND: "on demand",
    PlanTrigger.TIMER: "on the timer",
    PlanTrigger.PENDING_PODS: "for pending pods",
}
STEPS = {
    StepKind.LAUNCH: "launching",
    StepKind.WAIT_READY: "waiting for the node of",
    StepKind.CORDON: "cordoning",
    StepKind.DRAIN: "draining",
    StepKind.TERMINATE: "terminating",
    StepKind.VERIFY: "verifying",
}
NOTICES = {
    InterruptionKind.SPOT_INTERRUPTION: "EC2 takes {node} away in two minutes",
    InterruptionKind.REBALANCE_RECOMMENDATION: "EC2 says that {node} is at a raised risk of interruption",
    InterruptionKind.SCHEDULED_CHANGE: "AWS scheduled maintenance of {node}",
    InterruptionKind.INSTANCE_STATUS: "EC2 reports a problem with {node}",
    InterruptionKind.INSTANCE_TERMINATED: "The instance of {node} is stopping or gone",
}
ENDINGS = {
    ExecutionStatus.RUNNING: "is running",
    ExecutionStatus.SUCCEEDED: "finished",
    ExecutionStatus.PARTLY: "finished in part",
    ExecutionStatus.STOPPED: "was stopped",
    ExecutionStatus.FAILED: "failed",
}


@singledispatch
def sentence(message: Message) -> str | None:
    """Give the sentence that tells of a message; None where there is nothing to tell."""
    raise TypeError(f"no sentence for {message.type}")


@sentence.register
def _(message: ClusterRegistered) -> str | None:
    return f"Cluster {message.name} in {message.cloud_account.region} was connected."


@sentence.register
def _(message: PlanProposed) -> str | None:
    plan = message.plan
    text = f"Planned {_count(len(plan.moves), 'move')} {TRIGGERS[plan.trigger]}: "
    text += f"{plan.nodes_before} → {plan.nodes_after} nodes"
    before, after = plan.cost_before_usd_per_hour, plan.cost_after_usd_per_hour
    if before is not None and after is not None:
        text += f", {_usd(before)} → {_usd(after)}/h"
    if plan.unplaced:
        text += f"; {_count(len(plan.unplaced), 'pod')} could not be placed"
    return f"{text}."


@sentence.register
def _(message: PlanningSkipped) -> str | None:
    return f"No plan was made {TRIGGERS[message.trigger]}{_because(message.reason)}"


@sentence.register
def _(message: PlanApproved) -> str | None:
    by = "autopilot" if message.approved_by == "autopilot" else f"user {message.approved_by}"
    return f"The plan {str(message.plan_id)[-8:]} was approved by {by}."


@sentence.register
def _(message: ExecutionStarted) -> str | None:
    dry = "A dry run (safe mode is on)" if message.dry_run else "An execution"
    why = "an interrupted node" if message.plan_id is None else f"the plan {str(message.plan_id)[-8:]}"
    return f"{dry} of {_count(message.steps, 'step')} started for {why}."


@sentence.register
def _(message: StepChanged) -> str | None:
    # What succeeds is told by the launches and terminations themselves.
    if message.status not in (StepStatus.FAILED, StepStatus.SKIPPED):
        return None
    what = f"{STEPS[message.kind]} {message.subject}".strip()
    came_of_it = "failed" if message.status is StepStatus.FAILED else "was skipped"
    return f"{what[0].upper()}{what[1:]} {came_of_it}{_because(message.detail)}"


@sentence.register
def _(message: ExecutionFinished) -> str | None:
    done = f"{_count(message.steps_succeeded, 'step')} succeeded"
    failed = f", {message.steps_failed} failed" if message.steps_failed else ""
    skipped = f", {message.steps_skipped} were skipped" if message.steps_skipped else ""
    return f"The execution {ENDINGS[message.status]}: {done}{failed}{skipped}{_because(message.detail)}"


@sentence.register
def _(message: InstanceLaunched) -> str | None:
    price = (
        "at a price that nobody knew"
        if message.usd_per_hour is None
        else f"for {_usd(message.usd_per_hour)}/h"
    )
    return f"Launched {_article(message.pool)} {price}."


@sentence.register
def _(message: InstanceTerminated) -> str | None:
    node = f" of node {message.node_name}" if message.node_name else ""
    return f"Terminated the instance {message.instance_id}{node}."


@sentence.register
def _(message: NodeInterrupted) -> str | None:
    where = f" ({_pool(message.pool)})" if message.pool is not None else ""
    return f"{NOTICES[message.kind].format(node=f'node {message.node_name}')}{where}."


@sentence.register
def _(message: CapacityInsufficient) -> str | None:
    return f"EC2 had no capacity for {_article(message.pool)}; the next offering is tried."


async def tell_activity(message: Message, *, organization_id: str, uow: UnitOfWork) -> None:
    """Add a message's sentence to the feed of an organization; its scope is a cluster."""
    text = sentence(message)
    if text is None:
        return
    await uow.act_for(organization_id)
    kind = message.type.rsplit(".", 1)[1]
    await uow.activity.add(message.id, Happening(message.occurred_at, message.scope, kind, text))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _usd(amount: Decimal) -> str:
    """Write money with as many decimals as an hourly price needs."""
    decimals = 2 if amount >= 10 else 4
    return f"${amount:.{decimals}f}"


def _pool(pool: PoolKey) -> str:
    return f"{pool.capacity_type} {pool.instance_type} in {pool.zone_id}"


def _article(pool: PoolKey) -> str:
    article = "an" if pool.capacity_type is CapacityType.ON_DEMAND else "a"
    return f"{article} {_pool(pool)}"


def _because(detail: str) -> str:
    """End a sentence, with the reason if there is one, which may bring its own last stop."""
    reason = f": {detail.rstrip('.')}" if detail else ""
    return reason if reason.endswith(("?", "!")) else f"{reason}."
