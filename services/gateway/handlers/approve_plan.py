"""A person lets a plan be carried out: exactly the plan that was seen, or none."""

from uuid import UUID

from services.gateway.domain.access import Caller
from services.gateway.domain.approvals import ProposedPlan
from services.gateway.errors import ConflictError, NotFoundError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import UnitOfWorkFactory
from shared.contracts.v1.gateway import PlanApproved
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def approve_plan(
    *,
    caller: Caller,
    cluster_id: str,
    plan_id: UUID,
    sha256: str | None,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
) -> ProposedPlan:
    """Approve once; a plan that is approved already stays as it is, and nothing is sent again.

    Raises:
        NotFoundError: no such plan was proposed for a cluster of the organization.
        ConflictError: it has expired, or `sha256` is another plan's.
    """
    now = clock.now()
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        plan = await uow.plans.locked(cluster_id, plan_id)
        if plan is None:
            raise NotFoundError("There is no such plan.")
        if sha256 is not None and sha256.lower() != plan.sha256:
            raise ConflictError("The plan is not the one you saw: its sha256 is another.")
        if plan.approved_at is None:
            if now >= plan.expires_at:
                raise ConflictError("The plan has expired; ask for a new one.")
            await uow.plans.note_approval(plan_id, by=caller.user_id, now=now)
            event = PlanApproved.make(
                scope=cluster_id,
                clock=clock,
                ids=ids,
                organization_id=caller.organization_id,
                plan_id=plan_id,
                plan_sha256=plan.sha256,
                approved_by=caller.user_id,
            )
            await uow.outbox.add(event)
            await record_audit(
                uow,
                organization_id=caller.organization_id,
                actor=caller.user_id,
                action="approve_plan",
                target=str(plan_id),
                detail={"sha256": plan.sha256},
                remote_address=caller.remote_address,
                clock=clock,
                ids=ids,
                cause=event,
            )
        approved = await uow.plans.locked(cluster_id, plan_id)
    assert approved is not None  # it was locked above
    return approved
