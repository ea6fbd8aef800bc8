"""One transaction: pricing's repositories and the outbox over the same connection."""

from services.pricing.adapters.postgres import PostgresOfferingRepository
from services.pricing.adapters.postgres_announcements import PostgresAnnouncementRepository
from services.pricing.adapters.postgres_history import PostgresHistoryRepository
from services.pricing.adapters.postgres_instances import PostgresInstanceRepository
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
        self.instances = PostgresInstanceRepository(transaction.connection)
        self.observations = PostgresObservationRepository(transaction.connection)
        self.regions = PostgresRegionRepository(transaction.connection)
        self.announcements = PostgresAnnouncementRepository(transaction.connection)
        self.outbox = transaction
        self.on_commit = transaction.on_commit


def factory(database: Database) -> UnitOfWorkFactory:
    """Give what opens units of work on this database."""
    return database.units(PostgresUnitOfWork)
