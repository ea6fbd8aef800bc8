"""Clusters, their configuration and our copy of them, in the executor's own schema."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from services.executor.ports import Cluster, ClusterConfig, Picture
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.gateway import ClusterConfigured, ClusterRegistered
from shared.contracts.v1.policy import NodeTemplate, Policy
from shared.kernel.workload import Node
from shared.runtime.cluster_store import ClusterStore, DecodedCopy, decode_chunk
from shared.runtime.postgres import Connection

CLUSTERS_KEPT = 32
"""A decoded copy of 10,000 pods takes some 50 MB; those looked at least recently are decoded anew when needed."""


class PictureCache:
    """The decoded copies of some clusters: reading thousands of pods twice a second would be the main load.

    Each finds out by itself what changed, whichever replica wrote it.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[DecodedCopy, asyncio.Lock]] = {}
        """By cluster, the one looked at last at the end."""

    async def look(self, connection: Connection, cluster_id: str) -> Picture | None:
        """Give the picture as it is now."""
        held = self._held.pop(cluster_id) if cluster_id in self._held else (DecodedCopy(), asyncio.Lock())
        self._held[cluster_id] = held
        decoded, one_at_a_time = held
        if len(self._held) > CLUSTERS_KEPT:
            del self._held[next(iter(self._held))]
        async with one_at_a_time:
            copy = await decoded.look(connection, cluster_id)
        return None if copy is None else Picture(copy.objects, copy.as_of)


class PostgresClusterRepository:
    """See ports.ClusterRepository."""

    def __init__(self, connection: Connection, cache: PictureCache) -> None:
        self._connection = connection
        self._store = ClusterStore(connection)
        self._cache = cache

    async def register(self, event: ClusterRegistered) -> None:
        """See the port."""
        await self._store.register(event)

    async def configure(self, event: ClusterConfigured) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into configs as held (cluster_id, organization_id, revision, policy, node_template)
            values ($1, $2, $3, $4, $5)
            on conflict (cluster_id) do update
            set organization_id = excluded.organization_id, revision = excluded.revision,
                policy = excluded.policy, node_template = excluded.node_template
            where excluded.revision > held.revision
            """,
            event.scope,
            event.organization_id,
            event.revision,
            event.policy.model_dump_json(),
            event.node_template.model_dump_json(),
        )

    async def cluster(self, cluster_id: str) -> Cluster | None:
        """See the port."""
        record = await self._store.cluster(cluster_id)
        if record is None:
            return None
        account = record.account
        return Cluster(
            record.cluster_id, record.organization_id, record.name, account.account_number, account.region
        )

    async def config(self, cluster_id: str) -> ClusterConfig | None:
        """See the port."""
        row = await self._connection.fetchrow("select * from configs where cluster_id = $1", cluster_id)
        if row is None:
            return None
        return ClusterConfig(
            row["revision"],
            Policy.model_validate_json(row["policy"]),
            NodeTemplate.model_validate_json(row["node_template"]),
        )

    async def add_chunk(self, event: SnapshotChunkPublished) -> None:
        """See the port."""
        await self._store.add_chunk(event)
        await self._note_instances(event.scope, decode_chunk(event.body).nodes)

    async def apply(self, event: ClusterChanged) -> None:
        """See the port."""
        await self._store.apply(event)
        await self._note_instances(event.scope, event.upserts.nodes)

    async def note_heartbeat(self, event: HeartbeatSent) -> None:
        """See the port."""
        await self._store.note_heartbeat(event)

    async def picture(self, cluster_id: str) -> Picture | None:
        """See the port."""
        return await self._cache.look(self._connection, cluster_id)

    async def gaps(self, *, now: datetime) -> Sequence[str]:
        """See the port."""
        return await self._store.gaps(now=now)

    async def clusters_of_instance(self, instance_id: str, *, account: str) -> Sequence[tuple[str, str]]:
        """See the port."""
        rows = await self._connection.fetch(
            """
            select n.cluster_id, n.node_name from node_instances n join clusters c using (cluster_id)
            where n.instance_id = $1 and c.account_number = $2
            """,
            instance_id,
            account,
        )
        return [(row["cluster_id"], row["node_name"]) for row in rows]

    async def _note_instances(self, cluster_id: str, nodes: Sequence[Node]) -> None:
        known = [(node.instance_id, node.name) for node in nodes if node.instance_id is not None]
        if known:
            await self._connection.execute(
                "insert into node_instances (instance_id, cluster_id, node_name)"
                " select i, $1, n from unnest($2::text[], $3::text[]) as t (i, n)"
                " on conflict (instance_id, cluster_id) do update set node_name = excluded.node_name",
                cluster_id,
                [instance_id for instance_id, _ in known],
                [name for _, name in known],
            )
