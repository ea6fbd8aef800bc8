"""Our copy of clusters: the runtime's store, in the optimizer's words."""

from collections.abc import Sequence
from datetime import datetime

from services.optimizer.ports import Applied, Cluster, ClusterView
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.gateway import ClusterRegistered
from shared.kernel.cluster_state import Verdict
from shared.runtime.cluster_store import ClusterStore
from shared.runtime.postgres import Connection


class PostgresClusterRepository:
    """See ports.ClusterRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._store = ClusterStore(connection)

    async def register(self, event: ClusterRegistered) -> None:
        """See the port."""
        await self._store.register(event)

    async def cluster(self, cluster_id: str) -> Cluster | None:
        """See the port."""
        record = await self._store.cluster(cluster_id)
        if record is None:
            return None
        return Cluster(record.cluster_id, record.organization_id, record.account.region)

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

    async def view(self, cluster_id: str) -> ClusterView | None:
        """See the port."""
        copy = await self._store.copy(cluster_id)
        return None if copy is None else ClusterView(copy.objects, copy.position, copy.as_of)

    async def has_pending_pods(self, cluster_id: str) -> bool:
        """See the port."""
        found: bool = await self._connection.fetchval(
            """
            select exists (
                select 1 from cluster_objects
                where cluster_id = $1 and kind = 'pod'
                  and convert_from(body, 'UTF8')::jsonb ->> 'phase' = 'Pending'
                  and convert_from(body, 'UTF8')::jsonb ->> 'node_name' is null
            )
            """,
            cluster_id,
        )
        return found

    async def gaps(self, *, now: datetime) -> Sequence[str]:
        """See the port."""
        return await self._store.gaps(now=now)
