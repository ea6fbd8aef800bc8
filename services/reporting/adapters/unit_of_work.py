"""One transaction of reporting, seen by one organization at a time."""

from services.reporting.adapters.clusters import PostgresClusterCopies
from services.reporting.adapters.feed import PostgresActivityRepository, PostgresAuditRepository
from services.reporting.adapters.ledger import PostgresLedgerRepository
from services.reporting.adapters.presence import PostgresPresenceRepository
from services.reporting.adapters.prices import PostgresPriceRepository
from services.reporting.ports import UnitOfWorkFactory
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


def factory(database: Database) -> UnitOfWorkFactory:
    """Give what opens units of work on this database."""
    return database.units(PostgresUnitOfWork)
