"""Keep a plan that was proposed, and approve it when nobody has to be asked."""

import structlog

from services.gateway.domain import approvals
from services.gateway.errors import PlanMismatchError, UnknownClusterError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import Configuration, UnitOfWork
from shared.contracts.digest import plan_sha256
from shared.contracts.v1.gateway import PlanApproved
from shared.contracts.v1.optimizer import PlanProposed
from shared.contracts.v1.plan import Plan
from shared.contracts.v1.policy import Approval, NodeTemplate
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)


async def receive_plan(event: PlanProposed, *, uow: UnitOfWork, clock: Clock, ids: Ids) -> None:
    """Keep the plan's digest; approve it if the policy's autopilot does. A plan that is known stays as it is.

    Raises:
        UnknownClusterError: no organization has the cluster.
        PlanMismatchError: the plan is another cluster's, or not what its digest says.
    """
    plan = event.plan
    organization_id = await uow.act_for_cluster(event.scope)
    cluster = await uow.clusters.locked(event.scope)
    if organization_id is None or cluster is None:
        raise UnknownClusterError(f"no organization has cluster {event.scope}")
    if (plan.cluster_id, plan.organization_id) != (event.scope, organization_id):
        raise PlanMismatchError(
            f"plan {plan.id} is about cluster {plan.cluster_id} of {plan.organization_id}"
        )
    if plan_sha256(plan) != event.plan_sha256:
        raise PlanMismatchError(f"plan {plan.id} does not have the digest it came with")
    if await uow.plans.locked(event.scope, plan.id) is not None:
        return  # proposed again: what was decided stands
    now = clock.now()
    facts = plan_facts(plan, cluster.configuration.node_template)
    decision = approvals.decide(facts, policy_facts(cluster.configuration), now=now)
    await uow.plans.add(
        approvals.ProposedPlan(
            id=plan.id,
            organization_id=organization_id,
            cluster_id=event.scope,
            sha256=event.plan_sha256,
            trigger=plan.trigger.value,
            move_kinds=tuple(move.kind.value for move in plan.moves),
            created_at=plan.created_at,
            expires_at=plan.expires_at,
            decision_note=decision.reason,
            approved_by=approvals.AUTOPILOT if decision.is_approved else None,
            approved_at=now if decision.is_approved else None,
        )
    )
    log.info("plan_received", plan_id=str(plan.id), is_approved=decision.is_approved, reason=decision.reason)
    if not decision.is_approved:
        return
    await uow.outbox.add(
        PlanApproved.make(
            scope=event.scope,
            clock=clock,
            ids=ids,
            cause=event,
            organization_id=organization_id,
            plan_id=plan.id,
            plan_sha256=event.plan_sha256,
            approved_by=approvals.AUTOPILOT,
        )
    )
    await record_audit(
        uow,
        organization_id=organization_id,
        actor=approvals.AUTOPILOT,
        action="approve_plan",
        target=str(plan.id),
        detail={"sha256": event.plan_sha256, "reason": decision.reason},
        clock=clock,
        ids=ids,
        cause=event,
    )


def plan_facts(plan: Plan, template: NodeTemplate) -> approvals.PlanFacts:
    """Give what the autopilot looks at."""
    names = {subnet.zone_id: subnet.zone for subnet in template.subnets}
    kinds = {kind.name: kind for kind in plan.instance_types}
    offerings = [choice for move in plan.moves for launch in move.launches for choice in launch.offerings]
    return approvals.PlanFacts(
        trigger=plan.trigger.value,
        move_kinds=tuple(move.kind.value for move in plan.moves),
        # Launches count too, whatever for: pods that other moves bring share the room with those that waited.
        savings_usd_per_hour=sum(
            (move.earned_usd_per_hour for move in plan.moves), start=approvals.NO_SAVINGS
        ),
        cost_before_usd_per_hour=plan.cost_before_usd_per_hour,
        capacity_types=frozenset(choice.pool.capacity_type.value for choice in offerings),
        launches=tuple(
            approvals.LaunchFacts(
                instance_type=choice.pool.instance_type,
                zones=frozenset({choice.pool.zone_id, names.get(choice.pool.zone_id, choice.pool.zone_id)}),
                usd_per_hour=choice.usd_per_hour,
                kind=kinds.get(choice.pool.instance_type),
            )
            for choice in offerings
        ),
        price_age_seconds=plan.inputs.price_age_seconds,
        policy_revision=plan.inputs.policy_revision,
        expires_at=plan.expires_at,
        nodes_before=plan.nodes_before,
        nodes_after=plan.nodes_after,
    )


def policy_facts(configuration: Configuration) -> approvals.PolicyFacts:
    """Give what the autopilot looks at."""
    policy = configuration.policy
    return approvals.PolicyFacts(
        is_autopilot=policy.approval is Approval.AUTOPILOT,
        launch_for_pending=policy.launch_for_pending,
        strategy=policy.strategy.value,
        min_savings_ratio=policy.min_savings_ratio,
        filters=policy,
        price_max_age_seconds=policy.price_max_age_seconds,
        revision=configuration.revision,
        consolidation=policy.consolidation.value,
        min_nodes=policy.min_nodes,
        zones=frozenset(policy.zones),
        max_usd_per_hour=policy.max_usd_per_hour,
    )
