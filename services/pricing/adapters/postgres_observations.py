"""Observed pools and their predicted risk in pricing's own schema."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.pricing.domain.pool_observations import Observation, ObservationKind, ObservedRisk
from shared.kernel.pools import CapacityType, PoolKey
from shared.runtime.postgres import Connection


class PostgresObservationRepository:
    """See ports.ObservationRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, observations: Sequence[Observation]) -> None:
        """See the port; in the keys' order, so that two who add the same ones do not wait for each other."""
        observations = sorted(observations, key=lambda seen: (seen.kind.value, seen.subject))
        await self._connection.execute(
            """
            insert into pool_observations (region, instance_type, zone_id, kind, subject, at)
            select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
            on conflict do nothing
            """,
            [seen.pool.region for seen in observations],
            [seen.pool.instance_type for seen in observations],
            [seen.pool.zone_id for seen in observations],
            [seen.kind.value for seen in observations],
            [seen.subject for seen in observations],
            [seen.at for seen in observations],
        )

    async def since(self, region: str, *, since: datetime) -> Sequence[Observation]:
        """See the port."""
        rows = await self._connection.fetch(
            """
            select * from pool_observations o
            where region = $1 and (
                at >= $2 or kind = 'launched' and not exists (
                    select from pool_observations e
                    where e.subject = o.subject and e.kind in ('ended', 'interrupted') and e.at < $2
                )
            )
            order by at, kind, subject
            """,
            region,
            since,
        )
        return [
            Observation(
                PoolKey(row["region"], row["instance_type"], row["zone_id"], CapacityType.SPOT),
                ObservationKind(row["kind"]),
                row["subject"],
                row["at"],
            )
            for row in rows
        ]

    async def forget(self, region: str, *, before: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            """
            delete from pool_observations o
            where region = $1 and at < $2 and (
                kind <> 'launched' or exists (
                    select from pool_observations e
                    where e.subject = o.subject and e.kind in ('ended', 'interrupted') and e.at < $2
                )
            )
            """,
            region,
            before,
        )

    async def put_risks(self, region: str, risks: Sequence[ObservedRisk], *, as_of: datetime) -> None:
        """See the port."""
        await self._connection.execute("delete from pool_risks where region = $1", region)
        await self._connection.execute(
            """
            insert into pool_risks (region, instance_type, zone_id, interruption_probability, source, as_of)
            select $1, t.*, $2 from unnest($3::text[], $4::text[], $5::float8[], $6::text[]) t
            """,
            region,
            as_of,
            [risk.pool.instance_type for risk in risks],
            [risk.pool.zone_id for risk in risks],
            [risk.interruption_probability for risk in risks],
            [risk.source for risk in risks],
        )

    async def risks(self, region: str, *, since: datetime) -> Mapping[PoolKey, ObservedRisk]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from pool_risks where region = $1 and as_of >= $2", region, since
        )
        found = {}
        for row in rows:
            pool = PoolKey(region, row["instance_type"], row["zone_id"], CapacityType.SPOT)
            found[pool] = ObservedRisk(pool, row["interruption_probability"], row["source"])
        return found
