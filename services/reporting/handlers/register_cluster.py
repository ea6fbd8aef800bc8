"""Keep to whom a cluster belongs."""

from services.reporting.ports import UnitOfWork
from shared.contracts.v1.gateway import ClusterRegistered


async def register_cluster(message: ClusterRegistered, *, uow: UnitOfWork) -> None:
    """Keep it; only the gateway's word counts."""
    await uow.clusters.register(message)
