"""One transaction of reporting, seen by one organization at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.reporting.adapters.clusters import PostgresClusterCopies
from services.reporting.adapters.feed import PostgresActivityRepository, PostgresAuditRepository
from services.reporting.adapters.ledger import PostgresLedgerRepository
from services.reporting.adapters.presence import PostgresPresenceRepository
from services.reporting.adapters.prices import PostgresPriceRepository
from shared.runtime.postgres import Database, Transaction


class PostgresUnitOfWork:
    """See ports.UnitOfWork."""

    def __init__(self, transaction: Transaction) -> None:
        connection = transaction.connection
        self._connection = connection
        self.clusters = PostgresClusterCopies(connection)
        self.presence = PostgresPresenceRepository(connection)
        self.prices = PostgresPriceRepository(connection)
        self.ledger = PostgresLedgerRepository(connection)
        self.activity = PostgresActivityRepository(connection)
        self.audit = PostgresAuditRepository(connection)
        self.outbox = transaction

    async def act_for(self, organization_id: str) -> None:
        """See the port; it lasts until the transaction ends."""
        await self._connection.execute("select set_config('app.organization_id', $1, true)", organization_id)


class PostgresUnitOfWorkFactory:
    """See ports.UnitOfWorkFactory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[PostgresUnitOfWork]:
        """Begin."""
        async with self._database.transaction() as transaction:
            yield PostgresUnitOfWork(transaction)
