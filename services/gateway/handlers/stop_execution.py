"""Ask the executor to begin no further move of an execution."""

import contextlib
from uuid import UUID

from services.gateway.domain.access import Caller
from services.gateway.errors import ConflictError, NotFoundError
from services.gateway.handlers.ask_others import Inquiry
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import UnitOfWorkFactory
from shared.contracts.v1.executor import ExecutionStatus
from shared.contracts.v1.gateway import ExecutionStopRequested
from shared.kernel.clock import Clock
from shared.kernel.errors import UnavailableError
from shared.kernel.ids import Ids


async def stop_execution(
    *,
    caller: Caller,
    cluster_id: str,
    execution_id: UUID,
    inquiry: Inquiry,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
) -> None:
    """Tell the executor; one that is away is told when it is back.

    Raises:
        NotFoundError: the organization has no such cluster, or the cluster no such execution.
        ConflictError: it has ended already.
    """
    with contextlib.suppress(UnavailableError):
        found = (await inquiry.execution(caller, cluster_id, execution_id)).execution
        if found is not None and found.status is not ExecutionStatus.RUNNING:
            raise ConflictError("This execution has ended already.")
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
