"""End a session: its refresh tokens are void at once, its access token within its lifetime."""

from services.gateway.domain.access import Caller
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def log_out(*, caller: Caller, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids) -> None:
    """End the caller's session; a second time changes nothing."""
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        await uow.sessions.end(caller.session_id, now=clock.now())
        await record_audit(
            uow,
            organization_id=caller.organization_id,
            actor=caller.user_id,
            action="log_out",
            target=caller.session_id,
            remote_address=caller.remote_address,
            clock=clock,
            ids=ids,
        )
