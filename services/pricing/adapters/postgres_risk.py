"""Ratings, notices, flags and instances in pricing's own schema."""

from collections.abc import Mapping
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

    async def flag(self, pool: PoolKey) -> PoolFlag | None:
        """See the port."""
        row = await self._connection.fetchrow(
            """
            select * from pool_flags
            where region = $1 and instance_type = $2 and zone_id = $3 and capacity_type = $4
            """,
            *_key(pool),
        )
        return _flag(row) if row is not None else None

    async def put_flag(self, flag: PoolFlag) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into pool_flags as held
                (region, instance_type, zone_id, capacity_type, reason, raised_at, expires_at)
            values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (region, instance_type, zone_id, capacity_type) do update
            set reason = excluded.reason, raised_at = excluded.raised_at, expires_at = excluded.expires_at
            where excluded.expires_at > held.expires_at
            """,
            *_key(flag.pool),
            flag.reason,
            flag.raised_at,
            flag.expires_at,
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

    async def instance_pool(self, instance_id: str) -> PoolKey | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select * from instance_pools where instance_id = $1", instance_id
        )
        return _pool(row) if row is not None else None

    async def add_notice(self, notice: Notice) -> bool:
        """See the port."""
        answer = await self._connection.execute(
            """
            insert into instance_notices (event_id, instance_id, account, region, kind, at)
            values ($1, $2, $3, $4, $5, $6)
            on conflict do nothing
            """,
            notice.event_id,
            notice.instance_id,
            notice.account,
            notice.region,
            notice.kind.value,
            notice.at,
        )
        return bool(answer == "INSERT 0 1")


def _key(pool: PoolKey) -> tuple[str, str, str, str]:
    return pool.region, pool.instance_type, pool.zone_id, pool.capacity_type.value


def _pool(row: asyncpg.Record) -> PoolKey:
    return PoolKey(row["region"], row["instance_type"], row["zone_id"], CapacityType(row["capacity_type"]))


def _flag(row: asyncpg.Record) -> PoolFlag:
    return PoolFlag(_pool(row), row["reason"], row["raised_at"], row["expires_at"])
