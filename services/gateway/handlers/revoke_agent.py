"""Shut an agent out: neither its credential nor an install token opens the door any more."""

from services.gateway.domain.access import Caller
from services.gateway.errors import NotFoundError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def revoke_agent(
    *, caller: Caller, cluster_id: str, unit_of_work: UnitOfWorkFactory, clock: Clock, ids: Ids
) -> None:
    """End the cluster's credentials and install tokens.

    A connection that is open stays until its bus credential expires (agent_connection_lifetime).

    Raises:
        NotFoundError: the organization has no such cluster.
    """
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        if await uow.clusters.locked(cluster_id) is None:
            raise NotFoundError("There is no such cluster.")
        await uow.agents.end_install_tokens(cluster_id, now=clock.now())
        await uow.agents.end_credentials(cluster_id, now=clock.now())
        await record_audit(
            uow,
            organization_id=caller.organization_id,
            actor=caller.user_id,
            action="revoke_agent",
            target=cluster_id,
            remote_address=caller.remote_address,
            clock=clock,
            ids=ids,
        )
