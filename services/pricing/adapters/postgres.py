"""Prices and types in pricing's own schema; bulk writes go through unnest, one statement a batch."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg
from pydantic import TypeAdapter

from services.pricing.domain import price_history
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.price_list import Origin
from services.pricing.ports import PricedPools, SourceState
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime.postgres import Connection

INSTANCE_TYPE = TypeAdapter(InstanceType)

KINDS = {kind.value: kind for kind in CapacityType}
"""Looked up rather than called for: a call takes longer than all the rest of reading a row."""

SOURCE_BY_CAPACITY_TYPE = {CapacityType.SPOT: "spot_price_history", CapacityType.ON_DEMAND: "price_list"}

POOLS = "unnest($1::text[], $2::text[], $3::text[], $4::text[]) as t (region, instance_type, zone_id, capacity_type)"
SAME_POOL = (
    "(o.region, o.instance_type, o.zone_id, o.capacity_type)"
    " = (t.region, t.instance_type, t.zone_id, t.capacity_type)"
)


class PostgresOfferingRepository:
    """See ports.OfferingRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def known(self, region: str) -> Mapping[PoolKey, PricePoint]:
        """See the port."""
        rows = await self._connection.fetch("select * from offerings where region = $1", region)
        return {point.pool: point for point in map(_point, rows)}

    async def add_points(self, points: Sequence[PricePoint]) -> int:
        """See the port; of two points of one pool and instant the dearer is kept.

        The point before each is the later of the one before it in the batch and the one before it in the table.
        """
        if not points:
            return 0
        months = {price_history.month_of(p.effective_at) for p in points}
        await self._connection.execute("select ensure_price_months($1::date[])", sorted(months))
        answer = await self._connection.execute(
            """
            with batch as (
                select distinct on (region, instance_type, zone_id, capacity_type, effective_at) *
                from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::timestamptz[])
                    as t (region, instance_type, zone_id, capacity_type, usd_per_hour, effective_at)
                order by region, instance_type, zone_id, capacity_type, effective_at, usd_per_hour desc
            ), ordered as (
                select *, lag(usd_per_hour) over pool as before, lag(effective_at) over pool as before_at
                from batch
                window pool as (
                    partition by region, instance_type, zone_id, capacity_type order by effective_at
                )
            )
            insert into price_points
                (region, instance_type, zone_id, capacity_type, usd_per_hour, effective_at)
            select o.region, o.instance_type, o.zone_id, o.capacity_type, o.usd_per_hour, o.effective_at
            from ordered o
            left join lateral (
                select p.usd_per_hour from price_points p
                where p.region = o.region and p.instance_type = o.instance_type and p.zone_id = o.zone_id
                    and p.capacity_type = o.capacity_type and p.effective_at < o.effective_at
                    and p.effective_at > coalesce(o.before_at, '-infinity')
                order by p.effective_at desc limit 1
            ) stored on true
            where coalesce(stored.usd_per_hour, o.before) is distinct from o.usd_per_hour
            on conflict do nothing
            """,
            *_columns(points),
        )
        return int(answer.rsplit(" ", 1)[1])

    async def put_in_force(self, points: Sequence[PricePoint]) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into offerings as held
                (region, instance_type, zone_id, capacity_type, usd_per_hour, effective_at)
            select * from unnest(
                $1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::timestamptz[]
            )
            on conflict (region, instance_type, zone_id, capacity_type) do update
            set usd_per_hour = excluded.usd_per_hour, effective_at = excluded.effective_at
            where excluded.effective_at > held.effective_at
            """,
            *_columns(points),
        )

    async def replace_catalogue(
        self,
        region: str,
        *,
        zone_ids: Mapping[str, str],
        instance_types: Sequence[InstanceType],
        offered: frozenset[tuple[str, str]],
    ) -> None:
        """See the port."""
        for table in ("zones", "instance_types", "offered"):
            await self._connection.execute(f"delete from {table} where region = $1", region)
        await self._connection.execute(
            "insert into zones (region, zone, zone_id) select $1, * from unnest($2::text[], $3::text[])",
            region,
            list(zone_ids.keys()),
            list(zone_ids.values()),
        )
        await self._connection.execute(
            "insert into instance_types (region, name, facts)"
            " select $1, name, facts::jsonb from unnest($2::text[], $3::text[]) as t (name, facts)",
            region,
            [t.name for t in instance_types],
            [INSTANCE_TYPE.dump_json(t).decode() for t in instance_types],
        )
        pairs = sorted((name, zone_ids[zone]) for name, zone in offered if zone in zone_ids)
        await self._connection.execute(
            "insert into offered (region, instance_type, zone_id)"
            " select $1, * from unnest($2::text[], $3::text[])",
            region,
            [name for name, _ in pairs],
            [zone_id for _, zone_id in pairs],
        )

    async def zone_ids(self, region: str) -> Mapping[str, str]:
        """See the port."""
        rows = await self._connection.fetch("select zone, zone_id from zones where region = $1", region)
        return {row["zone"]: row["zone_id"] for row in rows}

    async def offered_zone_ids(self, region: str) -> Mapping[str, frozenset[str]]:
        """See the port."""
        rows = await self._connection.fetch(
            "select instance_type, array_agg(zone_id) as zone_ids from offered where region = $1 group by 1",
            region,
        )
        return {row["instance_type"]: frozenset(row["zone_ids"]) for row in rows}

    async def instance_types(self, region: str) -> Sequence[InstanceType]:
        """See the port."""
        rows = await self._connection.fetch(
            "select facts::text as facts from instance_types where region = $1 order by name", region
        )
        return [INSTANCE_TYPE.validate_json(row["facts"]) for row in rows]

    async def type_names(self, region: str) -> frozenset[str]:
        """See the port."""
        rows = await self._connection.fetch("select name from instance_types where region = $1", region)
        return frozenset(row["name"] for row in rows)

    async def priced_pools(self, region: str) -> PricedPools:
        """See the port; one row of arrays, which is read in a tenth of the time that 12,000 rows take."""
        row = await self._connection.fetchrow(
            """
            select
                coalesce(array_agg(instance_type), '{}') as instance_type,
                coalesce(array_agg(zone_id), '{}') as zone_id,
                coalesce(array_agg(capacity_type), '{}') as capacity_type,
                coalesce(array_agg(usd_per_hour), '{}') as usd_per_hour
            from (
                select o.*
                from offerings o
                join offered using (region, instance_type, zone_id)
                join source_states s
                  on s.region = o.region
                 and s.source = case o.capacity_type when 'spot' then 'spot_price_history' else 'price_list' end
                where o.region = $1
                order by o.instance_type, o.zone_id, o.capacity_type
            ) priced
            """,
            region,
        )
        assert row is not None, "an aggregate without groups is one row"
        return PricedPools(
            row["instance_type"],
            row["zone_id"],
            [KINDS[word] for word in row["capacity_type"]],
            row["usd_per_hour"],
        )

    async def unconfirmed(self, region: str) -> Mapping[PoolKey, datetime]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from offerings where region = $1 and confirmed_at is not null", region
        )
        return {_point(row).pool: row["confirmed_at"] for row in rows}

    async def mark_unconfirmed(self, pools: Collection[PoolKey], *, named_at: datetime) -> None:
        """See the port."""
        await self._note_confirmation(pools, named_at)

    async def confirm(self, pools: Collection[PoolKey]) -> None:
        """See the port."""
        await self._note_confirmation(pools, None)

    async def _note_confirmation(self, pools: Collection[PoolKey], at: datetime | None) -> None:
        if pools:
            await self._connection.execute(
                f"update offerings o set confirmed_at = $5 from {POOLS} where {SAME_POOL}",
                *_pool_columns(pools),
                at,
            )

    async def forget_pools(self, pools: Collection[PoolKey]) -> None:
        """See the port."""
        if pools:
            await self._connection.execute(
                f"delete from offerings o using {POOLS} where {SAME_POOL}", *_pool_columns(pools)
            )

    async def on_demand_prices(self, region: str) -> Mapping[str, Decimal]:
        """See the port."""
        rows = await self._connection.fetch(
            "select instance_type, usd_per_hour from on_demand_prices where region = $1", region
        )
        return {row["instance_type"]: row["usd_per_hour"] for row in rows}

    async def replace_on_demand_prices(self, region: str, prices: Mapping[str, Decimal]) -> None:
        """See the port."""
        await self._connection.execute("delete from on_demand_prices where region = $1", region)
        await self._connection.execute(
            "insert into on_demand_prices (region, instance_type, usd_per_hour)"
            " select $1, * from unnest($2::text[], $3::numeric[])",
            region,
            list(prices.keys()),
            list(prices.values()),
        )

    async def forget_prices(
        self, region: str, capacity_type: CapacityType, instance_types: Sequence[str]
    ) -> None:
        """See the port."""
        await self._connection.execute(
            "delete from offerings where region = $1 and capacity_type = $2 and instance_type = any($3::text[])",
            region,
            capacity_type.value,
            list(instance_types),
        )

    async def note_source(
        self, region: str, source: str, *, as_of: datetime, origin: Origin = Origin.API
    ) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into source_states as held (region, source, as_of, origin) values ($1, $2, $3, $4)
            on conflict (region, source) do update set as_of = excluded.as_of, origin = excluded.origin
            where excluded.as_of >= held.as_of
            """,
            region,
            source,
            as_of,
            origin.value,
        )

    async def source_as_of(self, region: str, source: str) -> datetime | None:
        """See the port."""
        found: datetime | None = await self._connection.fetchval(
            "select as_of from source_states where region = $1 and source = $2", region, source
        )
        return found

    async def source_states(self, region: str) -> Mapping[str, SourceState]:
        """See the port."""
        rows = await self._connection.fetch(
            "select source, as_of, origin from source_states where region = $1", region
        )
        return {row["source"]: SourceState(row["as_of"], Origin(row["origin"])) for row in rows}


def _point(row: asyncpg.Record) -> PricePoint:
    pool = PoolKey(row["region"], row["instance_type"], row["zone_id"], KINDS[row["capacity_type"]])
    return PricePoint(pool, row["usd_per_hour"], row["effective_at"])


def _pool_columns(pools: Collection[PoolKey]) -> tuple[list[str], ...]:
    """Turn pools into the column arrays that POOLS takes."""
    return (
        [pool.region for pool in pools],
        [pool.instance_type for pool in pools],
        [pool.zone_id for pool in pools],
        [pool.capacity_type.value for pool in pools],
    )


def _columns(points: Sequence[PricePoint]) -> tuple[list[Any], ...]:
    """Turn points into the column arrays that unnest takes."""
    return (
        [p.pool.region for p in points],
        [p.pool.instance_type for p in points],
        [p.pool.zone_id for p in points],
        [p.pool.capacity_type.value for p in points],
        [p.usd_per_hour for p in points],
        [p.effective_at for p in points],
    )
