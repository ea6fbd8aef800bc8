"""Prices by time in reporting's schema, and the tables that pricing keeps."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from services.reporting.domain.ledger import PricePoint
from shared.kernel.pools import PoolKey
from shared.runtime.postgres import Connection
from shared.runtime.price_tables import ObjectPriceTables


class PostgresPriceRepository:
    """See ports.PriceRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, points: Sequence[tuple[PoolKey, PricePoint]]) -> int:
        """See the port."""
        good = [(pool, point) for pool, point in points if point.usd_per_hour > 0]
        answer = await self._connection.execute(
            """
            insert into prices (region, instance_type, zone_id, capacity_type, effective_at, usd_per_hour)
            select * from unnest(
                $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::numeric[]
            )
            on conflict do nothing
            """,
            [pool.region for pool, _ in good],
            [pool.instance_type for pool, _ in good],
            [pool.zone_id for pool, _ in good],
            [pool.capacity_type.value for pool, _ in good],
            [point.effective_at for _, point in good],
            [point.usd_per_hour for _, point in good],
        )
        return int(answer.rsplit(" ", 1)[1])

    async def between(
        self, pools: Collection[PoolKey], start: datetime, end: datetime
    ) -> Mapping[PoolKey, Sequence[PricePoint]]:
        """See the port."""
        wanted = sorted(pools)
        rows = await self._connection.fetch(
            """
            with asked as (
                select a.number, a.region, a.instance_type, a.capacity_type, case
                    when a.zone_id = '' and a.capacity_type = 'on-demand' then (
                        select min(p.zone_id) from prices p
                        where (p.region, p.instance_type, p.capacity_type)
                            = (a.region, a.instance_type, a.capacity_type)
                    )
                    else a.zone_id
                end as zone_id
                from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality
                    as a (region, instance_type, zone_id, capacity_type, number)
            )
            select a.number, p.effective_at, p.usd_per_hour
            from asked a cross join lateral (
                (
                    select effective_at, usd_per_hour from prices
                    where (region, instance_type, capacity_type, zone_id)
                        = (a.region, a.instance_type, a.capacity_type, a.zone_id) and effective_at <= $5
                    order by effective_at desc limit 1
                )
                union all
                select effective_at, usd_per_hour from prices
                where (region, instance_type, capacity_type, zone_id)
                    = (a.region, a.instance_type, a.capacity_type, a.zone_id)
                    and effective_at > $5 and effective_at < $6
            ) p
            order by a.number, p.effective_at
            """,
            [pool.region for pool in wanted],
            [pool.instance_type for pool in wanted],
            [pool.zone_id for pool in wanted],
            [pool.capacity_type.value for pool in wanted],
            start,
            end,
        )
        found: defaultdict[PoolKey, list[PricePoint]] = defaultdict(list)
        for row in rows:
            found[wanted[row["number"] - 1]].append(PricePoint(row["effective_at"], row["usd_per_hour"]))
        return found

    async def forget(self, *, before: datetime) -> int:
        """See the port."""
        answer = await self._connection.execute(
            """
            delete from prices p where effective_at < $1 and exists (
                select 1 from prices later
                where (later.region, later.instance_type, later.capacity_type, later.zone_id)
                    = (p.region, p.instance_type, p.capacity_type, p.zone_id)
                    and later.effective_at > p.effective_at and later.effective_at <= $1
            )
            """,
            before,
        )
        return int(answer.rsplit(" ", 1)[1])


class TableSource:
    """See ports.PriceSource."""

    def __init__(self, tables: ObjectPriceTables) -> None:
        self._tables = tables

    async def prices(self, region: str) -> tuple[int, Sequence[tuple[PoolKey, PricePoint]]] | None:
        """See the port."""
        table = await self._tables.get(region)
        if table is None:
            return None
        return table.sequence, [(pool, PricePoint(at, usd)) for pool, usd, at in table.prices]
