"""Presence of nodes and pods in reporting's schema; many rows a statement, through unnest."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.reporting.domain.allocation import PodSpan, WorkloadKey
from services.reporting.domain.ledger import NodeSpan, pool_of
from services.reporting.domain.presence import NodeFacts, PodFacts
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.workload import Owner
from shared.runtime.postgres import Connection

OWN = "current_setting('app.organization_id')"


class PostgresPresenceRepository:
    """See ports.PresenceRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open_nodes(
        self, cluster_id: str, names: Collection[str] | None = None
    ) -> Mapping[str, NodeFacts]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from node_presence where cluster_id = $1 and until is null"
            " and ($2::text[] is null or node_name = any($2))",
            cluster_id,
            None if names is None else list(names),
        )
        return {
            row["node_name"]: NodeFacts(
                row["uid"],
                row["instance_id"],
                row["instance_type"],
                row["zone_id"],
                _capacity(row["capacity_type"]),
                row["cpu_millicores"],
                row["memory_bytes"],
            )
            for row in rows
        }

    async def open_pods(self, cluster_id: str, keys: Collection[str] | None = None) -> Mapping[str, PodFacts]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from pod_presence where cluster_id = $1 and until is null"
            " and ($2::text[] is null or pod_key = any($2))",
            cluster_id,
            None if keys is None else list(keys),
        )
        return {
            row["pod_key"]: PodFacts(
                row["uid"],
                row["node_name"],
                row["namespace"],
                Owner(row["owner_kind"], row["owner_name"]),
                row["cpu_millicores"],
                row["memory_bytes"],
            )
            for row in rows
        }

    async def end_nodes(self, cluster_id: str, names: Collection[str], *, at: datetime) -> None:
        """See the port."""
        await self._end("node_presence", "node_name", cluster_id, names, at)

    async def end_pods(self, cluster_id: str, keys: Collection[str], *, at: datetime) -> None:
        """See the port."""
        await self._end("pod_presence", "pod_key", cluster_id, keys, at)

    async def begin_nodes(self, cluster_id: str, nodes: Mapping[str, tuple[NodeFacts, datetime]]) -> None:
        """See the port."""
        if not nodes:
            return
        facts = [found for found, _ in nodes.values()]
        await self._connection.execute(
            f"""
            insert into node_presence (organization_id, cluster_id, node_name, uid, instance_id, instance_type,
                zone_id, capacity_type, cpu_millicores, memory_bytes, since)
            select {OWN}, $1, * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                $7::text[], $8::bigint[], $9::bigint[], $10::timestamptz[])
            """,
            cluster_id,
            list(nodes.keys()),
            [f.uid for f in facts],
            [f.instance_id for f in facts],
            [f.instance_type for f in facts],
            [f.zone_id for f in facts],
            [f.capacity_type for f in facts],
            [f.cpu_millicores for f in facts],
            [f.memory_bytes for f in facts],
            [since for _, since in nodes.values()],
        )

    async def begin_pods(self, cluster_id: str, pods: Mapping[str, PodFacts], *, at: datetime) -> None:
        """See the port."""
        if not pods:
            return
        facts = list(pods.values())
        await self._connection.execute(
            f"""
            insert into pod_presence (organization_id, cluster_id, since, pod_key, uid, node_name, namespace,
                owner_kind, owner_name, cpu_millicores, memory_bytes)
            select {OWN}, $1, $2, * from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::bigint[], $10::bigint[])
            """,
            cluster_id,
            at,
            list(pods.keys()),
            [f.uid for f in facts],
            [f.node_name for f in facts],
            [f.namespace for f in facts],
            [f.owner.kind for f in facts],
            [f.owner.name for f in facts],
            [f.cpu_millicores for f in facts],
            [f.memory_bytes for f in facts],
        )

    async def put_launch(self, cluster_id: str, instance_id: str, pool: PoolKey) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into launches"
            " (organization_id, cluster_id, instance_id, instance_type, zone_id, capacity_type)"
            f" values ({OWN}, $1, $2, $3, $4, $5) on conflict do nothing",
            cluster_id,
            instance_id,
            pool.instance_type,
            pool.zone_id,
            pool.capacity_type.value,
        )

    async def nodes_between(
        self, cluster_id: str, region: str, start: datetime, end: datetime
    ) -> Sequence[NodeSpan]:
        """See the port."""
        rows = await self._connection.fetch(
            """
            select n.node_name, n.cpu_millicores, n.memory_bytes, n.since, n.until,
                coalesce(n.instance_type, l.instance_type) as instance_type,
                coalesce(n.zone_id, l.zone_id) as zone_id,
                coalesce(n.capacity_type, l.capacity_type) as capacity_type
            from node_presence n left join launches l using (cluster_id, instance_id)
            where n.cluster_id = $1 and n.since < $3 and (n.until is null or n.until > $2)
            order by n.node_name, n.since
            """,
            cluster_id,
            start,
            end,
        )
        return [_node_span(region, row) for row in rows]

    async def pods_between(self, cluster_id: str, start: datetime, end: datetime) -> Sequence[PodSpan]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from pod_presence where cluster_id = $1 and since < $3 and (until is null or until > $2)"
            " order by pod_key, since",
            cluster_id,
            start,
            end,
        )
        return [
            PodSpan(
                row["node_name"],
                WorkloadKey(row["namespace"], row["owner_kind"], row["owner_name"]),
                row["cpu_millicores"],
                row["memory_bytes"],
                row["since"],
                row["until"],
            )
            for row in rows
        ]

    async def forget(self, cluster_id: str, *, before: datetime) -> None:
        """See the port."""
        for table in ("node_presence", "pod_presence"):
            await self._connection.execute(
                f"delete from {table} where cluster_id = $1 and until < $2", cluster_id, before
            )

    async def _end(self, table: str, key: str, cluster_id: str, keys: Collection[str], at: datetime) -> None:
        if keys:
            await self._connection.execute(
                f"update {table} set until = greatest($3, since)"
                f" where cluster_id = $1 and until is null and {key} = any($2::text[])",
                cluster_id,
                list(keys),
                at,
            )


def _node_span(region: str, row: Any) -> NodeSpan:
    pool, is_assumed = pool_of(region, row["instance_type"], row["zone_id"], _capacity(row["capacity_type"]))
    return NodeSpan(
        row["node_name"],
        pool,
        row["cpu_millicores"],
        row["memory_bytes"],
        row["since"],
        row["until"],
        is_capacity_assumed=is_assumed,
    )


def _capacity(text: str | None) -> CapacityType | None:
    return None if text is None else CapacityType(text)
