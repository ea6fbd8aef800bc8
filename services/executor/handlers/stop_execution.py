"""Stop an execution: what has begun is finished, so that nothing is left half done; nothing else begins."""

import structlog

from services.executor.ports import UnitOfWork
from shared.contracts.v1.gateway import ExecutionStopRequested

log = structlog.get_logger(__name__)


async def stop_execution(message: ExecutionStopRequested, *, uow: UnitOfWork) -> None:
    """Note the wish; the next turn of the execution acts on it."""
    execution = await uow.executions.find(message.execution_id)
    if execution is None or execution.cluster_id != message.scope:
        log.warning("stop_of_unknown_execution", execution_id=str(message.execution_id))
        return
    await uow.executions.request_stop(execution.id)
    log.info("execution_stopping", execution_id=str(execution.id), requested_by=message.requested_by)
