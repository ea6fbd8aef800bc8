"""Copies of clusters, in the tables that shared.runtime gives each service that keeps them."""

from collections.abc import Sequence
from datetime import datetime

from services.reporting.ports import Applied, RegisteredCluster
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.gateway import ClusterRegistered
from shared.kernel.cluster_state import Verdict
from shared.kernel.workload import ClusterObjects
from shared.runtime.cluster_store import ClusterRecord, ClusterStore
from shared.runtime.postgres import Connection


class PostgresClusterCopies:
    """See ports.ClusterCopies."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._store = ClusterStore(connection)

    async def register(self, event: ClusterRegistered) -> None:
        """See the port."""
        await self._store.register(event)

    async def cluster(self, cluster_id: str) -> RegisteredCluster | None:
        """See the port."""
        record = await self._store.cluster(cluster_id)
        return None if record is None else _registered(record)

    async def clusters(self) -> Sequence[RegisteredCluster]:
        """See the port."""
        return [_registered(record) for record in await self._store.clusters()]

    async def add_chunk(self, event: SnapshotChunkPublished) -> bool:
        """See the port."""
        return await self._store.add_chunk(event)

    async def apply(self, event: ClusterChanged) -> Applied:
        """See the port."""
        if await self._store.apply(event) is not Verdict.APPLY:
            return Applied(is_applied=False)
        reached = await self._connection.fetchval(
            "select sequence from cluster_marks where cluster_id = $1", event.scope
        )
        return Applied(is_applied=True, took_others=reached != event.sequence)

    async def note_heartbeat(self, event: HeartbeatSent) -> bool:
        """See the port."""
        return await self._store.note_heartbeat(event)

    async def objects(self, cluster_id: str) -> ClusterObjects:
        """See the port."""
        copy = await self._store.copy(cluster_id)
        return ClusterObjects() if copy is None else copy.objects

    async def as_of(self, cluster_id: str) -> datetime | None:
        """See the port."""
        found: datetime | None = await self._connection.fetchval(
            "select as_of from cluster_marks where cluster_id = $1", cluster_id
        )
        return found


def _registered(record: ClusterRecord) -> RegisteredCluster:
    return RegisteredCluster(record.cluster_id, record.organization_id, record.name, record.account.region)
