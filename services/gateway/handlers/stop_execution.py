"""Ask the executor to begin no further move of an execution."""

from uuid import UUID

from services.gateway.domain.access import Caller
from services.gateway.errors import NotFoundError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import UnitOfWorkFactory
from shared.contracts.v1.gateway import ExecutionStopRequested
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def stop_execution(
    *,
    caller: Caller,
    cluster_id: str,
    execution_id: UUID,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
) -> None:
    """Tell the executor; one that has ended already stays as it is.

    Raises:
        NotFoundError: the organization has no such cluster.
    """
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        if await uow.clusters.get(cluster_id) is None:
            raise NotFoundError("There is no such cluster.")
        event = ExecutionStopRequested.make(
            scope=cluster_id,
            clock=clock,
            ids=ids,
            organization_id=caller.organization_id,
            execution_id=execution_id,
            requested_by=caller.user_id,
        )
        await uow.outbox.add(event)
        await record_audit(
            uow,
            organization_id=caller.organization_id,
            actor=caller.user_id,
            action="stop_execution",
            target=str(execution_id),
            remote_address=caller.remote_address,
            clock=clock,
            ids=ids,
            cause=event,
        )
