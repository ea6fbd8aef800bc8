"""Remember that an agent lives."""

from services.gateway.errors import UnknownClusterError
from services.gateway.ports import UnitOfWork
from shared.contracts.v1.agent import HeartbeatSent


async def note_heartbeat(event: HeartbeatSent, *, uow: UnitOfWork) -> None:
    """Keep the newest heartbeat of the cluster.

    Raises:
        UnknownClusterError: no organization has the cluster.
    """
    if await uow.act_for_cluster(event.scope) is None:
        raise UnknownClusterError(f"no organization has cluster {event.scope}")
    await uow.clusters.note_heartbeat(
        event.scope,
        at=event.occurred_at,
        agent_version=event.agent_version,
        kubernetes_version=event.kubernetes_version,
    )
