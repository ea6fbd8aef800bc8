"""What is known about the sources themselves: what they may not be asked, and which rows were not believed."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.pricing.domain.placement import PlacementScore
from services.pricing.domain.refusals import RefusedRow
from shared.runtime.postgres import Connection


class PostgresSourceRepository:
    """See ports.SourceRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def hold(self, region: str, source: str) -> None:
        """See the port; two keys, so that it meets no lock of one key."""
        await self._connection.execute(
            "select pg_advisory_xact_lock(hashtext($1), hashtext($2))", region, source
        )

    async def quarantine(
        self, region: str, source: str, rows: Sequence[RefusedRow], *, seen_at: datetime
    ) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into refused_rows as held (region, source, reason, row, first_seen_at, last_seen_at, times)
            select $1, $2, reason, row, $5, $5, count(*)
            from unnest($3::text[], $4::text[]) as t (reason, row) group by reason, row
            on conflict (region, source, reason, row) do update
            set last_seen_at = excluded.last_seen_at, times = held.times + excluded.times
            """,
            region,
            source,
            [row.reason.value for row in rows],
            [row.row for row in rows],
            seen_at,
        )

    async def trim_quarantine(self, *, keep: int) -> int:
        """See the port."""
        answer = await self._connection.execute(
            """
            delete from refused_rows r using (
                select region, source, reason, row, row_number() over (
                    partition by region, source order by last_seen_at desc, reason, row
                ) as place from refused_rows
            ) ranked
            where place > $1 and (r.region, r.source, r.reason, r.row)
                = (ranked.region, ranked.source, ranked.reason, ranked.row)
            """,
            keep,
        )
        return int(answer.rsplit(" ", 1)[1])

    async def forbidden_until(self, region: str, source: str) -> datetime | None:
        """See the port."""
        found: datetime | None = await self._connection.fetchval(
            "select until from source_refusals where region = $1 and source = $2", region, source
        )
        return found

    async def forbid(self, region: str, source: str, *, until: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into source_refusals (region, source, until) values ($1, $2, $3)"
            " on conflict (region, source) do update set until = excluded.until",
            region,
            source,
            until,
        )

    async def families_in_use(self, region: str) -> Sequence[str]:
        """See the port."""
        rows = await self._connection.fetch(
            "select distinct split_part(instance_type, '.', 1) as family from instance_pools"
            " where region = $1 and ended_at is null order by 1",
            region,
        )
        return [row["family"] for row in rows]

    async def put_placement_scores(self, region: str, scores: Sequence[PlacementScore]) -> None:
        """See the port."""
        await self._connection.execute(
            """
            insert into placement_scores (region, family, zone_id, score, target_vcpus, as_of)
            select $1, * from unnest($2::text[], $3::text[], $4::smallint[], $5::int[], $6::timestamptz[])
            on conflict (region, family, zone_id) do update
            set score = excluded.score, target_vcpus = excluded.target_vcpus, as_of = excluded.as_of
            """,
            region,
            [s.family for s in scores],
            [s.zone_id for s in scores],
            [s.score for s in scores],
            [s.target_vcpus for s in scores],
            [s.as_of for s in scores],
        )

    async def placement_scores(
        self, region: str, *, since: datetime
    ) -> Mapping[tuple[str, str], PlacementScore]:
        """See the port."""
        rows = await self._connection.fetch(
            "select family, zone_id, score, target_vcpus, as_of from placement_scores"
            " where region = $1 and as_of >= $2",
            region,
            since,
        )
        return {(row["family"], row["zone_id"]): PlacementScore(*row) for row in rows}
