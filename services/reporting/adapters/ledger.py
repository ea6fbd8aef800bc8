"""Closed slices and baselines in reporting's schema."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from services.reporting.domain.ledger import MICROSECOND
from services.reporting.domain.savings import Baseline, ClosedSlice
from services.reporting.ports import SavingsSum
from shared.runtime.postgres import Connection

OWN = "current_setting('app.organization_id')"
MICROSECONDS = Decimal(1_000_000)


class PostgresLedgerRepository:
    """See ports.LedgerRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self, cluster_id: str) -> datetime | None:
        """See the port."""
        found: datetime | None = await self._connection.fetchval(
            "select closed_until from ledger_marks where cluster_id = $1 for update", cluster_id
        )
        return found

    async def begin(self, cluster_id: str, *, at: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into ledger_marks (organization_id, cluster_id, closed_until)"
            f" values ({OWN}, $1, $2) on conflict do nothing",
            cluster_id,
            at,
        )

    async def put_baseline(self, cluster_id: str, execution_id: UUID, baseline: Baseline) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into baselines"
            " (organization_id, cluster_id, execution_id, since, usd_per_vcpu_hour, usd_per_gib_hour)"
            f" values ({OWN}, $1, $2, $3, $4, $5) on conflict do nothing",
            cluster_id,
            execution_id,
            baseline.since,
            baseline.usd_per_vcpu_hour,
            baseline.usd_per_gib_hour,
        )

    async def baselines(self, cluster_id: str, *, until: datetime) -> Sequence[Baseline]:
        """See the port."""
        # Execution ids are made in the order of time.
        rows = await self._connection.fetch(
            "select * from baselines where cluster_id = $1 and since < $2 order by since, execution_id",
            cluster_id,
            until,
        )
        return [Baseline(row["since"], row["usd_per_vcpu_hour"], row["usd_per_gib_hour"]) for row in rows]

    async def put_slice(self, cluster_id: str, closed: ClosedSlice) -> None:
        """See the port."""
        charges = closed.charges
        await self._connection.execute(
            f"""
            insert into node_hours (organization_id, cluster_id, slice_start_at, node_name, start_at, seconds,
                instance_type, zone_id, capacity_type, is_capacity_assumed, usd_per_hour, cost_usd)
            select {OWN}, $1, $2, * from unnest($3::text[], $4::timestamptz[], $5::numeric[], $6::text[],
                $7::text[], $8::text[], $9::boolean[], $10::numeric[], $11::numeric[])
            on conflict do nothing
            """,
            cluster_id,
            closed.start,
            [c.node.name for c in charges],
            [c.start for c in charges],
            [Decimal((c.end - c.start) // MICROSECOND) / MICROSECONDS for c in charges],
            [c.node.pool.instance_type if c.node.pool else None for c in charges],
            [c.node.pool.zone_id if c.node.pool else None for c in charges],
            [c.node.pool.capacity_type.value if c.node.pool else None for c in charges],
            [c.node.is_capacity_assumed for c in charges],
            [c.usd_per_hour for c in charges],
            [c.cost_usd for c in charges],
        )
        await self._connection.execute(
            f"""
            insert into workload_costs (organization_id, cluster_id, slice_start_at, namespace, kind, name, cost_usd)
            select {OWN}, $1, $2, * from unnest($3::text[], $4::text[], $5::text[], $6::numeric[])
            on conflict do nothing
            """,
            cluster_id,
            closed.start,
            [key.namespace for key in closed.costs],
            [key.kind for key in closed.costs],
            [key.name for key in closed.costs],
            list(closed.costs.values()),
        )
        if closed.booking is not None:
            await self._connection.execute(
                "insert into savings (organization_id, cluster_id, slice_start_at, slice_end_at, vcpu_hours,"
                " gib_hours, cost_usd, baseline_cost_usd, savings_usd)"
                f" values ({OWN}, $1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
                cluster_id,
                closed.start,
                closed.end,
                closed.requested.vcpu_hours,
                closed.requested.gib_hours,
                closed.cost_usd,
                closed.booking.baseline_cost_usd,
                closed.booking.savings_usd,
            )
        await self._connection.execute(
            "update ledger_marks set closed_until = $2, stale_since = null where cluster_id = $1",
            cluster_id,
            closed.end,
        )

    async def sums(
        self, *, cluster_id: str | None, since: datetime | None, until: datetime | None
    ) -> Sequence[SavingsSum]:
        """See the port."""
        rows = await self._connection.fetch(
            """
            with hours as (
                select cluster_id, sum(seconds) / 3600 as node_hours,
                    coalesce(sum(seconds) filter (where usd_per_hour is null), 0) / 3600 as unpriced_node_hours,
                    sum(cost_usd) filter (where not exists (
                        select from savings s
                        where (s.cluster_id, s.slice_start_at) = (h.cluster_id, h.slice_start_at)
                    )) as cost_without_baseline_usd
                from node_hours h
                where ($1::text is null or cluster_id = $1)
                    and ($2::timestamptz is null or slice_start_at >= $2)
                    and ($3::timestamptz is null or slice_start_at < $3)
                group by cluster_id
            ), booked as (
                select cluster_id, sum(cost_usd) as cost_usd, sum(baseline_cost_usd) as baseline_cost_usd,
                    sum(savings_usd) as savings_usd, count(*) as slices,
                    min(slice_start_at) as first_at, max(slice_end_at) as last_at
                from savings
                where ($1::text is null or cluster_id = $1)
                    and ($2::timestamptz is null or slice_start_at >= $2)
                    and ($3::timestamptz is null or slice_start_at < $3)
                group by cluster_id
            )
            select cluster_id, coalesce(cost_usd, 0) as cost_usd,
                coalesce(cost_without_baseline_usd, 0) as cost_without_baseline_usd,
                coalesce(baseline_cost_usd, 0) as baseline_cost_usd, coalesce(savings_usd, 0) as savings_usd,
                coalesce(slices, 0) as slices, coalesce(node_hours, 0) as node_hours,
                coalesce(unpriced_node_hours, 0) as unpriced_node_hours, first_at, last_at
            from hours full join booked using (cluster_id)
            order by cluster_id
            """,
            cluster_id,
            since,
            until,
        )
        return [
            SavingsSum(
                row["cluster_id"],
                row["cost_usd"],
                row["cost_without_baseline_usd"],
                row["baseline_cost_usd"],
                row["savings_usd"],
                row["slices"],
                row["node_hours"],
                row["unpriced_node_hours"],
                row["first_at"],
                row["last_at"],
            )
            for row in rows
        ]

    async def note_gap(self, cluster_id: str, *, as_of: datetime) -> bool:
        """See the port."""
        answer = await self._connection.execute(
            "update ledger_marks set stale_since = $2"
            " where cluster_id = $1 and stale_since is distinct from $2",
            cluster_id,
            as_of,
        )
        return bool(answer == "UPDATE 1")
