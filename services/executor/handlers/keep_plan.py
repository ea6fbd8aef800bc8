"""Keep every proposed plan whole, so that nobody need be asked when it is carried out."""

import structlog

from services.executor.ports import UnitOfWork
from shared.contracts.digest import plan_sha256
from shared.contracts.v1.optimizer import PlanProposed

log = structlog.get_logger(__name__)


async def keep_plan(message: PlanProposed, *, uow: UnitOfWork) -> None:
    """Keep a plan with the digest of what was received, whatever the message says its digest is."""
    plan = message.plan
    if plan.cluster_id != message.scope:
        log.warning("plan_of_another_cluster", plan_id=str(plan.id), scope=message.scope)
        return
    await uow.plans.keep(plan, sha256=plan_sha256(plan))
    log.info("plan_kept", plan_id=str(plan.id), moves=len(plan.moves))
