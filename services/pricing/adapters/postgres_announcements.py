"""The numbers of price events in pricing's own schema."""

from shared.runtime.postgres import Connection


class PostgresAnnouncementRepository:
    """See ports.AnnouncementRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def advance(self, region: str, *, by: int) -> int:
        """See the port."""
        return int(
            await self._connection.fetchval(
                """
                insert into price_sequences as held (region, sequence) values ($1, $2)
                on conflict (region) do update set sequence = held.sequence + excluded.sequence
                returning sequence
                """,
                region,
                by,
            )
        )

    async def current(self, region: str) -> int:
        """See the port."""
        held = await self._connection.fetchval(
            "select sequence from price_sequences where region = $1", region
        )
        return int(held or 0)

    async def hold(self, region: str) -> int:
        """See the port."""
        held = await self._connection.fetchval(
            """
            insert into price_sequences as held (region, sequence) values ($1, 0)
            on conflict (region) do update set sequence = held.sequence
            returning sequence
            """,
            region,
        )
        return int(held)
