"""Say in the transaction that changed something who changed it."""

from collections.abc import Mapping

from services.gateway.ports import UnitOfWork
from shared.contracts.base import Message
from shared.contracts.v1.gateway import AuditRecorded
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def record_audit(
    uow: UnitOfWork,
    *,
    organization_id: str,
    actor: str,
    action: str,
    target: str,
    clock: Clock,
    ids: Ids,
    detail: Mapping[str, str] | None = None,
    remote_address: str | None = None,
    cause: Message | None = None,
) -> None:
    """Add an audit entry to the outbox; reporting chains it."""
    await uow.outbox.add(
        AuditRecorded.make(
            scope=organization_id,
            clock=clock,
            ids=ids,
            cause=cause,
            actor=actor,
            action=action,
            target=target,
            detail=dict(detail or {}),
            remote_address=remote_address,
        )
    )
