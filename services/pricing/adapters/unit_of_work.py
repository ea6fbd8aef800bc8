"""One transaction: pricing's repositories and the outbox over the same connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.pricing.adapters.postgres import PostgresOfferingRepository
from services.pricing.adapters.postgres_announcements import PostgresAnnouncementRepository
from services.pricing.adapters.postgres_history import PostgresHistoryRepository
from services.pricing.adapters.postgres_observations import PostgresObservationRepository
from services.pricing.adapters.postgres_regions import PostgresRegionRepository
from services.pricing.adapters.postgres_risk import PostgresRiskRepository
from services.pricing.adapters.postgres_sources import PostgresSourceRepository
from services.pricing.ports import UnitOfWorkFactory
from shared.runtime.postgres import Database, Transaction


class PostgresUnitOfWork:
    """See ports.UnitOfWork."""

    def __init__(self, transaction: Transaction) -> None:
        self.offerings = PostgresOfferingRepository(transaction.connection)
        self.history = PostgresHistoryRepository(transaction.connection)
        self.sources = PostgresSourceRepository(transaction.connection)
        self.risk = PostgresRiskRepository(transaction.connection)
        self.observations = PostgresObservationRepository(transaction.connection)
        self.regions = PostgresRegionRepository(transaction.connection)
        self.announcements = PostgresAnnouncementRepository(transaction.connection)
        self.outbox = transaction


def factory(database: Database) -> UnitOfWorkFactory:
    """Give a factory of units of work on this database."""

    @asynccontextmanager
    async def unit_of_work() -> AsyncIterator[PostgresUnitOfWork]:
        async with database.transaction() as transaction:
            yield PostgresUnitOfWork(transaction)

    return unit_of_work
