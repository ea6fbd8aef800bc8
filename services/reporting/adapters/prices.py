"""Prices by time in reporting's schema, and pricing itself behind the bus."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from services.reporting.domain.ledger import PricePoint
from shared.contracts.v1.pricing import OfferingQuotes, QuoteOfferings
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pools import PoolKey
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Connection


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


class BusQuoteSource:
    """See ports.QuoteSource."""

    def __init__(self, bus: Bus, *, clock: Clock, ids: Ids) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids

    async def quotes(self, region: str) -> Sequence[tuple[PoolKey, PricePoint]]:
        """See the port."""
        request = QuoteOfferings.make(scope=region, clock=self._clock, ids=self._ids)
        answer = await self._bus.ask(request, OfferingQuotes, timeout_seconds=20)
        return [
            (quote.pool, PricePoint(quote.as_of, quote.usd_per_hour))
            for quote in answer.quotes
            if not quote.is_stale
        ]
