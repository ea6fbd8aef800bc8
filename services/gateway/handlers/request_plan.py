"""Ask the optimizer to plan now."""

from uuid import UUID

from services.gateway.domain.access import Caller
from services.gateway.errors import NotFoundError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import UnitOfWorkFactory
from shared.contracts.v1.optimizer import ProposePlan
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def request_plan(
    *, caller: Caller, cluster_id: str, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids
) -> UUID:
    """Send the command; return its correlation id, which every message that follows carries.

    Raises:
        NotFoundError: the organization has no such cluster.
    """
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        if await uow.clusters.get(cluster_id) is None:
            raise NotFoundError("There is no such cluster.")
        command = ProposePlan.make(scope=cluster_id, clock=clock, ids=ids, requested_by=caller.user_id)
        await uow.outbox.add(command)
        await record_audit(
            uow,
            organization_id=caller.organization_id,
            actor=caller.user_id,
            action="request_plan",
            target=cluster_id,
            remote_address=caller.remote_address,
            clock=clock,
            ids=ids,
            cause=command,
        )
    return command.correlation_id
