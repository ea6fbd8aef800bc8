"""What pricing needs from outside, a module for each concern; each name is found here."""

from services.pricing.ports.instances import InstanceRepository
from services.pricing.ports.notices import NoticeGrave, NoticeQueue, QueuedNotice
from services.pricing.ports.prices import (
    AnnouncementRepository,
    HistoryRepository,
    OfferingRepository,
    PricedPools,
    PriceTables,
    SourceState,
)
from services.pricing.ports.regions import RegionRepository
from services.pricing.ports.risk import FlagWriter, ObservationRepository, RiskModelStore, RiskRepository
from services.pricing.ports.source_records import SourceRepository
from services.pricing.ports.sources import (
    AdvisorSource,
    Catalogue,
    OnDemandPriceSource,
    PlacementScoreSource,
    SpotPriceSource,
)
from services.pricing.ports.unit_of_work import Outbox, UnitOfWork, UnitOfWorkFactory

__all__ = [
    "AdvisorSource",
    "AnnouncementRepository",
    "Catalogue",
    "FlagWriter",
    "HistoryRepository",
    "InstanceRepository",
    "NoticeGrave",
    "NoticeQueue",
    "ObservationRepository",
    "OfferingRepository",
    "OnDemandPriceSource",
    "Outbox",
    "PlacementScoreSource",
    "PriceTables",
    "PricedPools",
    "QueuedNotice",
    "RegionRepository",
    "RiskModelStore",
    "RiskRepository",
    "SourceRepository",
    "SourceState",
    "SpotPriceSource",
    "UnitOfWork",
    "UnitOfWorkFactory",
]
