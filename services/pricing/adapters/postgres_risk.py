"""Ratings, notices, flags and instances in pricing's own schema."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import asyncpg

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.notices import Notice
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime.postgres import Connection


class PostgresRiskRepository:
    """See ports.RiskRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put_ratings(self, region: str, ratings: Mapping[str, AdvisorBand]) -> None:
        """See the port."""
        await self._connection.execute("delete from advisor_ratings where region = $1", region)
        await self._connection.execute(
            "insert into advisor_ratings (region, instance_type, band)"
            " select $1, * from unnest($2::text[], $3::smallint[])",
            region,
            list(ratings.keys()),
            [int(band) for band in ratings.values()],
        )

    async def ratings(self, region: str) -> Mapping[str, AdvisorBand]:
        """See the port."""
        rows = await self._connection.fetch(
            "select instance_type, band from advisor_ratings where region = $1", region
        )
        return {row["instance_type"]: AdvisorBand(row["band"]) for row in rows}

    async def flags(self, pools: Collection[PoolKey]) -> Mapping[PoolKey, PoolFlag]:
        """See the port."""
        rows = await self._connection.fetch(
            """
            select held.*
            from pool_flags held
            join unnest($1::text[], $2::text[], $3::text[], $4::text[])
                as asked (region, instance_type, zone_id, capacity_type)
                using (region, instance_type, zone_id, capacity_type)
            """,
            *_key_columns(pools),
        )
        return {flag.pool: flag for flag in map(_flag, rows)}

    async def put_flags(self, flags: Sequence[PoolFlag]) -> None:
        """See the port; in the pools' order, so that two who write the same ones do not wait for each other."""
        flags = sorted(flags, key=lambda flag: flag.pool)
        await self._connection.execute(
            """
            insert into pool_flags as held
                (region, instance_type, zone_id, capacity_type, reason, raised_at, expires_at)
            select * from unnest(
                $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[]
            )
            on conflict (region, instance_type, zone_id, capacity_type) do update
            set reason = excluded.reason, raised_at = excluded.raised_at, expires_at = excluded.expires_at
            where excluded.expires_at > held.expires_at
            """,
            *_key_columns([flag.pool for flag in flags]),
            [flag.reason for flag in flags],
            [flag.raised_at for flag in flags],
            [flag.expires_at for flag in flags],
        )

    async def live_flags(self, region: str, *, now: datetime) -> Mapping[PoolKey, PoolFlag]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from pool_flags where region = $1 and expires_at > $2", region, now
        )
        return {flag.pool: flag for flag in map(_flag, rows)}

    async def put_instance_pool(self, instance_id: str, pool: PoolKey) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into instance_pools (region, instance_type, zone_id, capacity_type, instance_id)
            values ($1, $2, $3, $4, $5)
            on conflict (instance_id) do nothing
            """,
            *_key(pool),
            instance_id,
        )

    async def instance_pools(self, instance_ids: Collection[str]) -> Mapping[str, PoolKey]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from instance_pools where instance_id = any($1::text[])", list(instance_ids)
        )
        return {row["instance_id"]: _pool(row) for row in rows}

    async def add_notices(self, notices: Sequence[Notice]) -> frozenset[str]:
        """See the port; in the events' order, so that two who keep the same ones do not wait for each other."""
        notices = sorted(notices, key=lambda notice: notice.event_id)
        rows = await self._connection.fetch(
            """
            insert into instance_notices (event_id, instance_id, account, region, kind, at)
            select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
            on conflict do nothing
            returning event_id
            """,
            [notice.event_id for notice in notices],
            [notice.instance_id for notice in notices],
            [notice.account for notice in notices],
            [notice.region for notice in notices],
            [notice.kind.value for notice in notices],
            [notice.at for notice in notices],
        )
        return frozenset(row["event_id"] for row in rows)


def _key(pool: PoolKey) -> tuple[str, str, str, str]:
    return pool.region, pool.instance_type, pool.zone_id, pool.capacity_type.value


def _key_columns(pools: Collection[PoolKey]) -> tuple[list[str], list[str], list[str], list[str]]:
    return (
        [pool.region for pool in pools],
        [pool.instance_type for pool in pools],
        [pool.zone_id for pool in pools],
        [pool.capacity_type.value for pool in pools],
    )


def _pool(row: asyncpg.Record) -> PoolKey:
    return PoolKey(row["region"], row["instance_type"], row["zone_id"], CapacityType(row["capacity_type"]))


def _flag(row: asyncpg.Record) -> PoolFlag:
    return PoolFlag(_pool(row), row["reason"], row["raised_at"], row["expires_at"])
