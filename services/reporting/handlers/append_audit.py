"""Chain who did what: people through the gateway, and what the executor did on their word."""

from services.reporting.domain.audit_chain import Deed
from services.reporting.ports import UnitOfWork
from shared.contracts.v1.executor import ExecutionFinished, ExecutionStarted
from shared.contracts.v1.gateway import AuditRecorded

EXECUTOR = "service:executor"


async def append_recorded(message: AuditRecorded, *, uow: UnitOfWork) -> None:
    """Chain a deed that the gateway saw; an approval comes this way too."""
    detail = dict(message.detail)
    if message.remote_address is not None:
        detail["remote_address"] = message.remote_address
    await uow.act_for(message.scope)
    await uow.audit.append(Deed(message.occurred_at, message.actor, message.action, message.target, detail))


async def append_started(message: ExecutionStarted, *, uow: UnitOfWork) -> None:
    """Chain that the executor began to change a cluster."""
    detail = {
        "cluster_id": message.scope,
        "trigger": message.trigger,
        "steps": str(message.steps),
        "dry_run": str(message.dry_run).lower(),
    }
    if message.plan_id is not None:
        detail["plan_id"] = str(message.plan_id)
    await uow.act_for(message.organization_id)
    await uow.audit.append(
        Deed(message.occurred_at, EXECUTOR, "start_execution", str(message.execution_id), detail)
    )


async def append_finished(message: ExecutionFinished, *, uow: UnitOfWork) -> None:
    """Chain what came of it."""
    detail = {
        "cluster_id": message.scope,
        "status": message.status.value,
        "steps_succeeded": str(message.steps_succeeded),
        "steps_failed": str(message.steps_failed),
        "steps_skipped": str(message.steps_skipped),
    }
    await uow.act_for(message.organization_id)
    await uow.audit.append(
        Deed(message.occurred_at, EXECUTOR, "finish_execution", str(message.execution_id), detail)
    )
