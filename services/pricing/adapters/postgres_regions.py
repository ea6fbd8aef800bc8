"""Regions in use, in pricing's own schema."""

from collections.abc import Sequence
from datetime import datetime

from services.pricing.domain.regions import UsedRegion
from shared.runtime.postgres import Connection


class PostgresRegionRepository:
    """See ports.RegionRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def use(self, region: str, *, at: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into used_regions as held (region, first_used_at, last_used_at) values ($1, $2, $2)
            on conflict (region) do update
            set first_used_at = least(held.first_used_at, excluded.first_used_at),
                last_used_at = greatest(held.last_used_at, excluded.last_used_at)
            """,
            region,
            at,
        )

    async def still_used(self, region: str, *, at: datetime) -> bool:
        """See the port."""
        answer = await self._connection.execute(
            "update used_regions set last_used_at = greatest(last_used_at, $2) where region = $1", region, at
        )
        return bool(answer == "UPDATE 1")

    async def used(self) -> Sequence[UsedRegion]:
        """See the port."""
        rows = await self._connection.fetch(
            """
            select region, first_used_at, last_used_at, exists (
                select from source_states s where s.region = u.region and s.source = 'catalogue'
            ) as has_answered
            from used_regions u order by region
            """
        )
        return [UsedRegion(**row) for row in rows]
