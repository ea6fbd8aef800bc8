"""When planning would be wrong, early, or for nothing."""

from dataclasses import dataclass
from datetime import timedelta

from services.optimizer.domain import sameness
from services.optimizer.domain.offers import Market
from services.optimizer.ports import Cluster, ClusterView, Config, UnitOfWork, Wanted
from shared.contracts.v1.plan import PlanTrigger
from shared.kernel.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the operator set."""

    cluster_max_age: timedelta
    plan_lifetime: timedelta
    pending_settle: timedelta
    pending_patience: timedelta
    plan_time: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is planned."""

    cluster: Cluster
    config: Config
    view: ClusterView


async def reason_to_wait(
    wanted: Wanted, inputs: Inputs, uow: UnitOfWork, clock: Clock, limits: Limits
) -> str | None:
    """Say why now is no time to plan, None when it is."""
    now = clock.now()
    age = now - inputs.view.as_of
    if age > limits.cluster_max_age:
        return (
            f"The agent has been silent for {int(age.total_seconds())} s; a stale picture is not planned on."
        )
    if -age > limits.cluster_max_age:
        # A picture from the future would look fresh until its day comes, however long the agent is silent.
        return (
            f"The agent's clock is {int(-age.total_seconds())} s ahead of ours, so that nobody can tell how old"
            " its picture is; set the clock of its machine."
        )
    running = await uow.plans.running(wanted.cluster_id)
    if wanted.trigger is PlanTrigger.PENDING_PODS:
        if not inputs.config.policy.launch_for_pending:
            return "Pods are pending, and the policy does not let nodes be launched for them."
        if PlanTrigger.PENDING_PODS.value in running:
            return "Nodes for pending pods are being launched already."
        if await uow.plans.open_plan_at(
            wanted.cluster_id, wanted.trigger, since=now - limits.pending_patience
        ):
            return "A plan for the pending pods is about to be carried out."
        return None
    if running:
        return f"An execution is under way ({', '.join(sorted(running))}); the next plan waits for its end."
    if wanted.trigger is PlanTrigger.TIMER:
        last = await uow.plans.last_finished(wanted.cluster_id)
        window = timedelta(seconds=inputs.config.policy.stabilization_seconds)
        if last is not None and now - last.at < window:
            return f"The last execution ended {int((now - last.at).total_seconds())} s ago; the cluster settles first."
    return None


def digest_of(inputs: Inputs, market: Market) -> str:
    """Give the digest that a plan made from these inputs carries."""
    return sameness.digest(inputs.view.objects.pods, market.offers, policy_revision=inputs.config.revision)


async def reason_to_leave_it(wanted: Wanted, inputs: Inputs, digest: str, uow: UnitOfWork) -> str | None:
    """Say that a plan from the same inputs has just been carried out, None when something is new since.

    Pods that wait for room are planned for all the same: they came, or lost their node, since then.
    """
    if wanted.trigger is PlanTrigger.PENDING_PODS:
        return None
    last = await uow.plans.last_finished(wanted.cluster_id)
    if last is None or last.plan_id is None or not last.has_succeeded:
        return None
    stored = await uow.plans.plan(wanted.cluster_id, last.plan_id)
    if stored is None or stored.plan.inputs.digest != digest:
        return None
    if await uow.clusters.has_pending_pods(wanted.cluster_id):
        return None
    nodes = inputs.view.objects.nodes
    if not sameness.is_fleet_of(nodes, expected=stored.plan.nodes_after, since=last.at):
        return None
    return (
        f"Nothing has changed since the plan of {stored.plan.created_at:%Y-%m-%d %H:%M} UTC was carried out:"
        " the same pods, prices and policy, on the nodes that it led to."
    )
