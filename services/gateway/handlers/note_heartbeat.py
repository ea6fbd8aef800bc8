"""Remember that an agent lives."""

import structlog

from services.gateway.ports import UnitOfWork
from shared.contracts.v1.agent import HeartbeatSent
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)


async def note_heartbeat(event: HeartbeatSent, *, uow: UnitOfWork, clock: Clock) -> None:
    """Keep the newest heartbeat of the cluster; one from an agent whose clock runs ahead is of now."""
    if await uow.act_for_cluster(event.scope) is None:
        # An old heartbeat of a cluster that is gone is worth no dead letter, which enough of would stop the consumer.
        log.warning("heartbeat_of_nobody", cluster_id=event.scope)
        return
    await uow.clusters.note_heartbeat(
        event.scope,
        at=min(event.occurred_at, clock.now()),
        agent_version=event.agent_version,
        kubernetes_version=event.kubernetes_version,
    )
