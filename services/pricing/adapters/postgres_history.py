"""The months of price history; the functions called here are the migration's, and run as the schema's owner."""

from collections.abc import Sequence
from datetime import date

import asyncpg

from services.pricing.errors import HistoryBusyError
from shared.runtime.postgres import Connection


class PostgresHistoryRepository:
    """See ports.HistoryRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ensure_months(self, months: Sequence[date]) -> int:
        """See the port."""
        return int(await self._connection.fetchval("select ensure_price_months($1::date[])", list(months)))

    async def event_months(self) -> Sequence[date]:
        """See the port."""
        return await self._months("price_points")

    async def day_months(self) -> Sequence[date]:
        """See the port."""
        return await self._months("price_days")

    async def fold_month(self, month: date) -> int:
        """See the port."""
        try:
            return int(await self._connection.fetchval("select fold_price_month($1)", month))
        except asyncpg.LockNotAvailableError as error:
            raise HistoryBusyError(f"folding the prices of {month:%Y-%m}: {error}") from error

    async def drop_month(self, month: date) -> bool:
        """See the port."""
        try:
            return bool(await self._connection.fetchval("select drop_price_month($1)", month))
        except asyncpg.LockNotAvailableError as error:
            raise HistoryBusyError(f"dropping the prices of {month:%Y-%m}: {error}") from error

    async def _months(self, kind: str) -> Sequence[date]:
        rows = await self._connection.fetch("select month from price_months($1) as months (month)", kind)
        return [row["month"] for row in rows]
